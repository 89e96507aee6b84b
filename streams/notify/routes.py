"""Routes of notify.toml, validated, with secrets read from environment variables.

Tested by tests/streams/notify/test_routes.py.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from models.alerts.policy import TYPES
from models.alerts.settings import BANDS
from models.definition.competing_risks import ROUTES
from models.definition.toml_table import DefinitionError, Table, read_toml, wrong
from models.duration import DAY_MS, MINUTE_MS, SECOND_MS, format_duration
from models.explanations.codes import RISKS
from streams.errors import ConfigurationError
from streams.notify.filter import Filter
from streams.notify.signature import key_of
from streams.notify.target import is_public
from streams.notify.template import ESCAPES, SAMPLE, BodyTemplate, TemplateError
from streams.settings import MASK, PREFIX

KEYS: Final = (
    "url", "url_from", "allow_http", "allow_private", "secret_from", "unsigned", "headers", "headers_from",
    "types", "band", "route", "reasons", "segments", "min_revenue_at_risk", "max_age",
    "start", "tries", "first_wait", "longest_wait", "timeout", "concurrency", "body", "escape",
)  # fmt: skip
STARTS: Final = ("now", "beginning")
# Each route has its own consumer group member, with two connections to the brokers.
ROUTES_MAX: Final = 32
# 1 s, 2 s, 4 s ... 5 min: events survive an outage of the receiver of about an hour, and a redeployment costs seconds.
TRIES, TRIES_MAX = 20, 1_000
FIRST_WAIT_MS, LONGEST_WAIT_MS, WAIT_MAX_MS = SECOND_MS, 5 * MINUTE_MS, DAY_MS
# Receivers should acknowledge a webhook first and process it afterwards (Standard Webhooks, "Webhook delivery").
TIMEOUT_MS, TIMEOUT_MAX_MS = 15 * SECOND_MS, MINUTE_MS
CONCURRENCY, CONCURRENCY_MAX = 4, 64

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_VISIBLE: Final = re.compile(r"[ -~]*")
# Headers set by this program or by the HTTP client.
_RESERVED: Final = re.compile(
    r"(ce-|webhook-).*|content-(type|length|encoding)|host|transfer-encoding|connection|user-agent", re.I
)


@dataclass(frozen=True)
class RetryPolicy:
    """Retries, timeout and concurrency of a route."""

    tries: int = TRIES
    first_wait_s: float = FIRST_WAIT_MS / 1000
    longest_wait_s: float = LONGEST_WAIT_MS / 1000
    timeout_s: float = TIMEOUT_MS / 1000
    concurrency: int = CONCURRENCY


@dataclass(frozen=True)
class Route:
    """One receiver. Its representation contains no secret.

    Attributes:
        allow_private: connect to private, loopback and link-local addresses as well.
        keys: signing keys; requests are unsigned if there are none.
        start: where a new route starts, one of `STARTS`.
        body: body template; None posts the event as a CloudEvent.
        secrets: texts to mask in logs.
    """

    name: str
    url: str = field(repr=False)
    allow_private: bool = False
    keys: tuple[bytes, ...] = field(default=(), repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    filter: Filter = field(default_factory=Filter)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    start: str = STARTS[0]
    body: BodyTemplate | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def summary(self) -> str:
        """One line for people, without secrets."""
        url = MASK if self.url in self.secrets else self.url
        signed = {0: "unsigned", 1: "signed"}.get(len(self.keys), f"signed with {len(self.keys)} keys")
        return f"{self.name}: {url}, {signed}, {'body template' if self.body else 'CloudEvents'}"


def read_routes(path: Path, environment: Mapping[str, str]) -> tuple[Route, ...]:
    """Read the routes of a file. Raises ConfigurationError with one sentence that names the file."""
    try:
        return parse_routes(path.read_text(encoding="utf-8"), environment)
    except DefinitionError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: byte {error.start} is not UTF-8 text.") from None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror or error} (set {PREFIX}NOTIFY_ROUTES to another file)."
        ) from None


def parse_routes(text: str, environment: Mapping[str, str]) -> tuple[Route, ...]:
    """Parse the routes of a TOML text. Raises DefinitionError: one sentence that quotes no secret."""
    tables = Table(read_toml(text), "", ("routes",)).values.get("routes")
    if not isinstance(tables, dict) or not 1 <= len(tables) <= ROUTES_MAX:
        raise DefinitionError(f"the file must have 1 to {ROUTES_MAX} tables [routes.NAME].")
    for name in tables:
        if _NAME.fullmatch(name) is None:
            raise wrong(
                "a route's name",
                name,
                "it must be 1 to 31 lower-case letters, digits and -, as it is part of a consumer group's name",
            )
    return tuple(
        _RouteParser(Table(value, f"routes.{name}", KEYS), name, environment).route() for name, value in tables.items()
    )


class _RouteParser:
    """Parses one table [routes.NAME]."""

    def __init__(self, table: Table, name: str, environment: Mapping[str, str]) -> None:
        self._table, self._name, self._environment = table, name, environment
        self._secrets: list[str] = []

    def route(self) -> Route:
        return Route(
            name=self._name,
            url=self._url(),
            allow_private=self._flag("allow_private"),
            keys=self._keys(),
            headers=self._headers(),
            filter=self._filter(),
            retry=self._retry(),
            start=self._one_of("start", STARTS) or STARTS[0],
            body=self._body(),
            secrets=tuple(self._secrets),  # last, as the methods above collect them
        )

    def _url(self) -> str:
        table = self._table
        if ("url" in table.values) == ("url_from" in table.values):
            raise DefinitionError(
                f"{table.path} must have either url, or url_from (the name of an environment variable, for a secret"
                " URL)."
            )
        if "url" in table.values:
            url, at = table.text("url"), table.at("url")
        else:
            url = self._secret(table.at("url_from"), table.values["url_from"])
            at = f"the variable of {table.at('url_from')}"
        try:
            parts = urlsplit(url)
            host = parts.hostname
            assert parts.port != 0
        except (ValueError, AssertionError):
            host = None
        if host is None or parts.scheme not in ("https", "http") or not _VISIBLE.fullmatch(url) or " " in url:
            raise DefinitionError(f"{at} must be a URL such as https://desk.example.com/hooks/churn.")
        if parts.username is not None or parts.password is not None:
            raise DefinitionError(
                f"{at} must not contain a user or password: set the header Authorization in headers_from."
            )
        if parts.scheme == "http" and not _loopback(host) and not self._flag("allow_http"):
            raise DefinitionError(
                f"{at} is plain http to another machine, so that alerts can be read and changed in transit:"
                " use https, or set allow_http = true."
            )
        if not self._flag("allow_private") and _is_private(host):
            raise DefinitionError(
                f"{at} is an address of this machine or of a private network: set allow_private = true if that is"
                " intended."
            )
        return url

    def _keys(self) -> tuple[bytes, ...]:
        table = self._table
        if ("secret_from" in table.values) == self._flag("unsigned"):
            raise DefinitionError(
                f"{table.path} must have either secret_from (the name of an environment variable with the signing"
                " key), or unsigned = true for a receiver that verifies no signature."
            )
        if "secret_from" not in table.values:
            return ()
        value = table.values["secret_from"]
        keys = []
        for name in value if isinstance(value, list) and value else [value]:
            try:
                keys.append(key_of(self._secret(table.at("secret_from"), name)))
            except ValueError as error:
                if isinstance(error, DefinitionError):
                    raise
                raise DefinitionError(
                    f"the value of {name}, which {table.at('secret_from')} names, is wrong: {error}."
                ) from None
        return tuple(keys)

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        for key in ("headers", "headers_from"):
            table = self._table.values.get(key, {})
            if not isinstance(table, dict):
                raise wrong(self._table.at(key), table, "it must be a table of headers")
            for name, value in table.items():
                at = f"{self._table.at(key)}.{name}"
                if _HEADER.fullmatch(name) is None or _RESERVED.fullmatch(name) is not None or name in headers:
                    raise DefinitionError(f"{at}: this header name is reserved, repeated or invalid.")
                text = self._secret(at, value) if key == "headers_from" else value
                if not isinstance(text, str) or _VISIBLE.fullmatch(text) is None:
                    raise DefinitionError(f"{at} must be a string of visible ASCII characters and spaces.")
                headers[name] = text
        return headers

    def _filter(self) -> Filter:
        table = self._table
        minimum = table.values.get("min_revenue_at_risk")
        is_number = isinstance(minimum, int | float) and not isinstance(minimum, bool)
        if minimum is not None and not (is_number and minimum >= 0):
            raise wrong(table.at("min_revenue_at_risk"), minimum, "it must be a number, 0 or more")
        return Filter(
            types=self._some_of("types", TYPES),
            band=BANDS.index(self._one_of("band", BANDS) or BANDS[0]),
            reasons=self._some_of("reasons", RISKS),
            segments=table.texts("segments") if "segments" in table.values else (),
            min_revenue_at_risk=minimum,
            max_age_ms=table.duration("max_age", 0) or None,
            route=self._one_of("route", ROUTES),
        )

    def _retry(self) -> RetryPolicy:
        table = self._table
        first_ms = self._duration_ms("first_wait", FIRST_WAIT_MS, WAIT_MAX_MS)
        longest_ms = self._duration_ms("longest_wait", max(first_ms, LONGEST_WAIT_MS), WAIT_MAX_MS)
        if longest_ms < first_ms:
            raise wrong(table.at("longest_wait"), format_duration(longest_ms), "it must not be below first_wait")
        return RetryPolicy(
            tries=table.integer("tries", TRIES, 1, TRIES_MAX),
            first_wait_s=first_ms / 1000,
            longest_wait_s=longest_ms / 1000,
            timeout_s=self._duration_ms("timeout", TIMEOUT_MS, TIMEOUT_MAX_MS) / 1000,
            concurrency=table.integer("concurrency", CONCURRENCY, 1, CONCURRENCY_MAX),
        )

    def _body(self) -> BodyTemplate | None:
        table, escape = self._table, self._one_of("escape", tuple(ESCAPES))
        if "body" not in table.values:
            if escape is not None:
                raise DefinitionError(f"{table.at('escape')} applies to a body template, and the route has no body.")
            return None
        shape = table.values["body"]
        if not isinstance(shape, dict):
            raise wrong(table.at("body"), shape, "it must be a table: the JSON object to post")
        try:
            body = BodyTemplate(shape, escape or "slack")
            body.render(SAMPLE)
        except TemplateError as error:
            raise DefinitionError(f"{table.at('body')}: {error}.") from None
        return body

    def _secret(self, at: str, name: Any) -> str:
        """Return the value of an environment variable, and mask it in logs from now on."""
        if not isinstance(name, str) or _VARIABLE.fullmatch(name) is None or name.startswith(PREFIX):
            # Do not quote the value: it may be the secret itself, entered by mistake.
            raise DefinitionError(
                f"{at} must be the name of an environment variable that does not begin with {PREFIX}."
            )
        text = self._environment.get(name, "").strip()
        if not text:
            raise DefinitionError(f"{at} names the environment variable {name}, which is not set.")
        self._secrets.append(text)
        return text

    def _duration_ms(self, key: str, default_ms: int, max_ms: int) -> int:
        duration_ms = self._table.duration(key, default_ms)
        if duration_ms > max_ms:
            raise wrong(self._table.at(key), format_duration(duration_ms), f"the maximum is {format_duration(max_ms)}")
        return duration_ms

    def _flag(self, key: str) -> bool:
        value = self._table.values.get(key, False)
        if not isinstance(value, bool):
            raise wrong(self._table.at(key), value, "it must be true or false")
        return value

    def _one_of(self, key: str, allowed: tuple[str, ...]) -> str | None:
        value = self._table.values.get(key)
        if value is not None and value not in allowed:
            raise wrong(self._table.at(key), value, f"it must be one of {', '.join(allowed)}")
        return value

    def _some_of(self, key: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
        values = self._table.texts(key) if key in self._table.values else ()
        for value in values:
            if value not in allowed:
                raise wrong(self._table.at(key), value, f"it must be one of {', '.join(allowed)}")
        return values


def _is_private(host: str) -> bool:
    """Return whether a URL's host is a private address, written as such. Names are resolved when they are used.

    >>> [_is_private(host) for host in ("10.0.0.8", "::1", "localhost", "desk.example.com")]
    [True, True, True, False]
    """
    try:
        return not is_public(host)
    except ValueError:
        return host == "localhost"


def _loopback(host: str) -> bool:
    """Return whether connections to a host stay on this machine.

    >>> [_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "localhost.example.com", "10.0.0.1")]
    [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
