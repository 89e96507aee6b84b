"""Forms and the page to return to: a form that the console's pages do not send is answered with 4xx."""

from __future__ import annotations

import asyncio
import doctest
from pathlib import Path

import pytest

from streams.console import forms
from streams.console.forms import PAGES, local_path
from tests.streams.console.consoles import opened

URLENCODED = "application/x-www-form-urlencoded"
POSTS = ("/login", "/logout", "/handle", "/payload")
BODIES = {
    "multipart": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="token"\r\n\r\na\r\n--x--',
    ),
    "multipart without boundary": ("multipart/form-data", b"--x"),
    "broken multipart": ("multipart/form-data; boundary=x", b"--x\r\n\xff"),
    "multipart with a file": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="csrf"; filename="a"\r\n\r\na\r\n--x--',
    ),
    "JSON": ("application/json", b'{"token":"a"}'),
    "text": ("text/plain", b"token=a"),
    "no type": ("", b"token=a"),
    "unknown charset": (f"{URLENCODED}; charset=nonsense", b"token=%ff"),
    "not ASCII": (URLENCODED, b"token=\xff\xfe"),
    "not UTF-8": (URLENCODED, b"token=%ff%fe&csrf=%ff"),
    "many fields": (URLENCODED, b"a=b&" * 1_000),
    "large": (URLENCODED, b"token=" + b"x" * 20_000),
}  # fmt: skip


@pytest.mark.parametrize("kind", BODIES)
def test_malformed_post_is_answered_with_4xx(tmp_path: Path, kind: str) -> None:
    content_type, body = BODIES[kind]

    async def visit() -> None:
        async with opened(tmp_path) as (client, _):
            for path in POSTS:
                async with client.post(path, data=body, headers={"Content-Type": content_type}) as answer:
                    assert 400 <= answer.status < 500, (path, answer.status)
                    assert "Content-Security-Policy" in answer.headers

    asyncio.run(visit())


@pytest.mark.parametrize(
    "back",
    [
        "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "/%2fevil.example",
        "/%2Fevil.example", "%2f%2fevil.example", "/%5cevil.example", "/%255cevil.example", "/\t/evil.example",
        "/\n/evil.example", "\t//evil.example", " //evil.example", "/%09/evil.example", "/%0a/evil.example",
        "https://evil.example", "javascript:alert(1)", "/.//evil.example", "/..//evil.example", "/;@evil.example",
        "/\u2044evil.example", "/\uff0f/evil.example", "/customer/..//evil.example", "/@evil.example", "",
        "/\r\nLocation: https://evil.example", "/logout", "/static/console.js",
    ],
)  # fmt: skip
def test_page_to_return_to_stays_on_this_site(back: str) -> None:
    assert local_path(back) == "/"


@pytest.mark.parametrize("page", PAGES)
def test_own_pages_are_returned_to_with_their_query(page: str) -> None:
    assert local_path(f"{page}?q=a%20b&page=2") == f"{page}?q=a+b&page=2"
    assert local_path(f"{page}?next=//evil.example#x\r\n") == f"{page}?next=%2F%2Fevil.example%23x%0D%0A"


def test_docstring_examples_hold() -> None:
    assert doctest.testmod(forms).failed == 0
