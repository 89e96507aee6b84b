"""The process that explains scores: what it says, and what becomes of it and of us when something goes wrong."""

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

from streams.engine.contract import Output
from streams.engine.record_batch import EncodedBatch
from streams.scoring import explain_process as module
from streams.scoring.event_processor import EventProcessor
from streams.scoring.explain_process import Explainer, ExplainerLost, renders_in_process
from streams.scoring.explain_protocol import ExplainRequest, read
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
    """Wait for it; returns its number."""
    await until("a process that explains", explainer.available)
    assert explainer._process is not None
    return explainer._process.pid


def events(count: int = 40) -> list[Record]:
    return [record(n, customer=f"here-{n % 7}", at_ms=1_704_067_200_000 + n * 7_200_000) for n in range(count)]


def processors(monkeypatch: pytest.MonkeyPatch) -> tuple[EventProcessor, EventProcessor]:
    """One that leaves scores to another process, and one that does not."""
    monkeypatch.setattr("streams.scoring.event_processor.partition_of", lambda *_: 0)
    leaving, alone = shared(), shared()
    leaving.explained_elsewhere = lambda: True
    leaving.deferred_min = 1
    return EventProcessor(leaving, 0, Store(), None), EventProcessor(alone, 0, Store(), None)


write = msgspec.msgpack.Encoder().encode


def outputs(batches: list[EncodedBatch]) -> list[Output]:
    """The records of batches, as if they had been outputs."""
    return [
        Output(batch.topic, batch.partition, each.key, each.value)
        for batch in batches
        for each in records_of(sent(batch.count, batch.data))
    ]


def test_what_the_process_says_is_what_the_worker_would_have_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: outputs do not depend on who explains them."""
    processor, alone = processors(monkeypatch)

    async def body(explainer: Explainer) -> None:
        await ready(explainer)
        effects, whole = processor.process(events(), None), alone.process(events(), None)
        assert effects.deferred is not None
        assert whole.deferred is None
        said = outputs(effects.deferred.batches(await explainer.ask(effects.deferred.questions)))
        assert len(said) > 5
        assert said == [output for output in whole.outputs if output.topic == "churn-scores"]
        assert sorted(effects.outputs + said, key=repr) == sorted(whole.outputs, key=repr)
        assert effects.changes == whole.changes

    running(body)


def test_many_questions_at_once_do_not_block_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: questions and answers that are larger than any buffer on their way go through, in order."""
    processor, _ = processors(monkeypatch)

    async def body(explainer: Explainer) -> None:
        await ready(explainer)
        effects = processor.process(events(), None)
        assert effects.deferred is not None
        once = await explainer.ask(effects.deferred.questions)
        [question] = effects.deferred.questions
        asked = read(question)
        many = write(ExplainRequest(None, asked.customers * 400, asked.tellings * 400))
        assert len(many) > 4_000_000
        answers = await explainer.ask([many, many])
        assert all(len(each) > 4_000_000 for each in answers)
        said = outputs(effects.deferred.batches(once))
        effects.deferred.count *= 800
        assert outputs(effects.deferred.batches(answers)) == said * 800

    running(body)


def test_what_is_no_answer_to_the_questions_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: every score that was asked for is there, or the worker explains them all itself."""
    processor, _ = processors(monkeypatch)

    async def body(explainer: Explainer) -> None:
        await ready(explainer)
        effects = processor.process(events(), None)
        assert effects.deferred is not None
        answers = await explainer.ask(effects.deferred.questions)
        for wrong in ([], [*answers, *answers]):
            with pytest.raises(ExplainerLost, match="scores were explained of"):
                effects.deferred.batches(wrong)
        with pytest.raises(ExplainerLost, match="cannot be read"):
            effects.deferred.batches([b"no answer"])

    running(body)


def test_a_process_that_was_killed_is_lost_once_and_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: whoever asks meanwhile hears at once that there is no answer."""
    monkeypatch.setattr(module, "RESTART_S", 0.0)
    processor, _ = processors(monkeypatch)

    async def body(explainer: Explainer) -> None:
        first = await ready(explainer)
        effects = processor.process(events(), None)
        assert effects.deferred is not None
        os.kill(first, signal.SIGKILL)
        with pytest.raises(ExplainerLost):
            await explainer.ask(effects.deferred.questions)
        assert not explainer.ready
        assert await ready(explainer) != first
        assert len(outputs(effects.deferred.batches(await explainer.ask(effects.deferred.questions)))) > 5

    running(body)


def test_what_cannot_be_said_is_nobody_s_end() -> None:
    """Rule: a question that is at fault is refused, and the next one is answered."""

    async def body(explainer: Explainer) -> None:
        first = await ready(explainer)
        with pytest.raises(ExplainerLost, match="cannot be explained"):
            await explainer.ask([b"no telling"])
        assert await ready(explainer) == first

    running(body)


def test_a_process_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: nobody waits for ever, and nothing is left behind."""
    monkeypatch.setattr(module, "SILENCE_S", 0.2)

    async def body(explainer: Explainer) -> None:
        stopped = await ready(explainer)
        os.kill(stopped, signal.SIGSTOP)
        with pytest.raises(ExplainerLost, match="nothing for"):
            await explainer.ask([b"anything"])
        assert not runs(stopped)

    running(body)


@pytest.mark.parametrize("command", [("/no/such/program",), (sys.executable, "-c", "pass"), ("yes",)])
def test_a_program_that_does_not_start_or_is_another_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """Rule: the worker goes on without it."""
    monkeypatch.setattr(module, "START_S", 0.5)  # one of them never reads what it is told

    async def body(explainer: Explainer) -> None:
        assert not explainer.available()
        with pytest.raises(ExplainerLost):
            await explainer.ask([b"anything"])  # after the start, in the same thread
        assert not explainer.available()

    running(body, *command)


def test_it_ends_with_the_worker_however_that_ends() -> None:
    """Setup: a worker that is killed. Rule: the process sees its input end, and ends."""
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
        for number in (signal.SIGINT, signal.SIGTERM):  # of a terminal or a supervisor: the worker decides
            os.kill(pid, number)
        time.sleep(0.1)
        assert runs(pid)
        worker.kill()
    wait_ended([pid])


def test_it_gets_no_setting_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHURN_KAFKA_SASL_PASSWORD", "hunter2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter3")

    async def body(explainer: Explainer) -> None:
        environment = Path(f"/proc/{await ready(explainer)}/environ").read_bytes()
        assert b"hunter" not in environment
        assert b"CHURN_" not in environment

    running(body)


def test_it_runs_where_the_worker_leaves_processors_to_it() -> None:
    """Rule: wherever the thread is that starts it, and also when the worker moves later."""
    before = os.sched_getaffinity(0)
    first, last = min(before), max(before)

    async def body(explainer: Explainer) -> None:
        explainer.run_on({last})
        pid = await ready(explainer)
        assert os.sched_getaffinity(pid) == {last}
        explainer.run_on({first})
        assert os.sched_getaffinity(pid) == {first}

    running(body)


def test_auto_asks_for_a_second_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert not renders_in_process(Settings())
    assert renders_in_process(Settings(explain_process="on"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert renders_in_process(Settings())
    assert not renders_in_process(Settings(explain_process="off"))


def test_again_computes_the_same_from_the_last_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: a batch whose scores nobody explained is computed anew, with the same effects, and nothing is left over."""
    processor, alone = processors(monkeypatch)
    assert processor.process(events(), None).deferred is not None
    effects, whole = processor.again(events(), None), alone.process(events(), None)
    assert effects.deferred is None
    assert effects.outputs == whole.outputs
    assert effects.changes == whole.changes
    assert effects.state == whole.state


def test_a_small_batch_is_explained_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    processor, _ = processors(monkeypatch)
    processor._shared.deferred_min = 16
    assert processor.process(events(3), None).deferred is None
