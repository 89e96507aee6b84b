"""State written by releases: the current format stays readable; other formats are rejected and stay unchanged."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import orjson
import pytest

from models.alerts import alert_state as alerts
from models.definition.churn_definition import ChurnDefinition
from models.labels import training_example as example
from models.pipeline import partition
from models.profile import codec as profile
from models.profile.mergeable import DAY_MS
from streams.engine import position
from streams.errors import FormatMismatch, RecordDamaged
from streams.kafka.model_reader import PublishedSnapshot
from streams.scoring import partition_state
from streams.scoring.event_processor import EventProcessor
from streams.scoring.processor_context import ProcessorContext
from streams.settings import Settings
from tests.streams.format_fixture import PARTITIONS, Fixture, FixtureStore, read

TODAY = "format2.json.gz"
# Of all values by the names of their fields. If a field got another name and nothing else changed, take the new one;
# if its place, type or meaning changed, raise the version and write another fixture beside this one.
TODAY_DIGEST = "4c877a96ef3a595d"


def shared(fixture: Fixture) -> ProcessorContext:
    return ProcessorContext(Settings(), ChurnDefinition.parse(fixture.churn), PARTITIONS)


def positions(fixture: Fixture) -> dict[int, position.Position]:
    found = {n: value for n, key, value in fixture.changelog if key == position.POSITION_KEY}
    return {n: position.decode_position(value or b"") for n, value in found.items()}


def named(value: Any, raw: Any) -> Any:
    """With the names of all fields that were written, which an encoded record has not. What a later release has added
    at the end of a record must be empty."""
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.fields(value)
        for added in fields[len(raw) :]:
            empty = added.default_factory() if added.default is msgspec.NODEFAULT else added.default
            assert getattr(value, added.name) == empty, added.name
        return {field.name: named(getattr(value, field.name), part) for field, part in zip(fields, raw, strict=False)}
    if isinstance(value, dict):
        return [[named(key, key), named(item, raw[key])] for key, item in value.items()]
    if isinstance(value, list | tuple | set | frozenset):
        return [named(item, part) for item, part in zip(value, raw, strict=True)]
    return value.hex() if isinstance(value, bytes | bytearray) else value


def shorn(written: Any, raw: Any) -> Any:
    """Remove what a later release has added at the end of a record."""
    if isinstance(raw, list):
        assert len(written) >= len(raw)
        return [shorn(new, old) for new, old in zip(written, raw, strict=False)]
    return {key: shorn(written[key], old) for key, old in raw.items()} if isinstance(raw, dict) else written


def again(key: bytes, value: bytes) -> tuple[bytes, Any]:
    """Decode and encode a record; returns the bytes, without added fields, and the decoded values."""
    if key == position.POSITION_KEY:
        here = position.decode_position(value)
        state = partition_state._decode(here.state)
        raw_state, raw_inner = msgspec.msgpack.decode(here.state), msgspec.msgpack.decode(state.partition)
        inner = partition._STATE_DECODER.decode(state.partition)
        kept = shorn(msgspec.to_builtins(inner, builtin_types=(bytes,)), raw_inner)
        holds = [named(here, msgspec.msgpack.decode(value)), named(state, raw_state), named(inner, raw_inner)]
        state.partition = msgspec.msgpack.encode(kept)
        outer = msgspec.msgpack.encode(shorn(msgspec.to_builtins(state, builtin_types=(bytes,)), raw_state))
        again = position.encode_position(here.next_offset, here.live, here.changelog_id, outer)
        return again, holds
    record: Any
    if key[:1] == b"c":
        record, head = profile.decode(value), value[: profile.PREFIX_BYTES]
        before: Any = list(profile.decode_head(value))
        written = profile.encode(record, before[0], before[2], before[3])
    elif key[:1] == b"a":
        record, head, before = alerts.unpack(value), value[:8], None
        written = alerts.pack(record, int.from_bytes(head, "big"))
    elif key[:1] == b"s":
        record, head, before = example._DECODER.decode(value), b"", None
        written = example._ENCODER.encode(record)
    if key[:1] in b"cas":
        raw = msgspec.msgpack.decode(value[len(head) :])
        left = msgspec.msgpack.encode(shorn(msgspec.msgpack.decode(written[len(head) :]), raw))
        holds = named(record, raw)
        return written[: len(head)] + left, holds if before is None else [before, holds]
    assert key[:1] in b"hrmve", key  # the history, and what the accounting keeps: compared by their bytes
    return value, value.hex()


def test_records_of_the_current_format_are_read_and_written_unchanged() -> None:
    """Rule: a record that is read and written again is unchanged, and its fields keep their meaning. Any other change
    requires a new version, because existing groups would misread their state."""
    digest = hashlib.sha256()
    kinds = set()
    for _, key, value in read(TODAY).changelog:
        written, holds = again(key, value or b"")
        assert written == value
        digest.update(orjson.dumps([key.hex(), holds]))
        kinds.add(key[:1])
    assert kinds >= {b"\0", b"c", b"a", b"s", b"h"}
    assert digest.hexdigest()[:16] == TODAY_DIGEST


def test_a_group_of_the_current_format_continues() -> None:
    """Rule: the next events are applied to the fixture's records, position and model."""
    fixture = read(TODAY)
    both = shared(fixture)
    both.on_snapshot(PublishedSnapshot(fixture.model, 0))
    for number, here in positions(fixture).items():
        store = FixtureStore()
        store.apply({key: value for n, key, value in fixture.changelog if n == number and key[:1] != b"\0"})
        mine = EventProcessor(both, number, store, here.state)
        last = [e for e in fixture.events if e.partition == number][-1]
        assert here.next_offset == last.offset + 1
        later = orjson.loads(last.value)
        later["messageId"], later["timestamp"] = "another", (last.timestamp + DAY_MS // 4) / 1000
        sent = last._replace(offset=here.next_offset, value=orjson.dumps(later), timestamp=last.timestamp + DAY_MS)
        effects = mine.process([sent], None)
        assert b"c" + later["userId"].encode() in effects.changes
        assert not [output for output in effects.outputs if output.topic == both.dead_letters]


def test_error_for_state_of_an_earlier_release_names_both_options() -> None:
    """Rule: records of format 1 are recognised and rejected."""
    fixture = read("format1.json.gz")
    with pytest.raises(FormatMismatch, match=r"written in format 1, this program reads 2; .*CHURN_KAFKA_GROUP_ID=NAME"):
        EventProcessor(shared(fixture), 0, FixtureStore(), positions(fixture)[0].state)
    old = next(value for _, key, value in fixture.changelog if key[:1] == b"c")
    with pytest.raises(profile.ProfileError, match="format version 1, this program reads version 2"):
        profile.decode(old or b"")


@pytest.mark.parametrize("layout", [[3, "of another", "shape"], [3]])
def test_state_of_a_later_release_is_rejected_whatever_its_layout(layout: object) -> None:
    """Rule: the version is decoded first."""
    state = msgspec.msgpack.encode(layout)
    with pytest.raises(FormatMismatch, match="nothing was changed: run the release that wrote it"):
        EventProcessor(shared(read(TODAY)), 0, FixtureStore(), state)
    with pytest.raises(FormatMismatch, match="nothing was changed: run the release that wrote it"):
        position.decode_position(state)


@pytest.mark.parametrize("layout", ["text", [], [1], [1, -5, True, b"", b""], ["1", 5, True, b"", b""], None, {}])
def test_a_position_that_no_release_wrote_is_damage(layout: object) -> None:
    with pytest.raises(RecordDamaged, match="the changelog's position record"):
        position.decode_position(msgspec.msgpack.encode(layout))
    with pytest.raises(RecordDamaged, match="cannot be decoded"):
        position.decode_position(b"\x91" * 5_000)
