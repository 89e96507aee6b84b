"""Records of the console benchmark: every customer has one score, and unique customer and alert ids."""

from __future__ import annotations

import json

from benchmarks.console.records import Sample, copied

ALERT = b"ab" * 16


def sample(name: str, alert: bytes | None) -> Sample:
    score = {"customer": {"id": name}, "alert": alert and {"id": alert.decode()}}
    if alert is None:
        return Sample(name.encode(), json.dumps(score).encode(), None)
    change = json.dumps({"alert_id": alert.decode(), "customer": {"id": name}, "dedup_key": f"{name}/d"})
    return Sample(name.encode(), json.dumps(score).encode(), (change.encode(), alert))


def test_every_customer_has_a_score_and_the_first_ones_an_open_alert() -> None:
    """Rule: customer and alert ids are unique, and a score names the alert of its customer."""
    found = [sample("c000007", ALERT), sample("c000008", None), sample("c000009", None)]
    rows = list(copied(found, 10, 3))
    assert [json.loads(score)["customer"]["id"] for _, score, _ in rows] == [name.decode() for name, _, _ in rows]
    assert len({name for name, _, _ in rows}) == 10
    alerts = [json.loads(alert) for _, _, alert in rows if alert is not None]
    assert [alert["customer"]["id"] for alert in alerts] == [name.decode() for name, _, _ in rows[:3]]
    assert [json.loads(score)["alert"]["id"] for _, score, _ in rows[:3]] == [alert["alert_id"] for alert in alerts]
    assert len({alert["alert_id"] for alert in alerts}) == 3
    assert [alert["dedup_key"] for alert in alerts] == [f"{name.decode()}/d" for name, _, _ in rows[:3]]
