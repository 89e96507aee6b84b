"""Which processor a worker's threads share, and who else uses which."""

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

# What binds itself does so in a process of its own: this one runs other tests too.
_BOUND = """
import asyncio, json, os, sys, threading, time
from streams.runtime import cpu_affinity as affinity
from streams.runtime.cpu_affinity import Affinity
from streams.settings import Settings
affinity.LOOK_S = 0.01
left, seen, stop = [], {}, threading.Event()
here = Affinity(Settings(cpu=sys.argv[1]), lambda processors: left.append(sorted(processors)))
def thread(name):
    with open(f"/proc/self/task/{threading.get_native_id()}/comm", "w") as comm:
        comm.write(name)
    stop.wait()
before = threading.Thread(target=thread, args=("early",)); before.start()
here.begin()
async def main():
    keeping = asyncio.create_task(here.keep())
    threads = {"early": before, **{n: threading.Thread(target=thread, args=(n,)) for n in ("late", "rocksdb:low")}}
    for each in list(threads.values())[1:]:
        each.start()
    await asyncio.sleep(0.1)
    deadline = time.monotonic() + 120
    while here.processor is not None and time.monotonic() < deadline and any(
        os.sched_getaffinity(threads[name].native_id) != {here.processor} for name in ("early", "late")
    ):
        await asyncio.sleep(0.02)
    seen.update({name: sorted(os.sched_getaffinity(each.native_id)) for name, each in threads.items()})
    seen["main"] = sorted(os.sched_getaffinity(0))
    keeping.cancel()
asyncio.run(main())
stop.set()
print(json.dumps([here.processor, left, seen, sorted(here.allowed)]))
"""

several = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor: there is nothing to choose")


def bound(cpu: str) -> tuple[int | None, list[list[int]], dict[str, list[int]], list[int]]:
    run = subprocess.run([sys.executable, "-c", _BOUND, cpu], capture_output=True, text=True, check=True)
    processor, left, seen, allowed = json.loads(run.stdout)
    return processor, left, seen, allowed


@several
def test_every_thread_shares_the_processor_but_those_of_rocksdb() -> None:
    """Rule: what takes Python's lock is on one processor, whenever it began; the rest runs anywhere."""
    number = max(os.sched_getaffinity(0))
    processor, left, seen, allowed = bound(str(number))
    assert processor == number
    assert seen == {"early": [number], "late": [number], "rocksdb:low": allowed, "main": [number]}
    assert left == [[each for each in allowed if each != number]]


@several
def test_none_leaves_everything_as_it_is() -> None:
    processor, left, seen, allowed = bound("none")
    assert processor is None
    assert left == []
    assert set(map(tuple, seen.values())) == {tuple(allowed)}


def test_a_processor_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    with pytest.raises(ConfigurationError, match="CHURN_CPU=7: this process may use the processors 0, 1"):
        Affinity(Settings(cpu="7"), lambda left: None)


def test_what_is_no_processor_is_refused_with_one_sentence() -> None:
    with pytest.raises(SettingsError, match="CHURN_CPU='-1' must be auto, none or the number of a processor"):
        Settings.from_environment({"CHURN_CPU": "-1"})


class Bound(Affinity):
    """One that binds nothing."""

    def __init__(self, allowed: set[int]) -> None:
        self.left: list[Collection[int]] = []
        super().__init__(Settings(cpu="auto"), self.left.append)
        self.allowed = allowed
        _BOUND_HERE.append(self)

    def _place(self) -> None:
        pass


_BOUND_HERE: list[Bound] = []


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Workers of this test only; no thread is moved."""
    own = uuid.uuid4().hex
    monkeypatch.setattr(module, "CLAIM", f"\0{own}/{{}}")
    monkeypatch.setattr(module, "use", lambda numbers: None)
    yield
    while _BOUND_HERE:
        _BOUND_HERE.pop().close()


@pytest.mark.usefixtures("alone")
def test_workers_of_a_machine_choose_different_processors() -> None:
    """Rule: a claim holds until its worker ends; who finds none free is bound to none."""
    first, second, third = (Bound({0, 1}) for _ in range(3))
    for each in (first, second, third):
        each.begin()
    assert {first.processor, second.processor} == {0, 1}
    assert third.processor is None
    assert first.left == [{second.processor}]
    first.close()
    third._judge(FixedLoads({0: 0.5, 1: 0.5}))
    assert third.processor == first.processor


@pytest.mark.usefixtures("alone")
def test_a_system_that_forbids_it_leaves_a_worker_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: what was chosen by itself is given up with a warning, what was asked for is refused in a sentence."""

    def refuse(numbers: Collection[int]) -> None:
        raise PermissionError("not permitted")

    monkeypatch.setattr(module, "use", refuse)
    here = Bound({0, 1})
    here.begin()
    assert here.processor is None
    assert asyncio.run(asyncio.wait_for(here.keep(), 120)) is None
    free = [claimed(0), claimed(1)]
    assert None not in free
    for each in free:
        each.close()  # type: ignore[union-attr]
    here._wanted = "0"
    with pytest.raises(ConfigurationError, match="CHURN_CPU=0: the system refuses it: not permitted"):
        here.begin()


@pytest.mark.usefixtures("alone")
def test_a_number_that_was_asked_for_is_not_chosen_by_others() -> None:
    asked, other = Bound({0, 1}), Bound({0, 1})
    asked._wanted = "1"
    asked.begin()
    other.begin()
    assert (asked.processor, other.processor) == (1, 0)


@pytest.mark.usefixtures("alone")
def test_one_processor_is_not_bound_to() -> None:
    only = Bound({0})
    only.begin()
    assert only.processor is None
    assert asyncio.run(asyncio.wait_for(only.keep(), 120)) is None


class FixedLoads(Loads):
    def __init__(self, busy: dict[int, float], own: float = 0.5) -> None:
        self.told = busy, own

    def since_last(self) -> tuple[dict[int, float], float, float]:
        return *self.told, 0.0


@pytest.mark.usefixtures("alone")
def test_a_worker_moves_to_where_others_leave_more() -> None:
    """Rule: its claim moves with it."""
    here = Bound({0, 1, 2})
    here.begin()
    first = here.processor
    assert first is not None
    other, target = sorted({0, 1, 2} - {first})
    here._judge(FixedLoads({first: 1.0, other: 0.6, target: 0.1}))
    assert here.processor == target
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
def test_it_is_worth_moving_when_others_take_much_more_here(
    busy: dict[int, float], own: float, better: int | None
) -> None:
    assert better_of(0, own, busy) == better


def test_loads_are_shares_of_the_time_between(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rule: idle and waiting for disks is not busy; processors that we may not use are left out."""
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


def test_a_system_that_tells_no_load_moves_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOADS", Path("/nowhere/stat"))
    assert Loads({0, 1}).since_last()[0] == {}


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted as Linux shows them")
def test_linear_algebra_starts_no_threads_of_its_own() -> None:
    """Rule: they would wait for each other on the one processor that a worker's threads have."""
    program = (
        "import os, streams, numpy, scipy.linalg\n"
        "square = numpy.eye(600)\n"
        "numpy.linalg.inv(square @ square), scipy.linalg.inv(square)\n"
        "print(len(os.listdir('/proc/self/task')))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    said = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["1"]
