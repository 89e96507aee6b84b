"""Committed contents of the topics after a run, and the contents expected from its input."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from models.definition.churn_definition import ChurnDefinition
from models.events.event import Event, decode
from models.pipeline.effects import OffsetEvent
from streams.engine import position
from streams.kafka.partitioner import partition_of
from streams.scoring.dead_letters import MISROUTED, PROCESSING_ERROR, DeadLetter
from streams.scoring.event_router import FORWARDED, TIMESTAMP
from streams.scoring.partition_state import decode_state
from streams.topics import ALERTS, CHANGELOG, DEAD_LETTERS, EVENTS, LABELS, SCORES, name_of
from tests.broker.oracle import Earlier, offline, read
from tests.crash.matrix.harm import POISON
from tests.crash.matrix.live import cuts_of, receipts_of
from tests.crash.matrix.log import snapshot
from tests.crash.matrix.scene import Scene
from tests.streams.format_fixture import Fixture

# Later than every record, so that only a record's timestamp caps its event time.
_LATER_MS = 4_000_000_000_000


@dataclass
class Evidence:
    """Counts by kind of output, and violations of the order within a partition.

    Attributes:
        commits: For each partition, (wall time, next offset) in order.
        inputs: For each partition, (offset, wall time of the record).
        labels: Values of the labels topic in order.
    """

    found: dict[str, Counter[Hashable]]
    expected: dict[str, Counter[Hashable]]
    disordered: list[str]
    commits: dict[int, list[tuple[int, int]]]
    inputs: dict[int, list[tuple[int, int]]]
    unmarked: int
    broken: int
    labels: list[bytes] = field(default_factory=list)


async def gather(
    scene: Scene,
    definition: ChurnDefinition,
    *,
    once: bool = False,
    live: bool = False,
    earlier: Fixture | None = None,
) -> Evidence:
    """Read all topics, fold the input offline, and count both.

    Args:
        once: Leave out events whose id was already seen.
        earlier: State of an earlier release, whose outputs are not in the topics.
        live: Deadlines depended on wall time. The clock of each position gives the time up to which they were handled.
    """
    run, settings = scene.run, scene.run.settings
    topics = (EVENTS, CHANGELOG, SCORES, ALERTS, LABELS, DEAD_LETTERS)
    events, changelog, scores, alerts, labels, letters = [await read(run, name_of(topic, settings)) for topic in topics]
    here = {(record.partition, record.offset) for record in events}
    events += [record for record in scene.archive if (record.partition, record.offset) not in here]
    events.sort(key=lambda record: (record.partition, record.offset))
    received = receipts_of(run.directory, changelog) if live else None
    source = _Input(name_of(EVENTS, settings), settings.partitions, once, scene.lost, received)
    for record in events:
        source.take(record)
    folds = {
        number: await asyncio.to_thread(
            offline,
            definition,
            source.topic,
            number,
            entries,
            snapshot(),
            cuts_of(changelog, number, entries) if live else (),
            _earlier(earlier, definition, number),
        )
        for number, entries in source.entries.items()
    }
    kept, commits = _replay(changelog, settings.partitions)
    scored = {n: [(r.key, r.value) for r in scores if r.partition == n] for n in folds}
    sent = {n: [(r.key, r.value, tuple(r.headers)) for r in alerts if r.partition == n] for n in folds}
    found: dict[str, Counter[Hashable]] = {
        "profiles": Counter((n, *pair) for n, records in kept.items() for pair in records.items()),
        "scores": Counter((n, *one) for n, many in scored.items() for one in many),
        "alerts": Counter((n, *one) for n, many in sent.items() for one in many),
        "examples": Counter(r.value for r in labels),
        "dead letters": Counter(_letter(DeadLetter.of(r)) for r in letters),
        "forwards": Counter((r.partition, r.key, r.value, tuple(r.headers)) for r in events if _forwarded_by_us(r)),
    }
    expected: dict[str, Counter[Hashable]] = {
        "profiles": Counter((n, *pair) for n, fold in folds.items() for pair in fold.records.items()),
        "scores": Counter((n, *one) for n, fold in folds.items() for one in fold.scores),
        "alerts": Counter((n, *one) for n, fold in folds.items() for one in fold.alerts),
        "examples": Counter(label for fold in folds.values() for label in fold.labels),
        "dead letters": source.letters,
        "forwards": source.forwards,
    }
    return Evidence(
        found,
        expected,
        [f"the order of {kind} in partition {n}" for n in folds for kind in _out_of_order(scored, sent, folds, n)]
        + [problem for n in folds for problem in out_of_sequence(value for _, value, _ in sent[n])],
        commits,
        {n: [(r.offset, r.timestamp) for r in events if r.partition == n] for n in folds},
        sum(not _forwarded_by_us(r) for r in events),
        source.letters.total(),
        [r.value for r in labels],
    )


class _Input:
    """Derives the expected outcome of each record of the events topic."""

    def __init__(
        self,
        topic: str,
        partitions: int,
        once: bool,
        lost: Mapping[int, tuple[int, int]],
        received: Callable[[int, int], int] | None,
    ) -> None:
        self.topic = topic
        self._partitions = partitions
        self._lost = lost
        self._received = received
        self._once = once
        self._seen: set[int] = set()
        self.entries: dict[int, list[OffsetEvent]] = {number: [] for number in range(partitions)}
        self.letters: Counter[Hashable] = Counter()
        self.forwards: Counter[Hashable] = Counter()

    def take(self, record: Any) -> None:
        first, end = self._lost.get(record.partition, (0, 0))
        if first <= record.offset < end:
            return
        headers = dict(record.headers)
        timestamp_ms = int(headers[TIMESTAMP]) if TIMESTAMP in headers else record.timestamp
        received_ms = _LATER_MS if self._received is None else self._received(record.partition, record.offset)
        event = decode(record.value, record.headers, timestamp_ms, received_ms)
        home = partition_of(event.customer.encode(), self._partitions) if isinstance(event, Event) else None
        if not isinstance(event, Event):
            self._refuse(record, event.reason)
        elif home != record.partition and FORWARDED in headers:
            self._refuse(record, MISROUTED)
        elif home != record.partition:
            mark = ((FORWARDED, b"%d@%d" % (record.partition, record.offset)), (TIMESTAMP, b"%d" % record.timestamp))
            self.forwards[home, record.key, record.value, (*record.headers, *mark)] += 1
        elif POISON in event.properties:
            self._refuse(record, PROCESSING_ERROR)
        elif not self._once or event.id_hash not in self._seen:
            self._seen.add(event.id_hash)
            self.entries[record.partition].append(OffsetEvent(record.offset, event))

    def _refuse(self, record: Any, reason: str) -> None:
        source = f"{self.topic}/{record.partition}@{record.offset}"
        self.letters[source, reason, record.key, record.value, tuple(record.headers), record.timestamp] += 1


def _letter(letter: DeadLetter) -> Hashable:
    return letter.source, letter.reason, letter.key, letter.value, letter.headers, letter.timestamp_ms


def _forwarded_by_us(record: Any) -> bool:
    return TIMESTAMP in dict(record.headers)


def _earlier(fixture: Fixture | None, definition: ChurnDefinition, number: int) -> Earlier | None:
    if fixture is None:
        return None
    records = {key: value for home, key, value in fixture.changelog if home == number and value is not None}
    found = position.decode_position(records.pop(position.POSITION_KEY))
    return Earlier(found.next_offset, records, decode_state(found.state, definition, number).partition)


def _replay(
    changelog: list[Any], partitions: int
) -> tuple[dict[int, dict[bytes, bytes]], dict[int, list[tuple[int, int]]]]:
    """Return the newest record of every key, and the committed positions."""
    kept: dict[int, dict[bytes, bytes]] = {number: {} for number in range(partitions)}
    commits: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for record in changelog:
        if record.key == position.POSITION_KEY:
            commits[record.partition].append((record.timestamp, position.decode_position(record.value).next_offset))
        elif record.value is None:
            kept[record.partition].pop(record.key, None)
        else:
            kept[record.partition][record.key] = record.value
    return kept, commits


def out_of_sequence(values: Iterable[bytes | None]) -> list[str]:
    """Return the alerts whose `seq` does not rise by one in the order of a partition.

    >>> out_of_sequence([b'{"alert_id":"a","seq":1}', b'{"alert_id":"a","seq":3}'])
    ['alert a has seq 3 after 1']
    """
    newest: dict[str, int] = {}
    problems = []
    for value in values:
        alert = orjson.loads(value or b"{}")
        if "alert_id" not in alert:
            continue
        name, seq = alert["alert_id"], alert["seq"]
        if name in newest and seq != newest[name] + 1:
            problems.append(f"alert {name} has seq {seq} after {newest[name]}")
        newest[name] = seq
    return problems


def _out_of_order(scored: Any, sent: Any, folds: Any, number: int) -> list[str]:
    """Return the kinds of output that have the right records in the wrong order."""
    pairs = (("scores", scored[number], folds[number].scores), ("alerts", sent[number], folds[number].alerts))
    return [kind for kind, has, must in pairs if has != must and Counter(has) == Counter(must)]
