"""Check the limits of recovery and format the table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# For 1,000,000 customers: from an empty disk, and with the local store.
EMPTY_DISK_S = 25.0
STORE_S = 5.0
PEAK_MIB = 2048.0
GATED_CUSTOMERS = 1_000_000


def within_limits(row: Mapping[str, Any]) -> bool:
    """Whether a row is within its limits."""
    limit_s = STORE_S if row["store"] else EMPTY_DISK_S
    return bool(row["ready_s"] <= limit_s and row["peak_mib"] <= PEAK_MIB)


def passed(result: Mapping[str, Any]) -> bool:
    """Whether all rows are within their limits. Other numbers of customers always pass."""
    return result["customers"] != GATED_CUSTOMERS or all(within_limits(row) for row in result["rows"])


def render(result: Mapping[str, Any]) -> str:
    """Format the figures as a table."""
    return "\n".join(_lines(result["rows"], result))


def _lines(rows: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{result['customers']:,} customers, {result['partitions']} partitions,"
        f" profiles of {result['profile_bytes']:.0f}"
        " bytes, a new process for each row"
    )
    yield f"{'records per customer':<22}{'disk before':<16}{'seconds':>9}{'CPU s':>8}{'peak MiB':>10}{'disk MiB':>10}"
    for row in rows:
        word = "" if result["customers"] != GATED_CUSTOMERS else "  met" if within_limits(row) else "  MISSED"
        yield (
            f"{row['records']:<22}{'local store' if row['store'] else 'empty':<16}{row['ready_s']:>9.1f}"
            f"{row['cpu_s']:>8.1f}{row['peak_mib']:>10.0f}{row['disk_mib']:>10.0f}{word}"
        )
    yield (
        f"limits for {GATED_CUSTOMERS:,} customers: {EMPTY_DISK_S:.0f} s from an empty disk,"
        f" {STORE_S:.0f} s with the local store, {PEAK_MIB:.0f} MiB"
    )
