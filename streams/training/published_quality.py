"""Read the trainer's quality record, with every field checked for type and bounds.

Anyone with write access to the metrics topic can write a record under this key. Tested by
tests/streams/console/test_published_records.py.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from models.learning.quality_log import DAYS_KEPT

_Share = Annotated[float, Meta(ge=0, le=1)]
_Loss = Annotated[float, Meta(ge=0, le=1e6)]
_Count = Annotated[int, Meta(ge=0, le=2**53)]
# Days since 1970 until 2100; -1 before the first label.
_Day = Annotated[int, Meta(ge=-1, le=47_482)]
_NAME_CHARACTERS: Final = 64
_BINS_MAX: Final = 100


class _Losses(msgspec.Struct):
    answer: _Loss | None
    prior: _Loss | None
    champion: _Loss | None = None
    challenger: _Loss | None = None


class _Bin(msgspec.Struct):
    n: _Count
    probability: _Share
    rate: _Share
    low: _Share
    high: _Share
    lowest: _Share | None = None
    highest: _Share | None = None


class _HeadQuality(msgspec.Struct):
    labels: _Count
    positives: _Count
    log_loss: _Losses
    auc: _Share | None = None
    ece: _Share | None = None
    brier: _Share | None = None
    rate: _Share | None = None
    mean_probability: _Share | None = None


_DayRow = tuple[_Day, _Count, _Count, _Loss, _Loss, _Share | None, _Share | None]


class PublishedQuality(_HeadQuality):
    """The value of the quality record. Fields with a default are missing in records of earlier releases.

    Raises:
        ValueError: there are labels but no log loss.
    """

    answering: Annotated[str, Meta(max_length=_NAME_CHARACTERS)] = ""
    reliability: Annotated[list[_Bin], Meta(max_length=_BINS_MAX)] = []
    days: Annotated[list[_DayRow], Meta(max_length=DAYS_KEPT)] = []
    involuntary: _HeadQuality | None = None

    def __post_init__(self) -> None:
        for head in (self, self.involuntary):
            if head is not None and head.labels and (head.log_loss.answer is None or head.log_loss.prior is None):
                raise ValueError("labels without a log loss")


_decode: Final = msgspec.json.Decoder(PublishedQuality).decode


def read_quality(value: bytes) -> dict[str, Any]:
    """Return the quality record as JSON values, with every known field.

    Raises:
        msgspec.MsgspecError: a field is missing or wrong; the message names it and does not quote its value.
    """
    quality: dict[str, Any] = msgspec.to_builtins(_decode(value))
    return quality
