"""The routes of notify.toml: which alerts go where, checked, with what is secret taken from the environment."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from models.alerts.policy import BANDS, TYPES
from models.definition.competing_risks import ROUTES
from models.definition.toml_table import DefinitionError, Table, read_toml, wrong
from models.duration import DAY_MS, MINUTE_MS, SECOND_MS, format_duration
from models.explanations.codes import RISKS
from streams.errors import ConfigurationError
from streams.notify.filter import Filter
from streams.notify.signature import key_of
from streams.notify.template import ESCAPES, SAMPLE, BodyTemplate, TemplateError
from streams.settings import MASK, PREFIX

KEYS: Final = (
    "url", "url_from", "allow_http", "secret_from", "unsigned", "headers", "headers_from",
    "types", "band", "route", "reasons", "segments", "min_revenue_at_risk", "max_age",
    "start", "tries", "first_wait", "longest_wait", "timeout", "concurrency", "body", "escape",
)  # fmt: skip
STARTS: Final = ("now", "beginning")
# Each route is a member of a group of its own, with two connections to the brokers.
ROUTES_MAX: Final = 32
# 1 s, 2 s, 4 s ... 5 min: an endpoint may be away for an hour, a deployment of it costs seconds.
TRIES, TRIES_MAX = 20, 1_000
FIRST_WAIT_MS, LONGEST_WAIT_MS, WAIT_MAX_MS = SECOND_MS, 5 * MINUTE_MS, DAY_MS
# Receivers should take a webhook and work on it afterwards (Standard Webhooks, "Webhook delivery").
TIMEOUT_MS, TIMEOUT_MAX_MS = 15 * SECOND_MS, MINUTE_MS
CONCURRENCY, CONCURRENCY_MAX = 4, 64

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_VISIBLE: Final = re.compile(r"[ -~]*")
# Ours to set, or the client's.
_TAKEN: Final = re.compile(
    r"(ce-|webhook-).*|content-(type|length|encoding)|host|transfer-encoding|connection|user-agent", re.I
)


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how fast a route is tried."""

    tries: int = TRIES
    first_wait_s: float = FIRST_WAIT_MS / 1000
    longest_wait_s: float = LONGEST_WAIT_MS / 1000
    timeout_s: float = TIMEOUT_MS / 1000
    concurrency: int = CONCURRENCY


@dataclass(frozen=True)
class Route:
    """One receiver. Its representation shows no secret.

    Attributes:
        keys: sign what is sent; none: unsigned.
        start: where a route begins that never delivered: a name of `STARTS`.
        body: what is posted instead of the event.
        secrets: texts that no log may show.
    """

    name: str
    url: str = field(repr=False)
    keys: tuple[bytes, ...] = field(default=(), repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    filter: Filter = field(default_factory=Filter)
    pace: RetryPolicy = field(default_factory=RetryPolicy)
    start: str = STARTS[0]
    body: BodyTemplate | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def shown(self) -> str:
        """The route in a line for people, without what is secret."""
        url = MASK if self.url in self.secrets else self.url
        signed = {0: "unsigned", 1: "signed"}.get(len(self.keys), f"signed with {len(self.keys)} keys")
        return f"{self.name}: {url}, {signed}, {'a body of its own' if self.body else 'CloudEvents'}"


def read_routes(path: Path, environment: Mapping[str, str]) -> tuple[Route, ...]:
    """The routes of a file. Raises ConfigurationError with one sentence that names the file."""
    try:
        return parse_routes(path.read_text(encoding="utf-8"), environment)
    except DefinitionError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: byte {error.start} is not UTF-8 text.") from None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror or error} (name yours with {PREFIX}NOTIFY_ROUTES)."
        ) from None


def parse_routes(text: str, environment: Mapping[str, str]) -> tuple[Route, ...]:
    """The routes of a text in TOML. Raises DefinitionError: one sentence that quotes no secret."""
    tables = Table(read_toml(text), "", ("routes",)).values.get("routes")
    if not isinstance(tables, dict) or not 1 <= len(tables) <= ROUTES_MAX:
        raise DefinitionError(f"it must have 1 to {ROUTES_MAX} tables [routes.NAME].")
    for name in tables:
        if _NAME.fullmatch(name) is None:
            raise wrong("a route's name", name, "it must be 1 to 31 small letters, digits and -: it names a group")
    return tuple(
        _Reader(Table(value, f"routes.{name}", KEYS), name, environment).route() for name, value in tables.items()
    )


class _Reader:
    """One table [routes.NAME]."""

    def __init__(self, table: Table, name: str, environment: Mapping[str, str]) -> None:
        self._table, self._name, self._environment = table, name, environment
        self._secrets: list[str] = []

    def route(self) -> Route:
        table = self._table
        url, keys, headers = self._url(), self._keys(), self._headers()
        return Route(
            self._name, url, keys, headers, self._filter(), self._pace(),
            self._one_of("start", STARTS) or STARTS[0], self._body(table), tuple(self._secrets),
        )  # fmt: skip

    def _url(self) -> str:
        table = self._table
        if ("url" in table.values) == ("url_from" in table.values):
            raise DefinitionError(
                f"{table.path} must have url, or url_from (the name of a variable, where the address is a secret), and"
                " not both."
            )
        if "url" in table.values:
            url, at = table.text("url"), table.at("url")
        else:
            url, at = self._secret(table.at("url_from"), table.values["url_from"]), f"{table.at('url_from')}'s variable"
        try:
            parts = urlsplit(url)
            host = parts.hostname
            assert parts.port != 0
        except (ValueError, AssertionError):
            host = None
        if host is None or parts.scheme not in ("https", "http") or not _VISIBLE.fullmatch(url) or " " in url:
            raise DefinitionError(f"{at} must be an address such as https://desk.example.com/hooks/churn.")
        if parts.username is not None or parts.password is not None:
            raise DefinitionError(
                f"{at} must not hold a user or password: give the header Authorization in headers_from."
            )
        if parts.scheme == "http" and not _loopback(host) and not self._yes("allow_http"):
            raise DefinitionError(
                f"{at} is plain http to another machine, where everybody on the way reads and may change the alerts:"
                " use https, or set allow_http = true."
            )
        return url

    def _keys(self) -> tuple[bytes, ...]:
        table = self._table
        if ("secret_from" in table.values) == self._yes("unsigned"):
            raise DefinitionError(
                f"{table.path} must have secret_from (the name of a variable with the key that signs), or unsigned ="
                " true for a receiver that checks no signature."
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
                raise DefinitionError(f"the variable {name}, which {table.at('secret_from')} names: {error}.") from None
        return tuple(keys)

    def _headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for key in ("headers", "headers_from"):
            table = self._table.values.get(key, {})
            if not isinstance(table, dict):
                raise wrong(self._table.at(key), table, "it must be a table of headers")
            for name, value in table.items():
                at = f"{self._table.at(key)}.{name}"
                if _HEADER.fullmatch(name) is None or _TAKEN.fullmatch(name) is not None or name in found:
                    raise DefinitionError(f"{at}: this name of a header is not free, or none.")
                text = self._secret(at, value) if key == "headers_from" else value
                if not isinstance(text, str) or _VISIBLE.fullmatch(text) is None:
                    raise DefinitionError(f"{at} must be a text of visible ASCII characters and blanks.")
                found[name] = text
        return found

    def _filter(self) -> Filter:
        table = self._table
        least = table.values.get("min_revenue_at_risk")
        if least is not None and (isinstance(least, bool) or not isinstance(least, int | float) or not least >= 0):
            raise wrong(table.at("min_revenue_at_risk"), least, "it must be a number, 0 or more")
        return Filter(
            self._some_of("types", TYPES),
            BANDS.index(self._one_of("band", BANDS) or BANDS[0]),
            self._some_of("reasons", RISKS),
            table.texts("segments") if "segments" in table.values else (),
            least,
            table.duration("max_age", 0) or None,
            self._one_of("route", ROUTES),
        )

    def _pace(self) -> RetryPolicy:
        table = self._table
        first_ms = self._wait("first_wait", FIRST_WAIT_MS, WAIT_MAX_MS)
        longest_ms = self._wait("longest_wait", max(first_ms, LONGEST_WAIT_MS), WAIT_MAX_MS)
        if longest_ms < first_ms:
            raise wrong(table.at("longest_wait"), format_duration(longest_ms), "it must not be below first_wait")
        return RetryPolicy(
            table.integer("tries", TRIES, 1, TRIES_MAX),
            first_ms / 1000,
            longest_ms / 1000,
            self._wait("timeout", TIMEOUT_MS, TIMEOUT_MAX_MS) / 1000,
            table.integer("concurrency", CONCURRENCY, 1, CONCURRENCY_MAX),
        )

    def _body(self, table: Table) -> BodyTemplate | None:
        escape = self._one_of("escape", tuple(ESCAPES))
        if "body" not in table.values:
            if escape is not None:
                raise DefinitionError(f"{table.at('escape')} is for a body of templates, and there is no body.")
            return None
        shape = table.values["body"]
        if not isinstance(shape, dict):
            raise wrong(table.at("body"), shape, "it must be a table, the JSON object to post")
        try:
            body = BodyTemplate(shape, escape or "slack")
            body.render(SAMPLE)
        except TemplateError as error:
            raise DefinitionError(f"{table.at('body')}: {error}.") from None
        return body

    def _secret(self, at: str, name: Any) -> str:
        """What stands in the variable of this name, to be hidden from now on."""
        if not isinstance(name, str) or _VARIABLE.fullmatch(name) is None or name.startswith(PREFIX):
            # Not quoted: it may be the secret itself, in the wrong place.
            raise DefinitionError(
                f"{at} must be the name of an environment variable that does not begin with {PREFIX}."
            )
        text = self._environment.get(name, "").strip()
        if not text:
            raise DefinitionError(f"{at} names the environment variable {name}, which is not set.")
        self._secrets.append(text)
        return text

    def _wait(self, key: str, default_ms: int, most_ms: int) -> int:
        found = self._table.duration(key, default_ms)
        if found > most_ms:
            raise wrong(
                self._table.at(key), format_duration(found), f"the longest allowed is {format_duration(most_ms)}"
            )
        return found

    def _yes(self, key: str) -> bool:
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
        found = self._table.texts(key) if key in self._table.values else ()
        for one in found:
            if one not in allowed:
                raise wrong(self._table.at(key), one, f"allowed are {', '.join(allowed)}")
        return found


def _loopback(host: str) -> bool:
    """Whether an address never leaves this machine.

    >>> [_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "localhost.example.com", "10.0.0.1")]
    [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
