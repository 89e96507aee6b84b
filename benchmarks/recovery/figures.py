"""What recovery must keep to, and the table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# For 1,000,000 customers: from an empty disk, and with the local store in place.
NOTHING_S = 25.0
STORE_S = 5.0
PEAK_MIB = 2048.0
GATED_CUSTOMERS = 1_000_000


def kept(row: Mapping[str, Any]) -> bool:
    """Whether a row keeps its limits."""
    limit_s = STORE_S if row["store"] else NOTHING_S
    return bool(row["ready_s"] <= limit_s and row["peak_mib"] <= PEAK_MIB)


def passed(result: Mapping[str, Any]) -> bool:
    """Whether all rows do; with other numbers of customers nothing is decided."""
    return result["customers"] != GATED_CUSTOMERS or all(kept(row) for row in result["rows"])


def render(result: Mapping[str, Any]) -> str:
    """For a person."""
    return "\n".join(_lines(result["rows"], result))


def _lines(rows: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{result['customers']:,} customers, {result['partitions']} partitions,"
        f" profiles of {result['profile_bytes']:.0f}"
        " bytes, a new process each time"
    )
    yield f"{'records a customer':<20}{'disk before':<18}{'seconds':>9}{'CPU s':>8}{'peak MiB':>10}{'disk MiB':>10}"
    for row in rows:
        word = "" if result["customers"] != GATED_CUSTOMERS else "  kept" if kept(row) else "  MISSED"
        yield (
            f"{row['records']:<20}{'the local store' if row['store'] else 'nothing':<18}{row['ready_s']:>9.1f}"
            f"{row['cpu_s']:>8.1f}{row['peak_mib']:>10.0f}{row['disk_mib']:>10.0f}{word}"
        )
    yield (
        f"limits, for {GATED_CUSTOMERS:,} customers: {NOTHING_S:.0f} s from nothing, {STORE_S:.0f} s with the store,"
        f" {PEAK_MIB:.0f} MiB"
    )
