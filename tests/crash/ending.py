"""Send SIGTERM to every process at random moments while the broker is unreliable, and check how each ends.

    python -m tests.crash.ending --moments 50

Rule: each process is gone within 10 s, with a documented exit code, and without a traceback in its output.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streams.devbroker.embedded_broker import EmbeddedBroker
from streams.topics import create_topics
from tests.crash.harness import Run
from tests.paths import ROOT
from tests.processes import children_of
from tests.waiting import wait_until

PRODUCT: Final = ROOT / "tests" / "broker" / "product.py"
GONE_WITHIN_S: Final = 10.0
# 0: stopped. 75: stopped, but something was abandoned. 1: it had ended for want of a broker before the signal.
CODES: Final = (0, 75)
NO_BROKER: Final = 1
# The states of the broker when the signal arrives.
HARMS: Final = ("none", "stopped", "killed", "dying")
# Processes are signalled while they start, or when they are at work.
_START_S, _WORK_S = (1.0, 6.0), (0.0, 3.0)
_HARM_LEAD_S: Final = (-0.5, 4.0)
_EVENTS: Final = ("simulate", "--customers", "300", "--days", "700", "--to-topic", "--rate", "400")
_ROUTES: Final = '[routes.desk]\nurl = "http://127.0.0.1:9/"\nunsigned = true\nallow_private = true\n'
_POLL_S: Final = 0.02
ROLES: Final = {
    "worker": ("worker",),
    "trainer": ("trainer",),
    "console": ("console", "--port", "0"),
    "notify": ("notify",),
    "simulate": _EVENTS,
}


@dataclass(frozen=True)
class End:
    """How a process ended."""

    role: str
    harm: str
    seconds: float
    code: int
    log: str

    @property
    def problem(self) -> str:
        """What is wrong with it; empty if nothing is."""
        where = f"{self.role}, broker {self.harm}"
        if self.seconds > GONE_WITHIN_S:
            return f"{where}: gone after {self.seconds:.1f} s\n{self.log[-2000:]}"
        # SIGTERM may kill a start before its first line, and a command that publishes fails without a broker.
        allowed = self.code == -signal.SIGTERM and not self.log
        allowed = allowed or (self.role == "simulate" and self.code == NO_BROKER)
        if self.code not in CODES and not allowed and not (self.code == NO_BROKER and self.seconds == 0.0):
            return f"{where}: exit code {self.code}\n{self.log[-2000:]}"
        if "Traceback" in self.log:
            return f"{where}: a traceback\n{self.log[-4000:]}"
        return ""


def harm(broker: EmbeddedBroker, how: str) -> None:
    """Bring the broker into a state; "dying" returns while it shuts down."""
    if how == "stopped":
        broker.pause()
    elif how == "killed":
        broker.kill()
    elif how == "dying" and broker.pid is not None:
        os.kill(broker.pid, signal.SIGTERM)


def heal(broker: EmbeddedBroker, how: str) -> None:
    """Undo `harm`."""
    if how == "stopped":
        broker.resume()
    elif how != "none":
        broker.stop()
        broker.start()


def moment(
    run: Run, broker: EmbeddedBroker, rng: random.Random, how: str, roles: Sequence[str], *, starting: bool
) -> list[End]:
    """Start every process, harm the broker, send SIGTERM to those of the roles, and wait for their ends."""
    for role, arguments in ROLES.items():
        (run.directory / f"{role}.log").unlink(missing_ok=True)
        run.start(role, program=PRODUCT, PRODUCT_ROLE=" ".join(arguments), CHURN_CONFIG=str(ROOT / "churn.toml"))
    if not starting:
        wait_until("a takeover", lambda: "took over" in run.log_of("worker"), context=lambda: run.log_of("worker"))
    time.sleep(rng.uniform(*(_START_S if starting else _WORK_S)))
    lead_s = rng.uniform(*_HARM_LEAD_S)
    if lead_s >= 0:
        harm(broker, how)
        time.sleep(lead_s)
    before = {role for role in roles if run.workers[role].poll() is not None}
    began = time.monotonic()
    for role in roles:
        run.workers[role].send_signal(signal.SIGTERM)
    if lead_s < 0:
        time.sleep(-lead_s)
        harm(broker, how)
    seconds = dict.fromkeys(before, 0.0)
    while len(seconds) < len(roles) and time.monotonic() - began < GONE_WITHIN_S + 1:
        time.sleep(_POLL_S)
        for role in roles:
            if role not in seconds and run.workers[role].poll() is not None:
                seconds[role] = time.monotonic() - began
    run.end()
    heal(broker, how)
    late_s = time.monotonic() - began
    return [End(role, how, seconds.get(role, late_s), run.workers[role].returncode, run.log_of(role)) for role in roles]


def moments(
    count: int, seed: int, directory: Path, roles: Sequence[str] = tuple(ROLES), *, starts: float = 0.3
) -> Iterator[End]:
    """Yield the ends of processes at so many random moments, of which a share is during their start."""
    rng = random.Random(seed)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "notify.toml").write_text(_ROUTES)
    with EmbeddedBroker(directory / "broker") as broker:
        run = Run(
            "ending",
            broker.address,
            directory,
            partitions=2,
            clock="event",
            notify_routes=str(directory / "notify.toml"),
        )
        asyncio.run(create_topics(run.settings))
        try:
            for number in range(count):
                how = HARMS[(number + 1) % len(HARMS)]
                yield from moment(run, broker, rng, how, roles, starting=rng.random() < starts)
        finally:
            broker.resume()
            run.end()


@contextmanager
def command(directory: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command with its own broker; its output is `output` in the directory."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHURN_")}
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(PRODUCT)],
            env={**environment, "PRODUCT_ROLE": " ".join(arguments)},
            stdout=output,
            stderr=output,
            cwd=ROOT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def kafka_of(pid: int) -> list[int]:
    return [child for child, line in children_of(pid).items() if "kafka.Kafka" in line]


def end_with_own_broker(directory: Path, after_s: float, how: str, *arguments: str) -> End:
    """Start the demo or a broker, harm its Kafka, send SIGTERM, and wait for the end."""
    with command(directory, *arguments, "--data-dir", str(directory / "data")) as process:
        kafka = wait_until("Kafka", lambda: kafka_of(process.pid))
        time.sleep(after_s)
        if how != "none":
            signals = {"stopped": signal.SIGSTOP, "killed": signal.SIGKILL, "dying": signal.SIGTERM}
            os.kill(kafka[0], signals[how])
        ended = process.poll() is not None
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(GONE_WITHIN_S + 5)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        seconds = 0.0 if ended else time.monotonic() - began
    # A demo or broker whose Kafka has died reports that with 1, if it notices before the signal.
    if code == NO_BROKER and how in ("killed", "dying"):
        code, seconds = NO_BROKER, 0.0
    return End(arguments[0], how, seconds, code, (directory / "output").read_text(errors="replace"))


def table(ends: Sequence[End]) -> str:
    """Return the figures: for each process and state of the broker, the longest time and the exit codes."""
    groups: dict[tuple[str, str], list[End]] = defaultdict(list)
    for end in ends:
        groups[end.role, end.harm].append(end)
    lines = ["| process | broker | times | longest, s | exit codes |", "|---|---|---|---|---|"]
    for (role, how), found in sorted(groups.items()):
        codes = ", ".join(f"{count} x {code}" for code, count in sorted(Counter(end.code for end in found).items()))
        lines.append(f"| {role} | {how} | {len(found)} | {max(end.seconds for end in found):.1f} | {codes} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--own-broker", type=int, help="runs of demo and broker; a fifth of the moments if omitted")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    ends: list[End] = []
    with tempfile.TemporaryDirectory(prefix="ending-") as name:
        for end in moments(options.moments, options.seed, Path(name)):
            print(f"{end.role:9} {end.harm:8} {end.seconds:5.1f} s  {end.code}", flush=True)
            ends.append(end)
            if end.problem:
                print(end.problem, flush=True)
        runs = options.moments // 5 if options.own_broker is None else options.own_broker
        for number in range(runs):
            how, role = HARMS[number % len(HARMS)], ("demo", "broker")[number // len(HARMS) % 2]
            ends.append(end := end_with_own_broker(Path(name) / f"{role}-{number}", rng.uniform(1, 12), how, role))
            print(f"{end.role:9} {end.harm:8} {end.seconds:5.1f} s  {end.code}\n{end.problem}", flush=True)
    print(table(ends))
    sys.exit(any(end.problem for end in ends))


if __name__ == "__main__":
    main()
