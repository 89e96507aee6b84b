"""Alert events as CloudEvents over HTTP, in binary mode, read from records of the alerts topic."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec
import orjson

from streams.engine.contract import Record
from streams.rendering.alerts import read_alert
from streams.rendering.field_types import check_key

# Standard Webhooks: a full stop separates the id in the signed content, so that the id must not contain one.
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_ATTRIBUTE: Final = re.compile(r"ce_[a-z0-9]{1,64}")
# CloudEvents HTTP binding 1.0.2, 3.1.3.2: all characters but visible ASCII are encoded, and so are quote and percent.
_UNENCODED: Final = "".join(map(chr, range(0x21, 0x7F))).replace('"', "").replace("%", "")
_TYPE_PREFIX: Final = "churn.alert."


class UnreadableAlert(ValueError):
    """The record is not an alert event. The message gives the reason and does not quote the record."""


class AlertRecord(NamedTuple):
    """One alert event.

    Attributes:
        id: the same on each delivery, so that receivers can deduplicate.
        attributes: CloudEvents attributes as HTTP headers.
        value: the decoded alert, for filters and templates.
        body: its bytes as in the topic.
    """

    id: str
    attributes: dict[str, str]
    value: dict[str, Any]
    body: bytes

    @classmethod
    def of(cls, record: Record) -> AlertRecord:
        """Decode a record. Raises `UnreadableAlert`."""
        headers = {name: (text or b"").decode("utf-8", "replace") for name, text in record.headers}
        event_id = headers.get("ce_id", "")
        if not headers.get("ce_type", "").startswith(_TYPE_PREFIX):
            raise UnreadableAlert(f"the header ce_type does not begin with {_TYPE_PREFIX}")
        if _ID.fullmatch(event_id) is None:
            raise UnreadableAlert("the header ce_id is missing, or not 1 to 128 letters, digits, - and _")
        try:
            value = orjson.loads(record.value or b"")
        except orjson.JSONDecodeError:
            raise UnreadableAlert("the value is not valid JSON") from None
        if not isinstance(value, dict):
            raise UnreadableAlert("the value is not a JSON object")
        try:
            check_key(record.key, read_alert(value).customer.id)
        except msgspec.ValidationError as error:  # its text names the field and does not quote its value
            raise UnreadableAlert(str(error)) from None
        attributes = {
            name.replace("_", "-", 1): encode_attribute(text)
            for name, text in headers.items()
            if _ATTRIBUTE.fullmatch(name)
        }
        return cls(event_id, attributes, value, record.value or b"")


def encode_attribute(text: str) -> str:
    """Percent-encode a CloudEvents attribute for an HTTP header, including line breaks.

    >>> encode_attribute("Euro € 100%"), encode_attribute("c-1\\r\\nx: y")
    ('Euro%20%E2%82%AC%20100%25', 'c-1%0D%0Ax:%20y')
    """
    return quote(text, safe=_UNENCODED)
