"""One customer's alert as it is stored."""

from __future__ import annotations

from typing import Final

import msgspec

from models.profile.schema import NEVER_MS

PENDING, OPEN, ACKNOWLEDGED, SNOOZED, RESOLVED, RETRACTED, EXPIRED = range(1, 8)
STATES: Final = ("none", "pending", "open", "acknowledged", "snoozed", "resolved", "retracted", "expired")


class AlertState(msgspec.Struct, array_like=True, gc=False):
    """One customer's alert, as it is stored: bounded, data only (`pack`, `unpack`)."""

    phase: int
    since_ms: int  # pending: the dwell's start; later: when it opened; ended: when it ended
    cause: str
    cause_ms: int
    band: int  # highest published
    last_band: int  # of the newest score
    silent: bool
    scored_ms: int
    due_ms: int = NEVER_MS  # end of dwell, snooze or cooldown
    notified_ms: int = 0  # opened, escalated or reminded
    reminded_ms: int = 0  # newest reminder, 0 for none
    reminders: int = 0
    seq: int = 0
    alert_id: str = ""
    shown: int = 0  # the seq that the customer's newest score was published with
    note: bytes = b""  # the newest score as published; stored for the caller, not read here
    rule: str = ""  # reason code of the detractor's response that opened the alert or was added to it
    billing: bool = False  # routed to the billing team; fixed when the alert opens

    @property
    def live(self) -> bool:
        """Whether the alert has opened and not ended."""
        return OPEN <= self.phase <= SNOOZED


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(AlertState)


def pack(state: AlertState, due: int) -> bytes:
    """Encode as a store record. Records with deadlines begin with their due time."""
    return due.to_bytes(8, "big") + _ENCODER.encode(state)


def unpack(record: bytes | None) -> AlertState | None:
    """The inverse of `pack`. Raises msgspec.DecodeError for anything else."""
    return None if record is None else _DECODER.decode(memoryview(record)[8:])
