"""Convert two public customer logs to events, so that the quality figures can be reproduced.

    python -m benchmarks.convert cdnow CDNOW_master.txt OUT.jsonl.gz
    python -m benchmarks.convert oulad FOLDER_OF_CSVS OUT.jsonl.gz [--presentation 2013J] [--modules BBB,DDD]

`cdnow`: the master set of CDNOW purchases (customer, YYYYMMDD, quantity, dollars; blank separated), as distributed with
the paper of Fader and Hardie and with the `lifetimes` package (MIT).
`oulad`: the Open University Learning Analytics Dataset (Kuzilek, Hlosta, Zdrahal 2017, CC BY 4.0), with its CSV files
as published. Registration starts a subscription and withdrawal cancels it. One day's use of one kind of page is one
`Feature Used` event. A submitted assessment is `Goal Completed` with its score.

Both logs have day resolution, so events carry a fixed hour. The output is ordered by event time, and every run writes
the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

Row = tuple[datetime, str, dict[str, Any]]  # time, message id, event

NOON, EVENING, NIGHT = timedelta(hours=12), timedelta(hours=15), timedelta(hours=23)
# Month and day that the dataset counts days from: presentations start in October (J) or February (B)
COURSE_STARTS = {"J": (10, 1), "B": (2, 1)}


def event(time: datetime, message_id: str, customer: str, name: str, properties: dict[str, Any]) -> Row:
    """Build one event in the format of the Segment spec."""
    return (
        time,
        message_id,
        {
            "type": "track",
            "messageId": message_id,
            "userId": customer,
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "event": name,
            "properties": properties,
        },
    )


def cdnow(path: Path) -> Iterator[Row]:
    """Yield purchases as `Order Completed` at noon."""
    with open(path, encoding="ascii") as file:
        for number, line in enumerate(file, 1):
            fields = line.split()
            if len(fields) != 4:
                raise ValueError(f"{path}, line {number}: expected customer, date, quantity and dollars")
            customer, day, quantity, dollars = fields
            time = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC) + NOON
            properties = {"revenue": float(dollars), "currency": "USD", "quantity": int(quantity)}
            yield event(time, f"o{number}", customer, "Order Completed", properties)


def oulad(folder: Path, presentation: str, modules: set[str]) -> Iterator[Row]:
    """Yield registrations, page use, assessments and withdrawals of some modules of one presentation."""
    month, day = COURSE_STARTS[presentation[-1]]
    start = datetime(int(presentation[:4]), month, day, tzinfo=UTC)

    def chosen(name: str) -> Iterator[tuple[int, dict[str, str]]]:
        with open(folder / name, encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.DictReader(file), 1):
                if row.get("code_presentation", presentation) == presentation and row.get("code_module", "") in modules:
                    yield number, row

    def customer(row: dict[str, str], module: str) -> str:
        return f"{module}-{presentation}-{row['id_student']}"

    for number, row in chosen("studentRegistration.csv"):
        module = row["code_module"]
        if row["date_registration"]:
            time = start + timedelta(days=int(row["date_registration"]))
            yield event(time, f"r{number}", customer(row, module), "Subscription Started", {"plan": module})
        if row["date_unregistration"]:
            time = start + timedelta(days=int(row["date_unregistration"])) + NIGHT
            yield event(
                time,
                f"u{number}",
                customer(row, module),
                "Subscription Cancelled",
                {"reason": "cancellation_requested"},
            )
    yield from _pages(chosen("vle.csv"), chosen("studentVle.csv"), start, customer)
    module_of = {row["id_assessment"]: row["code_module"] for _, row in chosen("assessments.csv")}
    with open(folder / "studentAssessment.csv", encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 1):
            module = module_of.get(row["id_assessment"], "")
            if not module or row["is_banked"] == "1":
                continue
            properties: dict[str, Any] = {"goal": "assessment"}
            if row["score"]:
                properties["score"] = float(row["score"])
            time = start + timedelta(days=int(row["date_submitted"])) + EVENING
            yield event(time, f"a{number}", customer(row, module), "Goal Completed", properties)


def _pages(
    sites: Iterable[tuple[int, dict[str, str]]],
    visits: Iterable[tuple[int, dict[str, str]]],
    start: datetime,
    customer: Any,
) -> Iterator[Row]:
    """Yield one event per customer, day and kind of page, with the clicks of all pages of that kind."""
    kind = {row["id_site"]: row["activity_type"] for _, row in sites}
    clicks: dict[tuple[str, int, str], int] = defaultdict(int)
    first: dict[tuple[str, int, str], int] = {}
    for number, row in visits:
        key = customer(row, row["code_module"]), int(row["date"]), kind[row["id_site"]]
        clicks[key] += int(row["sum_click"])
        first.setdefault(key, number)
    for (user, day, page), count in clicks.items():
        time = start + timedelta(days=day) + NOON
        number = first[user, day, page]
        yield event(time, f"v{number}", user, "Feature Used", {"feature": page, "clicks": count})


def write(rows: Iterable[Row], path: Path) -> int:
    """Write the events by time, then message id, as gzip without a modification time. Return their number."""
    ordered = sorted(rows, key=lambda row: (row[0], row[1]))
    with open(path, "wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as out:
        for _, _, body in ordered:
            out.write(orjson.dumps(body) + b"\n")
    return len(ordered)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", choices=("cdnow", "oulad"))
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--presentation", default="2013J")
    parser.add_argument("--modules", default="BBB,DDD")
    options = parser.parse_args(arguments)
    try:
        if options.log == "cdnow":
            rows = cdnow(options.source)
        else:
            rows = oulad(options.source, options.presentation, set(options.modules.split(",")))
        count = write(rows, options.out)
    except (OSError, ValueError, KeyError) as error:
        print(f"{options.source} cannot be converted: {error}", file=sys.stderr)
        return 1
    print(f"{count:,} events written to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
