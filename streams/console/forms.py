"""Read forms and the page to return to. Whatever a client sends, the answer is a form or a 4xx.

Tested by tests/streams/console/test_forms.py.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlencode

from aiohttp import web

PAGES: Final = ("/", "/customers", "/customer", "/model", "/pipeline")
_FIELDS_MAX: Final = 20
_NUMBER_DIGITS: Final = 18
_FORM: Final = "application/x-www-form-urlencoded"


async def read_form(request: web.Request) -> dict[str, str]:
    """Return the fields of a posted form; of a field that occurs twice, the last.

    Raises:
        web.HTTPUnsupportedMediaType: it has another type, such as multipart.
        web.HTTPBadRequest: it is malformed.
        web.HTTPRequestEntityTooLarge: it is larger than the application accepts.
    """
    if request.content_type != _FORM:
        raise web.HTTPUnsupportedMediaType(text=f"Forms must be sent as {_FORM}.\n")
    body = await request.read()
    try:
        fields = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=_FIELDS_MAX, errors="strict", encoding="utf-8"
        )
    except ValueError:
        raise web.HTTPBadRequest(text="The form is malformed.\n") from None
    return dict(fields)


def whole_number(text: str) -> int | None:
    """Parse a number without sign; None if it is none, or too long.

    >>> whole_number("17"), whole_number("-1"), whole_number("٣"), whole_number("9" * 5000), whole_number("")
    (17, None, None, None, None)
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _NUMBER_DIGITS else None


def local_path(text: str) -> str:
    r"""Return the page of this console that a form names, or the first page if it names none.

    The result is built from a known path, so that no spelling of another site survives.

    >>> local_path("/customer?id=a%20b&x=1"), local_path("/?page=2")
    ('/customer?id=a+b&x=1', '/?page=2')
    >>> [local_path(text) for text in ("//evil.example", "/\\evil.example", "/%2fevil.example", "/\t/evil.example")]
    ['/', '/', '/', '/']
    """
    path, _, query = text.partition("?")
    if path not in PAGES:
        return "/"
    try:
        fields = parse_qsl(query, max_num_fields=_FIELDS_MAX)
    except ValueError:
        fields = []
    return path + (f"?{urlencode(fields)}" if fields else "")
