"""Count and sum per customer with Quix Streams and its RocksDB state. Needs an interpreter with `quixstreams` only.

    PYTHON quix.py ADDRESS TOPIC EVENTS NAME DATA_DIR GUARANTEE

GUARANTEE is at-least-once or exactly-once. Prints the same JSON object as `benchmarks.throughput.bare`, for the time
from the first event to the end of the checkpoint that contains the last one. Checkpoints use the package's default
interval (5 s).
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from quixstreams import Application
from quixstreams.checkpointing import Checkpoint


class Clock:
    """Records the time of the first event and of the end of the last checkpoint."""

    def __init__(self) -> None:
        self.started_s = self.ended_s = self.cpu_s = 0.0
        self._cpu_before_s = 0.0
        self.events = 0

    def count(self) -> None:
        if not self.events:
            self.started_s, self._cpu_before_s = time.time(), time.process_time()
        self.events += 1

    def watch_checkpoints(self) -> None:
        commit = Checkpoint.commit

        def timed(*args: Any, **kwargs: Any) -> Any:
            result = commit(*args, **kwargs)
            self.ended_s, self.cpu_s = time.time(), time.process_time() - self._cpu_before_s
            return result

        Checkpoint.commit = timed


def main() -> None:
    address, topic_name, events, name, data_dir, guarantee = sys.argv[1:]
    clock = Clock()
    clock.watch_checkpoints()
    app = Application(
        broker_address=address,
        consumer_group=name,
        auto_offset_reset="earliest",
        state_dir=data_dir,
        processing_guarantee=guarantee,
        loglevel="WARNING",
    )
    topic = app.topic(topic_name, value_deserializer="json", key_deserializer="str")
    frame = app.dataframe(topic)

    def apply(event: dict[str, Any], state: Any) -> dict[str, Any]:
        clock.count()
        totals = state.get("totals") or [0, 0.0]
        spent = event.get("properties", {}).get("revenue", 0.0)
        state.set("totals", [totals[0] + 1, totals[1] + spent])
        return event

    frame.apply(apply, stateful=True)
    app.run(count=int(events), timeout=60, collect=False)
    print(
        json.dumps(
            {"started_s": clock.started_s, "ended_s": clock.ended_s, "cpu_s": clock.cpu_s, "events": clock.events}
        )
    )


if __name__ == "__main__":
    main()
