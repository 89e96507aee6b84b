"""The local store: values, deadlines and the changelog offset change together."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import xxhash

from models.profile import keys
from streams.engine.contract import NEVER_DUE_MS, PROFILE_KEYS, SNAPSHOT_KEYS, TIMED_KEYS
from streams.engine.store import PartitionStore, StoreInUse


def due(due_ms: int, rest: bytes = b"") -> bytes:
    return due_ms.to_bytes(8, "big") + rest


def test_key_prefixes_are_those_of_the_models() -> None:
    """Rule: the engine imports nothing from models, but uses the same key prefixes."""
    assert (PROFILE_KEYS, SNAPSHOT_KEYS) == (keys.PROFILE, keys.SNAPSHOT)
    assert set(TIMED_KEYS) == set(keys.TIMED)


def test_deadlines_are_ordered_by_time_and_then_by_hash(tmp_path: Path) -> None:
    """Rule: the order of due work is a function of times and keys, not of the order of writes."""
    store = PartitionStore(tmp_path / "s")
    keys = [b"c%d" % number for number in range(50)]
    store.write({key: due(7) for key in keys}, 1)
    store.write({b"clast": due(8), b"cfirst": due(6), b"cnever": due(NEVER_DUE_MS), b"spending": b"no deadline"}, 2)
    expected = [(6, b"cfirst"), *[(7, key) for key in sorted(keys, key=xxhash.xxh3_64_digest)], (8, b"clast")]
    assert store.due(8, 100) == expected
    assert store.due(8, 3) == expected[:3]
    assert store.due(6, 100) == expected[:1]
    assert store.due(5, 100) == []
    assert store.next_due_ms() == 6
    store.close()


def test_the_index_is_that_of_the_values_after_any_writes(tmp_path: Path) -> None:
    """Rule: after random writes, deletions and reopenings the deadlines are exactly the values' prefixes."""
    rng = random.Random(5)
    store = PartitionStore(tmp_path / "s")
    model: dict[bytes, bytes] = {}
    for step in range(300):
        changes: dict[bytes, bytes | None] = {}
        for _ in range(rng.randrange(1, 6)):
            key = b"c%d" % rng.randrange(40)
            gone = rng.random() < 0.2
            changes[key] = None if gone else due(rng.choice([*range(30), NEVER_DUE_MS]), b"%d" % step)
        if rng.random() < 0.5:
            store.get_many(list(changes))
        store.write(changes, step)
        for key, value in changes.items():
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
        times = {key: int.from_bytes(value[:8], "big") for key, value in model.items()}
        wanted = sorted((at, xxhash.xxh3_64_digest(key), key) for key, at in times.items() if at != NEVER_DUE_MS)
        if rng.random() < 0.1:
            store.close()
            store = PartitionStore(tmp_path / "s")
        assert store.next_due_ms() == (wanted[0][0] if wanted else None)
        until = rng.randrange(30)
        assert store.due(until, 1_000) == [(at, key) for at, _, key in wanted if at <= until]
        assert store.get_many(list(model)) == list(model.values())
        assert store.meta is not None
        assert store.meta.changelog_offset == step
    store.close()


def test_records_are_counted_through_writes_reopenings_and_recovery(tmp_path: Path) -> None:
    """Rule: counts of profiles and pending snapshots match the keys; a key added and removed in one batch counts 0."""
    rng = random.Random(6)
    store = PartitionStore(tmp_path / "s")
    model: dict[bytes, bytes] = {}
    for step in range(200):
        changes: dict[bytes, bytes | None] = {}
        for _ in range(rng.randrange(1, 6)):
            key = b"c%d" % rng.randrange(20)
            changes[key] = None if rng.random() < 0.3 else due(step)
        pending = [key for key in model if key[:1] == b"s"]
        if pending and rng.random() < 0.5:
            changes[rng.choice(pending)] = None
        changes[b"s%d" % step] = None if rng.random() < 0.2 else b"frozen"
        store.write(changes, step)
        model |= {key: value for key, value in changes.items() if value is not None}
        model = {key: value for key, value in model.items() if changes.get(key, b"") is not None}
        if rng.random() < 0.1:
            store.close()
            store = PartitionStore(tmp_path / "s")
        kinds = [key[:1] for key in model]
        assert (store.counts.profiles, store.counts.pending) == (kinds.count(b"c"), kinds.count(b"s"))
    counts = store.counts
    store.clear()
    store.load(model)
    store.finish_load(1)
    assert store.counts == counts
    store.close()


def test_a_store_whose_recovery_did_not_complete_is_not_valid(tmp_path: Path) -> None:
    """Rule: values of a recovery are valid only when it is complete; then their deadlines are indexed too."""
    store = PartitionStore(tmp_path / "s")
    store.write({b"ca": due(3)}, 5)
    store.load({b"ca": due(9), b"cb": due(4)})
    assert store.meta is None
    store.clear()
    store.load({b"ca": due(9), b"cb": due(4)})
    store.finish_load(8)
    assert store.meta is not None
    assert store.due(100, 10) == [(4, b"cb"), (9, b"ca")]
    store.close()


def test_two_owners_never_share_a_directory(tmp_path: Path) -> None:
    """Rule: a second process cannot open the directory, so a zombie cannot write to it."""
    store = PartitionStore(tmp_path / "s")
    with pytest.raises(StoreInUse):
        PartitionStore(tmp_path / "s")
    store.close()


def test_a_damaged_directory_is_deleted(tmp_path: Path) -> None:
    """Rule: a store that cannot be opened is deleted, not repaired, because the changelog has everything."""
    store = PartitionStore(tmp_path / "s")
    store.write({b"ca": due(3)}, 5)
    store.close()
    for path in (tmp_path / "s").iterdir():
        path.write_bytes(b"damaged")
    store = PartitionStore(tmp_path / "s")
    assert store.meta is None
    assert store.get_many([b"ca"]) == [None]
    assert store.get_many([]) == []
    store.close()


LOADED = """
import os, signal, sys
from pathlib import Path
from streams.engine.store import PartitionStore

store = PartitionStore(Path(sys.argv[1]))
for first in range(0, 3_000, 1_000):
    store.load({b"c%d" % n: n.to_bytes(8, "big") + bytes(1_000) for n in range(first, first + 1_000)})
if sys.argv[2] == "after":
    store.finish_load(7)
elif sys.argv[2] == "flushed":
    store._db.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("death", ["before", "flushed", "after"])
def test_a_crash_while_loading_leaves_all_or_nothing(tmp_path: Path, death: str) -> None:
    """Rule: loading bypasses RocksDB's log, and the completion mark is written after all files. After a crash at any
    point, the next load is complete, and the normal options apply afterwards."""
    done = subprocess.run([sys.executable, "-c", LOADED, str(tmp_path / "s"), death], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    store = PartitionStore(tmp_path / "s")
    if death == "after":
        assert store.meta is not None
        assert store.meta.changelog_offset == 7
        assert store.get_many([b"c0", b"c2999"]) == [due(0, bytes(1_000)), due(2_999, bytes(1_000))]
        assert len(store.due(3_000, 5_000)) == 3_000
    else:
        assert store.meta is None
        store.clear()
        store.load({b"ca": due(9)})
        store.finish_load(8)
        assert store.due(3_000, 10) == [(9, b"ca")]
    assert options_of(tmp_path / "s") == {"disable_auto_compactions": "false", "write_buffer_size": "16777216"}
    store.close()


def options_of(directory: Path) -> dict[str, str]:
    newest = max(directory.glob("OPTIONS-*"), key=lambda path: int(path.name.partition("-")[2]))
    wanted = re.findall(r"^\s*(disable_auto_compactions|write_buffer_size)=(\S+)", newest.read_text(), re.MULTILINE)
    return dict(wanted)


def test_a_load_keeps_the_newest_values_only(tmp_path: Path) -> None:
    """Rule: tombstones leave nothing, values without a deadline have no index entry, later writes move deadlines."""
    store = PartitionStore(tmp_path / "s")
    store.load({b"ca": due(9), b"cgone": None, b"s1": b"pending"})
    store.load({b"cb": due(NEVER_DUE_MS), b"h": None})
    store.finish_load(8)
    assert store.get_many([b"ca", b"cgone", b"cb", b"s1", b"h"]) == [due(9), None, due(NEVER_DUE_MS), b"pending", None]
    assert store.due(NEVER_DUE_MS, 10) == [(9, b"ca")]
    assert (store.counts.profiles, store.counts.pending) == (2, 1)
    store.write({b"ca": due(4), b"cb": due(5)}, 9)
    assert store.due(NEVER_DUE_MS, 10) == [(4, b"ca"), (5, b"cb")]
    store.close()


FULL = """
import os, resource, sys
from pathlib import Path
from streams.engine.store import PartitionStore, StoreFull

directory = Path(sys.argv[1])
store = PartitionStore(directory)
store.write({b"x": b"1"}, 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))  # what a quota does
try:
    store.write({b"b": bytes(10_000)}, 2)
except StoreFull as full:
    assert "is full: make room and start again" in str(full), full
else:
    raise SystemExit("it was written")
store.close()
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
try:
    PartitionStore(directory)
except StoreFull:
    pass
else:
    raise SystemExit("it was opened")
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
loaded = PartitionStore(directory.with_name("loaded"))
try:
    for n in range(100):
        loaded.load({b"%d.%d" % (n, m): os.urandom(1_000) for m in range(1_000)})
    loaded.finish_load(9)
except StoreFull:
    pass
else:
    raise SystemExit("it was loaded")
assert loaded.meta is None
loaded.close()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store = PartitionStore(directory)
assert store.get_many([b"x", b"b"]) == [b"1", None]
assert store.meta.changelog_offset == 1
"""


def test_a_full_disk_is_reported_and_loses_nothing(tmp_path: Path) -> None:
    """Rule: a failed write leaves no partial data, and a store that cannot be opened is not deleted. Once there is
    space again, the store has its previous offset."""
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path / "store")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
