"""Decide which customer an event belongs to, and which account: ids as sent, and values that identify no customer.

A program that has no id often sends the text of its missing value instead. All such events together would become one
customer with the activity of thousands. Segment, Mixpanel and PostHog block similar lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from models.events.rejection import Rejected, reject

if TYPE_CHECKING:
    from models.events.envelope import Call

MAX_ID_BYTES: Final = 256
"""Longest customer or account id in UTF-8. Ids are keys of topics and of the store. E-mail addresses have up to 254."""

BLOCKED_IDS: Final = frozenset(
    {
        # a missing value as text, in JavaScript, Java, Python, Ruby, Go, spreadsheets and Google Analytics
        "undefined", "null", "nil", "<nil>", "none", "nan", "[object object]", "n/a", "#n/a", "(none)", "(not set)",
        # the absence of a user in words
        "anonymous", "anon", "guest", "unknown", "not_authenticated", "unauthenticated",
        # a flag or the name of the field instead of its value
        "true", "false", "userid", "user_id", "email", "distinct_id", "distinctid",
        # a database's and a C program's "no row"
        "-1",
    }
)  # fmt: skip
"""Ids that identify no customer, in lower case. All zeros and dashes (`0`, the nil UUID) are blocked as well."""

_LONGEST_BLOCKED: Final = max(map(len, BLOCKED_IDS))


def is_blocked(identity: str) -> bool:
    """Check whether an id identifies no customer, in any case and with spaces around it.

    >>> [is_blocked(name) for name in ("NULL", " None ", "0", "00000000-0000-0000-0000-000000000000", "-1")]
    [True, True, True, True, True]
    >>> [is_blocked(name) for name in ("1", "10", "c-0", "null-device", "Noel", "-7")]
    [False, False, False, False, False, False]
    """
    bare = identity.strip()
    if not bare.strip("0-"):
        return True
    return len(bare) <= _LONGEST_BLOCKED and bare.isascii() and bare.lower() in BLOCKED_IDS


def read_id(value: object) -> str | None:
    """Read an id of 1 to 256 bytes in UTF-8 exactly as sent; a number becomes its decimal string."""
    if type(value) is str:
        if 0 < len(value) <= MAX_ID_BYTES // 4 or 0 < len(value.encode()) <= MAX_ID_BYTES:
            return value
        return None
    if type(value) is int and value.bit_length() <= 3 * MAX_ID_BYTES:  # 3 bits are less than one decimal digit
        return str(value)
    return None


def identify(call: Call) -> tuple[str, bool] | Rejected:
    """Return the customer of a call, and whether the id is an `anonymousId`.

    A `userId` that is blank or blocked counts as absent if there is an `anonymousId`.
    """
    sent: object = call.userId
    if sent is not None:
        customer = read_id(sent)
        if customer is not None and not is_blocked(customer):
            return customer, False
        if call.anonymousId is None or not (sent == "" or customer is not None):
            return _refused(customer)
    sent = call.anonymousId
    if sent is None:
        return reject("missing_customer")
    customer = read_id(sent)
    if customer is not None and not is_blocked(customer):
        return customer, True
    return _refused(customer)


def _refused(customer: str | None) -> Rejected:
    if customer is None or not customer.strip():
        return reject("bad_customer", "The customer id is empty or too long.")
    return reject("blocked_customer", f"The customer id is {customer[:40]!r}.")
