"""HTTP requests to a process without privileges. Redirects are not followed, and error statuses are responses."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from typing import Any

_TIMEOUT_S = 120


class Answer:
    """Response to a GET, or to a POST if there is a `form`. Header names are given with _ instead of -."""

    def __init__(self, url: str, form: dict[str, str] | None = None, **headers: str) -> None:
        data = None if form is None else urllib.parse.urlencode(form).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(urllib.request.Request(url, data, names), timeout=_TIMEOUT_S) as response:
                self.status, self.headers = response.status, response.headers
                self.text = response.read().decode()
        except urllib.error.HTTPError as error:
            self.status, self.headers, self.text = error.code, error.headers, error.read().decode()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None
