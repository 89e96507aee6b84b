"""An HTTP request to a process, as anybody may send it: redirects are not followed, refusals are answers."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from typing import Any

_PATIENCE_S = 120


class Answer:
    """Of a GET, or with `form` of a POST; a header's name has _ for -."""

    def __init__(self, url: str, form: dict[str, str] | None = None, **headers: str) -> None:
        data = None if form is None else urllib.parse.urlencode(form).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        opener = urllib.request.build_opener(_Stay)
        try:
            with opener.open(urllib.request.Request(url, data, names), timeout=_PATIENCE_S) as found:
                self.status, self.headers, self.text = found.status, found.headers, found.read().decode()
        except urllib.error.HTTPError as refused:
            self.status, self.headers, self.text = refused.code, refused.headers, refused.read().decode()


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None
