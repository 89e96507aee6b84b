"""Records of the topics that the console reads: good ones are decoded, foreign ones are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import orjson
import pytest

from models.experience.aggregates import GOALS, LABELS, ExperienceBlock
from models.experience.aggregates import metric_key as experience_key
from models.experience.aggregates import metric_value as experience_value
from models.pipeline.unreadable_record import metric_key as unreadable_key
from models.pipeline.unreadable_record import metric_value as unreadable_value
from models.retention.aggregates import RetentionBlock, Segment
from models.retention.aggregates import metric_key as retention_key
from models.retention.aggregates import metric_value as retention_value
from models.value.bg_nbd import PurchaseCells, PurchaseHistory
from models.value.gamma_gamma import SpendHistory, SpendingCells
from models.value.purchase_aggregates import CellSnapshot
from streams.console.published_records import alert_change, published_metric, score_change
from streams.kafka.unusable_records import UnusableRecords, reason_of
from streams.settings import Settings
from streams.training.learner import QUALITY_KEY, ModelLearner
from tests.foreign_records import ForeignRecord, foreign_records, odd_metadata
from tests.streams.alert_values import life
from tests.streams.console.published import record, score_of
from tests.streams.training.test_learner import labels

Decode = Callable[[Any], object]


def quality() -> bytes:
    [output] = ModelLearner(Settings()).learn(labels(60))
    assert output.value is not None
    return output.value


def good_records() -> dict[str, tuple[bytes, bytes, Decode]]:
    """Key, value and decoder of a good record of each kind."""
    goals, churn = ExperienceBlock(GOALS, 0, "pro").key, ExperienceBlock(LABELS, 648, "pro").key
    pairs = {"0/all": (3, 1), "0/csat/5": (2, 0), "1/goal/report@66bd21a3/late": (1, 1)}
    block = RetentionBlock("d", 620, Segment("pro", "ads").group).key
    purchases, spending = PurchaseCells(), SpendingCells()
    purchases.move(None, PurchaseHistory(1, 19_000, 19_030))
    spending.move(None, SpendHistory(2, 3_000))
    record_of_counts = msgspec.msgpack.encode(([("Social Mention", "sentiment", 4, 17, 90)], False))
    first, value = CellSnapshot(19_100, purchases, {"": spending}, []).records(3)
    assert first[1] is not None
    assert value[1] is not None
    return {
        "score": (b"c1", orjson.dumps(score_of("c1")), score_change),
        "alert": (b"c1", life("c1")[0][1], alert_change),
        "quality": (QUALITY_KEY, quality(), published_metric),
        "goals": (
            experience_key(3, goals),
            experience_value(3, goals, msgspec.msgpack.encode((0, {"report@66bd21a3/20": (3, 1)}))),
            published_metric,
        ),
        "labels": (
            experience_key(3, churn),
            experience_value(3, churn, msgspec.msgpack.encode((648, pairs))),
            published_metric,
        ),
        "retention": (
            retention_key(3, block),
            retention_value(3, block, msgspec.msgpack.encode({1 * 32 + 3: 7})),
            published_metric,
        ),
        "unreadable": (unreadable_key(3), unreadable_value(3, record_of_counts) or b"", published_metric),
        "purchases": (first[0], first[1], published_metric),
        "spending": (value[0], value[1], published_metric),
    }


GOOD = good_records()
FOREIGN = [(name, foreign) for name, (key, value, _) in GOOD.items() for foreign in foreign_records(key, value)]


@pytest.mark.parametrize("name", GOOD)
def test_good_records_are_used_whatever_their_timestamp_and_headers(name: str) -> None:
    key, value, decode = GOOD[name]
    unusable = UnusableRecords()
    for number, odd in enumerate([ForeignRecord("good", key, value), *odd_metadata(key, value)]):
        assert unusable.use(record("t", odd.key, odd.value, number, headers=odd.headers), decode) is not None, odd.kind
    assert unusable.total == 0


@pytest.mark.parametrize("name", GOOD)
def test_foreign_records_are_refused_without_quoting_them(name: str) -> None:
    """Rule: each of 50 kinds is counted and reported once, also if it is read twice. The report is one short line."""
    key, value, decode = GOOD[name]
    reports: list[str] = []
    unusable = UnusableRecords(lambda _, reason: reports.append(reason))
    foreign = foreign_records(key, value)
    used = []
    for _ in range(2):
        for number, kind in enumerate(foreign):
            if unusable.use(record("t", kind.key, kind.value, number), decode) is not None:
                used.append(kind.kind)
    assert not used
    assert unusable.total == len(reports) == len(foreign) >= 45
    assert not [reason for reason in reports if len(reason) > 200 or "\n" in reason or "c1-" in reason]


@pytest.mark.parametrize("decode", [score_change, alert_change, published_metric])
def test_every_value_of_the_topics_is_required_to_be_an_object_of_ours(decode: Decode) -> None:
    """Rule: a record without a value is a tombstone where the topic is compacted, and refused where it is not."""
    for value in (b"[]", b'"x"', b"null", b"1"):
        with pytest.raises(ValueError, match=r"\w"):
            decode(record("t", b"model.quality/0", value))
    if decode is alert_change:
        with pytest.raises(ValueError, match="no value"):
            decode(record("t", b"c1", None))
    else:
        decode(record("t", b"model.quality/0", None))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("seq",), 2**63),
        (("seq",), 0),
        (("severity",), "extreme"),
        (("time",), "2024-13-45T99:99:99Z"),
        (("opened_at",), "yesterday"),
        (("score", "probability"), 1.5),
        (("customer", "id"), "someone else"),
        (("value", "revenue_at_risk"), 1e300),
        (("reasons",), [{"code": "x", "sentence": "x"}] * 1_000),
    ],
)
def test_alert_with_one_wrong_field_is_refused(path: tuple[str, ...], value: object) -> None:
    alert = json.loads(life("c1")[0][1])
    at = alert
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    with pytest.raises(ValueError, match=r"\w") as refused:
        alert_change(record("churn-alerts", b"c1", json.dumps(alert).encode()))
    assert "else" not in reason_of(refused.value)
