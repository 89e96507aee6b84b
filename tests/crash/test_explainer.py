"""The process that renders scores: its results, and the behaviour of worker and process after failures."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streams.engine.contract import BatchEffects, Output
from streams.engine.record_batch import EncodedBatch
from streams.errors import DeferredOutputsLost
from streams.scoring import explain_process as module
from streams.scoring.event_processor import EventProcessor
from streams.scoring.explain_process import Explainer, renders_in_process
from streams.scoring.explain_protocol import ExplainRequest, decode_request
from streams.settings import Settings
from tests.processes import runs, wait_ended
from tests.streams.engine.test_record_batch import records_of, sent
from tests.streams.scoring.test_event_processor import Record, Store, record, shared
from tests.waiting import until


def running(body: Callable[[Explainer], Coroutine[Any, Any, None]], *command: str) -> None:
    async def whole() -> None:
        explainer = Explainer(command) if command else Explainer()
        try:
            await body(explainer)
        finally:
            await explainer.stop()

    asyncio.run(whole())


async def ready(explainer: Explainer) -> int:
    """Wait until the process is available and return its process id."""
    await until("a process that explains", explainer.available)
    assert explainer._process is not None
    return explainer._process.pid


def events(count: int = 40) -> list[Record]:
    return [record(n, customer=f"here-{n % 7}", at_ms=1_704_067_200_000 + n * 7_200_000) for n in range(count)]


def deferred_of(effects: BatchEffects) -> Any:
    """The deferred scores of a batch, whose requests and decoder only the scoring package knows."""
    assert effects.deferred is not None
    return effects.deferred


def processors(monkeypatch: pytest.MonkeyPatch) -> tuple[EventProcessor, EventProcessor]:
    """Create a processor that defers scores to another process, and one that renders them itself."""
    monkeypatch.setattr("streams.scoring.event_router.partition_of", lambda *_: 0)
    leaving, alone = shared(), shared()
    leaving.explainer = Explainer()
    leaving.explainer.ready = True
    leaving.deferred_min = 1
    return EventProcessor(leaving, 0, Store(), None), EventProcessor(alone, 0, Store(), None)


write = msgspec.msgpack.Encoder().encode


def outputs(batches: list[EncodedBatch]) -> list[Output]:
    """Convert the records of batches to outputs."""
    return [
        Output(batch.topic, batch.partition, each.key, each.value)
        for batch in batches
        for each in records_of(sent(batch.count, batch.data))
    ]


def test_process_renders_the_same_scores_as_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: outputs do not depend on the process that renders them."""
    processor, alone = processors(monkeypatch)

    async def body(explainer: Explainer) -> None:
        await ready(explainer)
        effects, whole = processor.process(events(), None), alone.process(events(), None)
        deferred = deferred_of(effects)
        assert whole.deferred is None
        rendered = outputs(deferred.decode(await explainer.request(deferred.requests)))
        assert len(rendered) > 5
        assert rendered == [output for output in whole.outputs if output.topic == "churn-scores"]
        assert sorted(effects.outputs + rendered, key=repr) == sorted(whole.outputs, key=repr)
        assert effects.changes == whole.changes

    running(body)


def test_large_concurrent_requests_do_not_block_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: requests and responses larger than any buffer are transferred in order."""
    processor, _ = processors(monkeypatch)

    async def body(explainer: Explainer) -> None:
        await ready(explainer)
        effects = processor.process(events(), None)
        deferred = deferred_of(effects)
        once = await explainer.request(deferred.requests)
        [question] = deferred.requests
        asked = decode_request(question)
        many = write(ExplainRequest(None, asked.customers * 400, asked.payloads * 400))
        assert len(many) > 4_000_000
        answers = await explainer.request([many, many])
        assert all(len(each) > 4_000_000 for each in answers)
        rendered = outputs(deferred.decode(once))
        deferred.count *= 800
        assert outputs(deferred.decode(answers)) == rendered * 800

    running(body)


def test_invalid_responses_are_not_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: a response has every requested score, or the worker renders all of them itself."""
    processor, _ = processors(monkeypatch)

    async def body(explainer: Explainer) -> None:
        await ready(explainer)
        effects = processor.process(events(), None)
        deferred = deferred_of(effects)
        answers = await explainer.request(deferred.requests)
        for wrong in ([], [*answers, *answers]):
            with pytest.raises(DeferredOutputsLost, match="scores were explained"):
                deferred.decode(wrong)
        with pytest.raises(DeferredOutputsLost, match="cannot be decoded"):
            deferred.decode([b"no answer"])

    running(body)


def test_killed_process_is_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: requests to the dead process fail at once."""
    monkeypatch.setattr(module, "RESTART_AFTER_S", 0.0)
    processor, _ = processors(monkeypatch)

    async def body(explainer: Explainer) -> None:
        first = await ready(explainer)
        effects = processor.process(events(), None)
        deferred = deferred_of(effects)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(DeferredOutputsLost):
            await explainer.request(deferred.requests)
        assert not explainer.ready
        assert await ready(explainer) != first
        assert len(outputs(deferred.decode(await explainer.request(deferred.requests)))) > 5

    running(body)


def test_invalid_request_does_not_end_the_process() -> None:
    """Rule: an invalid request is rejected, and the process stays available."""

    async def body(explainer: Explainer) -> None:
        first = await ready(explainer)
        with pytest.raises(DeferredOutputsLost, match="cannot be explained"):
            await explainer.request([b"no request"])
        assert await ready(explainer) == first

    running(body)


def test_unresponsive_process_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: a request times out, and the process does not remain."""
    monkeypatch.setattr(module, "REPLY_TIMEOUT_S", 0.2)

    async def body(explainer: Explainer) -> None:
        stopped = await ready(explainer)
        os.kill(stopped, signal.SIGSTOP)
        with pytest.raises(DeferredOutputsLost, match="no reply within"):
            await explainer.request([b"anything"])
        assert not runs(stopped)

    running(body)


@pytest.mark.parametrize("command", [("/no/such/program",), (sys.executable, "-c", "pass"), ("yes",)])
def test_program_that_does_not_start_or_respond_is_not_used(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """Rule: the worker continues without it."""
    monkeypatch.setattr(module, "START_TIMEOUT_S", 0.5)  # one of the programs never reads its input

    async def body(explainer: Explainer) -> None:
        assert not explainer.available()
        with pytest.raises(DeferredOutputsLost):
            await explainer.request([b"anything"])  # waits for the end of the start in the same thread
        assert not explainer.available()

    running(body, *command)


def test_process_ends_with_the_worker() -> None:
    """Setup: the worker is killed. Rule: the process exits at the end of its input."""
    program = (
        "import asyncio, time\n"
        "from streams.scoring.explain_process import Explainer\n"
        "explainer = Explainer()\n"
        "while not explainer.available(): time.sleep(0.02)\n"
        "print(explainer._process.pid, flush=True)\n"
        "time.sleep(300)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        for number in (signal.SIGINT, signal.SIGTERM):  # the worker decides when it ends
            os.kill(pid, number)
        time.sleep(0.1)
        assert runs(pid)
        worker.kill()
    wait_ended([pid])


def test_process_receives_no_settings_and_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHURN_KAFKA_SASL_PASSWORD", "hunter2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter3")

    async def body(explainer: Explainer) -> None:
        environment = Path(f"/proc/{await ready(explainer)}/environ").read_bytes()
        assert b"hunter" not in environment
        assert b"CHURN_" not in environment

    running(body)


def test_process_runs_on_the_cpus_assigned_by_the_worker() -> None:
    """Rule: this holds whatever the affinity of the starting thread, and when the worker moves to another CPU later."""
    before = os.sched_getaffinity(0)
    first, last = min(before), max(before)

    async def body(explainer: Explainer) -> None:
        explainer.run_on({last})
        pid = await ready(explainer)
        assert os.sched_getaffinity(pid) == {last}
        explainer.run_on({first})
        assert os.sched_getaffinity(pid) == {first}

    running(body)


def test_auto_requires_a_second_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert not renders_in_process(Settings())
    assert renders_in_process(Settings(explain_process="on"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert renders_in_process(Settings())
    assert not renders_in_process(Settings(explain_process="off"))


def test_recomputed_batch_has_the_same_effects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: a batch whose scores were not rendered is recomputed from the last commit, with the same effects."""
    processor, alone = processors(monkeypatch)
    assert processor.process(events(), None).deferred is not None
    effects, whole = processor.reprocess(events(), None), alone.process(events(), None)
    assert effects.deferred is None
    assert effects.outputs == whole.outputs
    assert effects.changes == whole.changes
    assert effects.state == whole.state


def test_small_batch_is_rendered_in_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    processor, _ = processors(monkeypatch)
    processor._context.deferred_min = 16
    assert processor.process(events(3), None).deferred is None
