"""Class an unlisted event name: done by the customer, or done to the customer.

A message that was sent and an invoice that was created do not show what the customer does. If such events counted as
engagement, a customer who left would look active for as long as the company writes to them. The reverse mistake costs
less: an active customer nearly always has other events too. So a form that is usually passive is passive, except for
what people send to each other (`Invite Sent`), and `[events]` of churn.toml overrides the rule for any name.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from models.events.spelling import name_words


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PASSIVE: Final = _words(
    """sent delivered received bounced failed expired scheduled queued enqueued generated synced synchronized dropped
    deferred suppressed throttled triggered processed dispatched shipped fulfilled refunded charged billed invoiced
    renewed issued provisioned suspended notified reminded dunned expiring overdue"""
)
"""Participles that name the work of a system. `expired` and `overdue` happen by themselves."""

_PASSIVE_FIRST: Final = _words("sent delivered received bounced queued scheduled failed expired")
"""Some tracking plans put the verb first: `Sent Newsletter`."""

_OF_CHANNELS: Final = _words(
    """send delivery bounce drop skip failure rejection complaint impression display abort
    drafted attempted aborted displayed shown presented rejected undelivered undeliverable accepted blocked converted"""
)
"""Words of messaging tools: `emailSend`, `users.messages.email.Delivery`, `Email Drafted`. Passive with a channel."""

_CHANNELS: Final = _words(
    """email mail sms mms rcs push whatsapp notification notifications newsletter digest campaign canvas webhook slack
    inapp reminder receipt alert banner"""
)

_SENT_BY_PEOPLE: Final = _words(
    """message messages invite invites invitation invitations gift gifts request requests reply comment feedback
    referral file files document documents quote proposal contract signature money kudos question answer application
    review post meeting call demo appointment booking event report"""
)
"""What people send or schedule by hand. With a channel (`WhatsApp Message Sent`) it is the company's message."""

_BY_PEOPLE: Final = _words("sent scheduled")

_SYSTEM_OBJECTS: Final = _words("invoice charge payout webhook dunning chargeback dispute")
"""Objects that billing and integrations make. Reading one is an action; everything else is done by a system."""

_SYSTEM_PAIRS: Final = frozenset((("credit", "note"), ("payment", "intent"), ("setup", "intent"), ("balance", "due")))

_ACTIONS: Final = _words(
    """viewed view opened open downloaded download clicked click tapped read searched exported shared printed edited
    commented approved selected filtered"""
)
"""What a person does with an object that a system made."""

_ACTORS: Final = _words("system automation scheduler cron admin agent support staff")


def is_passive(name: str) -> bool:
    """Check whether an event name states what was done to the customer, not what the customer did.

    >>> [is_passive(name) for name in ("Push Notification Sent", "invoice.created", "Invite Sent", "Report Shared")]
    [True, True, False, False]
    """
    parts = name_words(name)
    if not parts:
        return False
    first, last = parts[0], parts[-1]
    if len(parts) > 2 and parts[-2] == "by" and last in _ACTORS:
        return True
    if "automatically" in parts or parts[:1] == ["auto"]:
        return True
    if (first in _SYSTEM_OBJECTS or tuple(parts[:2]) in _SYSTEM_PAIRS) and len(parts) > 1:
        return last not in _ACTIONS
    if last in _PASSIVE:
        return not _is_sent_by_people(parts[:-1], last)
    if first in _PASSIVE_FIRST and len(parts) > 1 and not _is_participle(last):
        return not _is_sent_by_people(parts[1:], first)
    return last in _OF_CHANNELS and _has_channel(parts)


def _is_sent_by_people(thing: list[str], verb: str) -> bool:
    return verb in _BY_PEOPLE and bool(thing) and thing[-1] in _SENT_BY_PEOPLE and not _has_channel(thing)


def _has_channel(parts: list[str]) -> bool:
    return not _CHANNELS.isdisjoint(parts) or ("in", "app") in pairwise(parts)


def _is_participle(word: str) -> bool:
    """`Scheduled Report Viewed` ends in the customer's action; `Sent Newsletter` does not."""
    return (word.endswith("ed") and len(word) > 4) or word in _ACTIONS
