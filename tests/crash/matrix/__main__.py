"""`python -m tests.crash.matrix`: run the rows and print the table. The exit code is 1 if a row fails."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import orjson

from streams.devbroker.embedded_broker import EmbeddedBroker
from tests.crash.matrix.rows import ROWS, Row
from tests.crash.matrix.runner import play
from tests.crash.matrix.table import as_json, rendered
from tests.crash.matrix.verdict import Verdict

# Row 7 sends records with event times as timestamps. Default retention would delete those older than a week.
BROKER = {"log.retention.ms": "-1"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rows that the arguments select."""
    known = sorted({row.number for row in ROWS})
    parser = argparse.ArgumentParser(prog="python -m tests.crash.matrix", description=__doc__)
    usual = sorted({row.number for row in ROWS if not row.long})
    parser.add_argument("--rows", default="", help=f"comma separated, of {', '.join(known)} ({', '.join(usual)})")
    parser.add_argument("--seeds", type=int, default=1, help="so many seeds, from --seed on (1)")
    parser.add_argument("--seed", type=int, default=1, help="the first one (1)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write every figure here")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep the logs of all processes here")
    options = parser.parse_args(arguments)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # broker outages are part of the matrix
    wanted = [name for name in options.rows.split(",") if name] or usual
    if unknown := [name for name in wanted if name not in {*known, *(row.name for row in ROWS)}]:
        parser.error(f"--rows: there is no row {unknown[0]}, only {', '.join(known)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # leaves no process behind
    chosen = [row for row in ROWS if row.name in wanted or row.number in wanted]
    with tempfile.TemporaryDirectory() as temporary:
        seeds = range(options.seed, options.seed + options.seeds)
        verdicts = _play_all(chosen, seeds, options.logs or Path(temporary), options.json)
    print(rendered(verdicts))
    return 0 if all(verdict.holds for verdict in verdicts) else 1


def _play_all(chosen: Sequence[Row], seeds: range, directory: Path, json: Path | None) -> list[Verdict]:
    verdicts: list[Verdict] = []
    with tempfile.TemporaryDirectory() as data, EmbeddedBroker(Path(data), properties=BROKER) as broker:
        for seed in seeds:
            for row in chosen:
                if not row.possible():
                    print(
                        f"row {row.name}: NOT PLAYED, this machine does not let it ({row.possible.__doc__})", flush=True
                    )
                    continue
                print(f"row {row.name}, seed {seed}: {row.fault}", flush=True)
                place = directory / f"row{row.name}-seed{seed}"
                verdict = play(row, seed=seed, broker=broker, directory=place)
                verdicts.append(verdict)
                print(f"row {row.name}, seed {seed}: {_in_short(verdict)}", flush=True)
                if json is not None:  # after each row, so that an aborted run keeps its figures
                    json.write_bytes(orjson.dumps(as_json(verdicts), option=orjson.OPT_INDENT_2))
    return verdicts


def _in_short(verdict: Verdict) -> str:
    if verdict.holds:
        replaced = (
            "" if verdict.takeover_s is None else f", first output {verdict.takeover_s:.1f} s after one of two died"
        )
        return f"holds, {verdict.times:,} times in {verdict.seconds:.0f} s{replaced}"
    counts = f"lost {verdict.lost}, double {verdict.double}, extra {verdict.extra}"
    return "; ".join([f"FAILS after {verdict.seconds:.0f} s: {counts}", *verdict.problems, *verdict.slow])


if __name__ == "__main__":
    raise SystemExit(main())
