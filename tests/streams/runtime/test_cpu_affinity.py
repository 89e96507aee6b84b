"""The CPU that a worker's threads share, and those of other workers."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from streams.errors import ConfigurationError, SettingsError
from streams.runtime import cpu_affinity as module
from streams.runtime.cpu_affinity import Affinity, Loads, better_of, claimed
from streams.settings import Settings
from tests.waiting import WAIT_S

# What binds itself does so in a process of its own: this one runs other tests too.
_BOUND = """
import asyncio, json, os, sys, threading, time
from streams.runtime import cpu_affinity as affinity
from streams.runtime.cpu_affinity import Affinity
from streams.settings import Settings
affinity.BIND_EVERY_S = 0.01
left, seen, stop = [], {}, threading.Event()
here = Affinity(Settings(cpu=sys.argv[1]), lambda processors: left.append(sorted(processors)))
def thread(name):
    with open(f"/proc/self/task/{threading.get_native_id()}/comm", "w") as comm:
        comm.write(name)
    stop.wait()
before = threading.Thread(target=thread, args=("early",), daemon=True); before.start()
here.begin()
async def main():
    keeping = asyncio.create_task(here.keep())
    later = {n: threading.Thread(target=thread, args=(n,), daemon=True) for n in ("late", "rocksdb:low")}
    threads = {"early": before, **later}
    for each in list(threads.values())[1:]:
        each.start()
    await asyncio.sleep(0.1)
    deadline = time.monotonic() + 120
    while here.cpu is not None and time.monotonic() < deadline and any(
        os.sched_getaffinity(threads[name].native_id) != {here.cpu} for name in ("early", "late")
    ):
        await asyncio.sleep(0.02)
    seen.update({name: sorted(os.sched_getaffinity(each.native_id)) for name, each in threads.items()})
    seen["main"] = sorted(os.sched_getaffinity(0))
    keeping.cancel()
asyncio.run(main())
stop.set()
print(json.dumps([here.cpu, left, seen, sorted(here.allowed)]))
"""

several = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor: there is nothing to choose")


def bound(cpu: str) -> tuple[int | None, list[list[int]], dict[str, list[int]], list[int]]:
    run = subprocess.run(
        [sys.executable, "-c", _BOUND, cpu], capture_output=True, text=True, check=True, timeout=WAIT_S
    )
    processor, left, seen, allowed = json.loads(run.stdout)
    return processor, left, seen, allowed


@several
def test_all_threads_except_those_of_rocksdb_share_one_cpu() -> None:
    """Rule: threads that take Python's lock are on one CPU, whenever they were started; others run anywhere."""
    number = max(os.sched_getaffinity(0))
    processor, left, seen, allowed = bound(str(number))
    assert processor == number
    assert seen == {"early": [number], "late": [number], "rocksdb:low": allowed, "main": [number]}
    assert left == [[each for each in allowed if each != number]]


@several
def test_none_binds_nothing() -> None:
    processor, left, seen, allowed = bound("none")
    assert processor is None
    assert left == []
    assert set(map(tuple, seen.values())) == {tuple(allowed)}


def test_an_unavailable_cpu_is_named_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    with pytest.raises(ConfigurationError, match="CHURN_CPU=7: this process may use the CPUs 0, 1"):
        Affinity(Settings(cpu="7"), lambda left: None)


def test_an_invalid_cpu_setting_is_rejected() -> None:
    with pytest.raises(SettingsError, match="CHURN_CPU='-1' must be auto, none or the number of a core"):
        Settings.from_environment({"CHURN_CPU": "-1"})


class Bound(Affinity):
    """An affinity that binds no thread."""

    def __init__(self, allowed: set[int]) -> None:
        self.left: list[Collection[int]] = []
        super().__init__(Settings(cpu="auto"), self.left.append)
        self.allowed = allowed
        _BOUND_HERE.append(self)

    def _bind_threads(self) -> None:
        pass


_BOUND_HERE: list[Bound] = []


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Claims of this test only; no thread is bound."""
    own = uuid.uuid4().hex
    monkeypatch.setattr(module, "CLAIM", f"\0{own}/{{}}")
    monkeypatch.setattr(module, "use", lambda numbers: None)
    yield
    while _BOUND_HERE:
        _BOUND_HERE.pop().close()


@pytest.mark.usefixtures("alone")
def test_workers_of_a_machine_choose_different_cpus() -> None:
    """Rule: a claim lasts until its worker ends; a worker that finds no free CPU is not bound."""
    first, second, third = (Bound({0, 1}) for _ in range(3))
    for each in (first, second, third):
        each.begin()
    assert {first.cpu, second.cpu} == {0, 1}
    assert third.cpu is None
    assert first.left == [{second.cpu}]
    first.close()
    third._review(FixedLoads({0: 0.5, 1: 0.5}))
    assert third.cpu == first.cpu


@pytest.mark.usefixtures("alone")
def test_a_worker_runs_unbound_if_the_system_forbids_binding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: an automatic choice is abandoned with a warning, a configured CPU is an error."""

    def refuse(numbers: Collection[int]) -> None:
        raise PermissionError("not permitted")

    monkeypatch.setattr(module, "use", refuse)
    here = Bound({0, 1})
    here.begin()
    assert here.cpu is None
    assert asyncio.run(asyncio.wait_for(here.keep(), 120)) is None
    free = [claimed(0), claimed(1)]
    assert None not in free
    for each in free:
        each.close()  # type: ignore[union-attr]
    here._wanted = "0"
    with pytest.raises(ConfigurationError, match="CHURN_CPU=0: the system rejects it: not permitted"):
        here.begin()


@pytest.mark.usefixtures("alone")
def test_a_configured_cpu_is_not_chosen_by_others() -> None:
    asked, other = Bound({0, 1}), Bound({0, 1})
    asked._wanted = "1"
    asked.begin()
    other.begin()
    assert (asked.cpu, other.cpu) == (1, 0)


@pytest.mark.usefixtures("alone")
def test_a_single_cpu_is_not_bound() -> None:
    only = Bound({0})
    only.begin()
    assert only.cpu is None
    assert asyncio.run(asyncio.wait_for(only.keep(), 120)) is None


class FixedLoads(Loads):
    def __init__(self, busy: dict[int, float], own: float = 0.5) -> None:
        self.usage = busy, own

    def since_last(self) -> tuple[dict[int, float], float, float]:
        return *self.usage, 0.0


@pytest.mark.usefixtures("alone")
def test_a_worker_moves_to_a_less_used_cpu() -> None:
    """Rule: the claim moves with the worker."""
    here = Bound({0, 1, 2})
    here.begin()
    first = here.cpu
    assert first is not None
    other, target = sorted({0, 1, 2} - {first})
    here._review(FixedLoads({first: 1.0, other: 0.6, target: 0.1}))
    assert here.cpu == target
    assert here.left[-1] == {first, other}
    free = claimed(first)
    assert free is not None
    free.close()
    assert claimed(target) is None


@pytest.mark.parametrize(
    ("busy", "own", "better"),
    [
        ({0: 1.0, 1: 0.6}, 0.5, None),  # no better there
        ({0: 1.0, 1: 0.1}, 0.5, 1),
        ({0: 1.0, 1: 0.1}, 1.0, None),  # it is we who make it busy
        ({0: 1.0, 1: 0.1}, 1.7, None),  # threads of RocksDB elsewhere
        ({0: 1.0, 1: 0.4, 2: 0.2}, 0.3, 2),
        ({1: 0.1}, 0.3, None),  # nothing is known of ours
        ({0: 1.0}, 0.3, None),  # nor of any other
    ],
)
def test_a_move_requires_a_large_difference_in_load(busy: dict[int, float], own: float, better: int | None) -> None:
    assert better_of(0, own, busy) == better


def test_loads_are_shares_of_the_elapsed_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rule: idle and I/O wait are not busy time; CPUs that the process may not use are left out."""
    stat = tmp_path / "stat"
    monkeypatch.setattr(module, "_LOADS", stat)
    stat.write_text("cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 100 0 0 800 100 0 0 0 50 0\ncpu7 0 0 0 0 0 0 0 0 0 0\nintr 1 2\n")
    loads = Loads({0, 1})
    stat.write_text("cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 120 0 10 860 105 0 5 0 70 0\ncpu7 9 0 0 0 0 0 0 0 0 0\nintr 1 2\n")
    busy, own, aside = loads.since_last()
    assert busy == {0: pytest.approx(0.35)}
    assert own >= 0
    assert aside == 0
    stat.unlink()
    assert loads.since_last()[0] == {}


def test_without_load_figures_nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOADS", Path("/nowhere/stat"))
    assert Loads({0, 1}).since_last()[0] == {}


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted as Linux shows them")
def test_linear_algebra_starts_no_threads() -> None:
    """Rule: they would wait for each other on the one CPU of a worker's threads."""
    program = (
        "import os, streams, numpy, scipy.linalg\n"
        "square = numpy.eye(600)\n"
        "numpy.linalg.inv(square @ square), scipy.linalg.inv(square)\n"
        "print(len(os.listdir('/proc/self/task')))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=WAIT_S
    )
    assert result.stdout.split() == ["1"]
