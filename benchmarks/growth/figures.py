"""Format the tables of the growth benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def render(result: Mapping[str, Any]) -> str:
    """Format the table of customers and partitions, then that of histories."""
    return "\n".join([*_rows(result["rows"], result["events"]), "", *_histories(result["histories"])])


def _rows(rows: Sequence[Mapping[str, Any]], events: int) -> Iterator[str]:
    yield f"churn-signals worker, full job, {events:,} events of customers with existing state; one run each"
    yield (
        f"{'customers':>10}{'partitions':>12}{'events/s':>10}{'CPU us/event':>14}{'broker':>8}{'peak MiB':>10}"
        f"{'store MiB':>11}{'ready s':>9}"
    )
    for row in rows:
        yield (
            f"{row['customers']:>10,}{row['partitions']:>12}{row['rate']:>10,.0f}{row['cpu_us_per_event']:>14.1f}"
            f"{row['broker_cpu_us_per_event']:>8.1f}{row['peak_mib']:>10.0f}{row['store_mib']:>11.0f}"
            f"{row['ready_s']:>9.1f}"
        )
    yield "ready s: from fencing the partitions to the first event, including recovery into an empty store"


def _histories(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"{'events of one customer':<24}{'per day':>9}{'profile bytes':>15}{'all records':>13}"
    for row in rows:
        yield f"{row['events']:<24,}{row['a_day']:>9}{row['profile_bytes']:>15,}{row['all_bytes']:>13,}"
