"""Signatures of control events: events that delete a customer, change a consent or act on an alert.

The header `churn.signature` is the HMAC-SHA256 of the record's value in hexadecimal. The value states customer, time
and id, so a signature fits no other event. A publisher without a secret can publish activity only.

Tested by tests/security/test_control_events.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from streams.errors import SettingsError
from streams.settings import Settings, variable

SIGNATURE: Final = "churn.signature"
# Reason of the dead letter.
UNAUTHORIZED_CONTROL: Final = "unauthorized_control"

_MODE, _SECRET = variable("control_events"), variable("control_secret")


class ControlSignatures:
    """Signs and verifies control events according to the settings.

    Raises:
        SettingsError: a secret is too short, or its file cannot be read. A file that becomes so later changes nothing.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._last_keys = settings.control_keys()

    def accepts(self, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> bool:
        """Whether a control event may be applied. Compares in constant time."""
        if self._settings.control_events == "any":
            return True
        sent = [content for name, content in headers if name == SIGNATURE and content]
        if not sent:
            return False
        expected = [signature_of(key, value or b"") for key in self._keys()]
        return any(hmac.compare_digest(one, other) for one in expected for other in sent)

    def sign(self, value: bytes) -> list[tuple[str, bytes]]:
        """Return the headers of a signed control event; none if there is no secret."""
        keys = self._keys()
        return [(SIGNATURE, signature_of(keys[0], value))] if keys else []

    def _keys(self) -> tuple[bytes, ...]:
        with contextlib.suppress(SettingsError):
            self._last_keys = self._settings.control_keys()
        return self._last_keys

    def refusal(self, name: str) -> str:
        """Return why a control event was refused, and what to change."""
        missing = "" if self._keys() else f", and this worker has no {_SECRET}"
        return (
            f"{name} is a control event without a valid signature{missing}: sign the record's value with {_SECRET}"
            f" in the header {SIGNATURE} (docs/events.md)."
        )


def signature_of(key: bytes, value: bytes) -> bytes:
    """Return the header for a value.

    >>> signature_of(b"0123456789abcdef0123456789abcdef", b"{}")[:16]
    b'b326604c0dc7364c'
    """
    return hmac.new(key, value, hashlib.sha256).hexdigest().encode()


def unsigned_refusal(settings: Settings) -> str:
    """Return why this process cannot publish control events; empty if it can."""
    if settings.control_events == "any" or settings.control_keys():
        return ""
    return (
        f"workers apply actions on alerts only with a signature, and {_SECRET} is not set; set it to the secret of the"
        " workers"
    )


def unsigned_notice(settings: Settings) -> str:
    """Return what is noteworthy about control events at the start of a worker; empty if they are signed."""
    if settings.control_events == "any":
        return (
            f"{_MODE}=any: every publisher of {settings.topic_events} can delete customers and close alerts; sign"
            f" control events with {_SECRET} instead"
        )
    if settings.control_keys():
        return ""
    return (
        f"{_SECRET} is not set, so control events (deletion, consent, actions on alerts, interventions) are"
        f" dead-lettered as {UNAUTHORIZED_CONTROL}; generate a secret with: openssl rand -hex 32"
    )
