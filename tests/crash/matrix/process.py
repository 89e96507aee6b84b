"""A program with the product's worker or trainer that a scene can start and kill, with optional faults."""

from __future__ import annotations

import os
import time
from typing import Any

from models.pipeline import event_applier
from streams.cli.main import main
from streams.devbroker.embedded_broker import die_with_parent
from streams.engine.transactions import FencedProducer
from streams.scoring.event_router import EventRouter


def poison() -> None:
    """Make events with `properties.poison` raise, like a bug in the code."""
    apply = vars(event_applier)["apply"]

    def raising(profile: Any, event: Any, *rest: Any) -> bool:
        if "poison" in event.properties:
            raise ZeroDivisionError("poisoned")
        return bool(apply(profile, event, *rest))

    vars(event_applier)["apply"] = raising


def sabotage(how: str) -> None:
    """Inject faults that the matrix must detect."""
    if how == "loses":  # one event in a hundred is treated as a duplicate
        apply = vars(event_applier)["apply"]
        vars(event_applier)["apply"] = lambda profile, event, *rest: (
            bool(event.id_hash % 100) and apply(profile, event, *rest)
        )
    elif how == "doubles":  # the first output of a transaction is written twice
        commit = FencedProducer.commit

        async def twice(self: FencedProducer, outputs: Any, *rest: Any) -> int:
            return await commit(self, [*outputs[:1], *outputs], *rest)

        FencedProducer.commit = twice  # type: ignore[assignment, method-assign]
    else:
        raise SystemExit(f"MATRIX_SABOTAGE={how}")


def note_receipts(path: str) -> None:
    """Record when each record was received. This time caps its event time, and only this process knows it."""
    inner, file = EventRouter.decode, open(path, "a", buffering=1)  # noqa: SIM115

    def noted(self: EventRouter, records: Any) -> Any:
        at_ms = int(time.time() * 1000)
        self._context.wall_ms = lambda: at_ms
        if records:
            file.write(f"{records[0].partition} {records[0].offset} {records[-1].offset} {at_ms}\n")
        return inner(self, records)

    EventRouter.decode = noted  # type: ignore[method-assign]


if __name__ == "__main__":
    die_with_parent()  # an aborted matrix leaves no process behind
    if path := os.environ.get("MATRIX_RECEIPTS"):
        note_receipts(path)
    if os.environ.get("MATRIX_POISON"):
        poison()
    if how := os.environ.get("MATRIX_SABOTAGE"):
        sabotage(how)
    main([os.environ["MATRIX_ROLE"]])
