"""Credentials for the brokers, and secrets in files: they are read again, as mounted secrets rotate meanwhile.

Tested by tests/security/test_secrets.py.
"""

from __future__ import annotations

import importlib
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from streams.errors import SettingsError

if TYPE_CHECKING:
    from aiokafka.abc import AbstractTokenProvider

# A secret is a line of text. A larger file is another file, named by mistake.
SECRET_MAX_BYTES: Final = 16 * 1024


class _CachedSecret(NamedTuple):
    """Content of a file, and what identifies this version of it."""

    version: tuple[int, ...]
    text: str


_cache: dict[str, _CachedSecret] = {}


def read_secret(path: str, name: str) -> str:
    """Return the content of a file without the line end.

    A file that was replaced or changed is read again. If that fails, the former content stays in use: a mount that is
    being replaced must not stop a process. The next start reports it.

    Args:
        name: variable that names the file, for errors.

    Raises:
        SettingsError: the file cannot be read, and has not been read before. The message does not quote its content.
    """
    known = _cache.get(path)
    try:
        found = os.stat(path)
        version = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
        if known is None or known.version != version:
            known = _cache[path] = _CachedSecret(version, _read(path, name))
    except OSError as failure:
        if known is None:
            raise SettingsError(f"{name}={path} cannot be read: {failure.strerror or failure}") from None
    except SettingsError:
        if known is None:
            raise
    return known.text


def check_secret(text: str, name: str) -> None:
    """Reject a secret that cannot be sent or compared as text.

    Raises:
        SettingsError: the message does not quote the secret.
    """
    if not text.isprintable():  # also half a surrogate pair: a byte of the environment that is not UTF-8
        raise SettingsError(f"{name} must be one line of text in UTF-8 without control characters")


def _read(path: str, name: str) -> str:
    content = Path(path).read_bytes()
    if not 0 < len(content) <= SECRET_MAX_BYTES:
        raise SettingsError(f"{name}={path} must have 1 to {SECRET_MAX_BYTES:,} bytes and has {len(content):,}")
    text = content.decode("utf-8", "surrogateescape").rstrip("\r\n")
    check_secret(text, f"the content of {name}={path}")
    if not text:
        raise SettingsError(f"{name}={path} is empty")
    return text


def tls_context(cafile: str, certfile: str, keyfile: str, password: str) -> ssl.SSLContext:
    """Return a context that verifies certificate and host name, and presents a client certificate if there is one.

    Raises:
        OSError: a file cannot be read, or the password does not open the key.
    """
    context = ssl.create_default_context(cafile=cafile or None)
    if certfile:
        # Without a password OpenSSL would ask for it on the terminal, and the process would wait forever.
        context.load_cert_chain(certfile, keyfile or None, password)
    return context


def token_provider(path: str, name: str) -> AbstractTokenProvider:
    """Make the provider of OAUTHBEARER tokens that a setting names as `module:Class`.

    Raises:
        SettingsError: there is no such class, it is no token provider, or it cannot be made without arguments.
    """
    from aiokafka.abc import AbstractTokenProvider  # costs 0.1 s, which --help need not wait for

    module, _, attribute = path.partition(":")
    try:
        provider = getattr(importlib.import_module(module), attribute)()
    except Exception as failure:
        kind = type(failure).__name__  # its text may quote a credential
        raise SettingsError(f"{name}={path} cannot be loaded: {kind}; it must be module:Class") from None
    if not isinstance(provider, AbstractTokenProvider):
        raise SettingsError(f"{name}={path} must be a subclass of aiokafka.abc.AbstractTokenProvider")
    return provider


class SaslPassword(str):
    """A password that can be read again: `streams.kafka.aiokafka_internals` does so for each login.

    It is a `str`, so that aiokafka takes it like any other password.
    """

    read: Callable[[], str]

    @classmethod
    def read_by(cls, read: Callable[[], str]) -> SaslPassword:
        """Return the password that `read` returns now."""
        password = cls(read())
        password.read = read
        return password

    def current(self) -> SaslPassword:
        """Return the password as of now."""
        return SaslPassword.read_by(self.read)
