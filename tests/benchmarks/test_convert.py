"""Converters of public logs, on a few invented rows in the original formats."""

from __future__ import annotations

import gzip
from pathlib import Path

import orjson
import pytest

from benchmarks.convert import main
from models.events.event import Event, decode


def read(path: Path) -> list[dict[str, object]]:
    with gzip.open(path, "rb") as file:
        return [orjson.loads(line) for line in file]


def test_purchases_become_orders_sorted_by_time(tmp_path: Path) -> None:
    """Rule: the product accepts each event."""
    source, out = tmp_path / "master.txt", tmp_path / "out.jsonl.gz"
    source.write_text("  00002 19970112  5  77.00\n  00001 19970101  1  11.77\n  00002 19970112  1   0.00\n")
    assert main(["cdnow", str(source), str(out)]) == 0
    events = read(out)
    assert [(e["userId"], e["timestamp"]) for e in events] == [
        ("00001", "1997-01-01T12:00:00Z"),
        ("00002", "1997-01-12T12:00:00Z"),
        ("00002", "1997-01-12T12:00:00Z"),
    ]
    assert [e["properties"].get("revenue") for e in events] == [11.77, 77.0, 0.0]  # type: ignore[attr-defined]
    assert all(isinstance(decode(orjson.dumps(e), (), None), Event) for e in events)


def test_course_becomes_subscription_with_usage_and_goals(tmp_path: Path) -> None:
    """Rule: one day's clicks on one kind of page are one event; other modules and banked results are left out."""
    files = {
        "studentRegistration.csv": "code_module,code_presentation,id_student,date_registration,date_unregistration\n"
        "BBB,2013J,7,-20,30\nAAA,2013J,8,-5,\nBBB,2014J,9,-5,\n",
        "vle.csv": "id_site,code_module,code_presentation,activity_type\n1,BBB,2013J,quiz\n2,BBB,2013J,quiz\n",
        "studentVle.csv": "code_module,code_presentation,id_student,id_site,date,sum_click\n"
        "BBB,2013J,7,1,3,4\nBBB,2013J,7,2,3,5\n",
        "assessments.csv": "code_module,code_presentation,id_assessment\nBBB,2013J,50\n",
        "studentAssessment.csv": "id_assessment,id_student,date_submitted,is_banked,score\n"
        "50,7,10,0,81\n50,7,-1,1,60\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    out = tmp_path / "out.jsonl.gz"
    assert main(["oulad", str(tmp_path), str(out), "--modules", "BBB"]) == 0
    assert [(e["event"], e["timestamp"], e["properties"]) for e in read(out)] == [
        ("Subscription Started", "2013-09-11T00:00:00Z", {"plan": "BBB"}),
        ("Feature Used", "2013-10-04T12:00:00Z", {"feature": "quiz", "clicks": 9}),
        ("Goal Completed", "2013-10-11T15:00:00Z", {"goal": "assessment", "score": 81.0}),
        ("Subscription Cancelled", "2013-10-31T23:00:00Z", {"reason": "cancellation_requested"}),
    ]


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    source = tmp_path / "master.txt"
    source.write_text("1 19970101 1 5.0\n2 19970101 1 6.0\n")
    for name in ("a.gz", "b.gz"):
        main(["cdnow", str(source), str(tmp_path / name)])
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_error_names_the_invalid_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "master.txt"
    source.write_text("1 19970101 1\n")
    assert main(["cdnow", str(source), str(tmp_path / "out.gz")]) == 1
    assert "line 1" in capsys.readouterr().err
