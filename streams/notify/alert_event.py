"""A record of the alerts topic as what is sent over HTTP: a CloudEvent in binary mode, and its value."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import orjson

from streams.engine.contract import Record

# Standard Webhooks: the id is signed in front of a full stop, and must not have one itself.
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_ATTRIBUTE: Final = re.compile(r"ce_[a-z0-9]{1,64}")
# CloudEvents' HTTP binding 1.0.2, 3.1.3.2: visible ASCII stays, but for the quote and the percent sign.
_STAYS: Final = "".join(map(chr, range(0x21, 0x7F))).replace('"', "").replace("%", "")
_TYPE_PREFIX: Final = "churn.alert."


class UnreadableAlert(ValueError):
    """A record that is no alert event; the message says why and quotes nothing of it."""


class AlertRecord(NamedTuple):
    """One change of an alert.

    Attributes:
        id: the same whenever it is told: receivers recognise a repetition by it.
        attributes: of the CloudEvent, as HTTP headers.
        value: the alert, for filters and templates.
        body: the same as it stands in the topic.
    """

    id: str
    attributes: dict[str, str]
    value: dict[str, Any]
    body: bytes

    @classmethod
    def of(cls, record: Record) -> AlertRecord:
        """Raises `UnreadableAlert`."""
        texts = {name: (text or b"").decode("utf-8", "replace") for name, text in record.headers}
        found = texts.get("ce_id", "")
        if not texts.get("ce_type", "").startswith(_TYPE_PREFIX):
            raise UnreadableAlert(f"its header ce_type does not begin with {_TYPE_PREFIX}")
        if _ID.fullmatch(found) is None:
            raise UnreadableAlert("its header ce_id is missing, or not 1 to 128 letters, digits, - and _")
        try:
            value = orjson.loads(record.value or b"")
        except orjson.JSONDecodeError:
            raise UnreadableAlert("its value is no JSON") from None
        if not isinstance(value, dict):
            raise UnreadableAlert("its value is no JSON object")
        attributes = {
            name.replace("_", "-", 1): encoded(text) for name, text in texts.items() if _ATTRIBUTE.fullmatch(name)
        }
        return cls(found, attributes, value, record.value or b"")


def encoded(text: str) -> str:
    """A CloudEvents attribute as the value of an HTTP header: nothing in it ends a line.

    >>> encoded("Euro € 100 %"), encoded("c-1\\r\\nx: y")
    ('Euro%20%E2%82%AC%20100%20%25', 'c-1%0D%0Ax:%20y')
    """
    return quote(text, safe=_STAYS)
