"""What the console remembers: newest score by customer, alerts and their changes, in a temporary SQLite file."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import cramjam
import msgspec
import orjson

from models.alerts.settings import BANDS
from models.definition.competing_risks import SUCCESS
from models.events.coercion import time_ms

# Scores of 5.4 KB: 100,000 customers are 400 MB on disk, and none of it in memory (`make bench-console`).
_LEVEL = 1
_CACHE_KIB = 32 * 1024
LIVE = ("open", "acknowledged", "snoozed")
# Ended alerts are looked back at, not worked through; changes are a customer's alert history.
ENDED_KEPT, CHANGES_KEPT = 20_000, 200_000
_TRIM_EVERY = 5_000
PAGE_ROWS = 50

_SCHEMA = """
CREATE TABLE scores (id TEXT PRIMARY KEY, probability REAL, at_risk REAL, band INT, segment TEXT, gone INT,
  scored_ms INT, value BLOB);
CREATE INDEX scores_risk ON scores (gone, probability DESC);
CREATE INDEX scores_worth ON scores (gone, at_risk DESC);
CREATE TABLE alerts (alert_id TEXT PRIMARY KEY, customer TEXT, seq INT, state TEXT, live INT, band INT,
  probability REAL, at_risk REAL, mrr REAL, segment TEXT, account TEXT, reason TEXT, sentence TEXT, playbook TEXT,
  opened_ms INT, changed_ms INT, snoozed_until TEXT, resolution TEXT, route TEXT);
CREATE INDEX alerts_live ON alerts (live, at_risk);
CREATE INDEX alerts_customer ON alerts (customer, live);
CREATE TABLE changes (alert_id TEXT, seq INT, customer TEXT, type TEXT, state TEXT, band INT, time_ms INT,
  probability REAL, sentence TEXT, resolution TEXT, PRIMARY KEY (alert_id, seq));
CREATE INDEX changes_customer ON changes (customer);
"""


class _Who(msgspec.Struct):
    id: str
    account: str | None = None
    segment: str | None = None
    stage: str = ""


class _Worth(msgspec.Struct):
    mrr: float | None = None
    revenue_at_risk: float | None = None


class _Why(msgspec.Struct):
    code: str
    sentence: str


class _Score(msgspec.Struct):
    customer: _Who
    probability: float
    band: str
    value: _Worth
    scored_at: str = ""


class _Odds(msgspec.Struct):
    probability: float


class _Action(msgspec.Struct):
    playbook: str


class _Alert(msgspec.Struct):
    alert_id: str
    seq: int
    type: str
    state: str
    severity: str
    time: str
    opened_at: str
    customer: _Who
    score: _Odds
    reasons: list[_Why]
    value: _Worth
    action: _Action
    resolution: str | None = None
    snoozed_until: str | None = None
    route: str = SUCCESS


_SCORE = msgspec.json.Decoder(_Score)
_ALERT = msgspec.json.Decoder(_Alert)


class AlertQuery(NamedTuple):
    """Which alerts to list, and in which order; empty: no matter."""

    band: str = ""
    reason: str = ""
    segment: str = ""
    state: str = ""
    least: float = 0.0
    customer: str = ""
    route: str = ""
    sort: str = "worth"
    page: int = 1


_ORDERS = {
    "worth": "at_risk IS NULL, at_risk DESC, probability DESC, alert_id",
    "risk": "probability DESC, alert_id",
    "newest": "changed_ms DESC, alert_id",
}


class ConsoleDatabase:
    """All of it in one file under `directory`; it belongs to one thread.

    Attributes:
        version: rises with every change of an alert.
        unknown: records that this version cannot read.
    """

    def __init__(self, directory: Path) -> None:
        self.version = 0
        self.unknown = 0
        self._since_trim = 0
        self._db = sqlite3.connect(directory / "console.sqlite", isolation_level=None)
        # A cache that ends with the process: a crash has nothing to save.
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}", "temp_store=MEMORY"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(_SCHEMA)
        self._db.row_factory = sqlite3.Row

    def close(self) -> None:
        self._db.close()

    # Writing ----------------------------------------------------------------------------------------------------------

    def add_scores(self, records: list[tuple[bytes | None, bytes | None]]) -> None:
        """Key and value of records of churn-scores, in order; a tombstone forgets the customer, past alerts too."""
        rows: dict[str, tuple[Any, ...] | None] = {}
        for key, value in records:
            if value is None:
                rows[(key or b"").decode("utf-8", "replace")] = None
                continue
            try:
                score = _SCORE.decode(value)
                band = BANDS.index(score.band)
            except (msgspec.DecodeError, ValueError):
                self.unknown += 1
                continue
            packed = bytes(cramjam.zstd.compress(value, level=_LEVEL))
            who, worth = score.customer, score.value.revenue_at_risk
            rows[who.id] = (
                who.id, score.probability, worth, band, who.segment, who.stage == "churned",
                time_ms(score.scored_at) or 0, packed,
            )  # fmt: skip
        self._db.execute("BEGIN")
        for name in [name for name, row in rows.items() if row is None]:
            self._db.execute("DELETE FROM scores WHERE id = ?", (name,))
            self._forget_alerts(name)
        known = [row for row in rows.values() if row is not None]
        self._db.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?)", known)
        self._db.executemany(
            "UPDATE alerts SET probability = ?, at_risk = ?, band = ? WHERE customer = ? AND live AND changed_ms <= ?",
            [(probability, worth, band, name, at_ms) for name, probability, worth, band, _, _, at_ms, _ in known],
        )
        self._db.execute("COMMIT")

    def add_alerts(self, values: list[bytes | None]) -> None:
        """Values of churn-alerts, in order; one whose seq is not above what is known was seen before."""
        self._db.execute("BEGIN")
        for value in values:
            try:
                self._add_alert(_ALERT.decode(value or b""))
            except (msgspec.DecodeError, ValueError):
                self.unknown += 1
        self._since_trim += len(values)
        if self._since_trim >= _TRIM_EVERY:
            self._trim()
        self._db.execute("COMMIT")

    def _add_alert(self, alert: _Alert) -> None:
        known = self._db.execute("SELECT seq FROM alerts WHERE alert_id = ?", (alert.alert_id,)).fetchone()
        if known is not None and known["seq"] >= alert.seq:
            return
        changed, opened = time_ms(alert.time), time_ms(alert.opened_at)
        if changed is None or opened is None:
            raise ValueError("times cannot be read")
        band, why = BANDS.index(alert.severity), alert.reasons[0] if alert.reasons else _Why("", "")
        who, worth, probability = alert.customer, alert.value, alert.score.probability
        now = (probability, worth.revenue_at_risk, band)
        if alert.state in LIVE:  # how it stands now; what it was when the alert changed is in its history
            score = "SELECT probability, at_risk, band FROM scores WHERE id = ? AND scored_ms >= ?"
            now = self._db.execute(score, (who.id, changed)).fetchone() or now
        row = (
            alert.alert_id, who.id, alert.seq, alert.state, alert.state in LIVE, now[2], now[0],
            now[1], worth.mrr, who.segment, who.account, why.code, why.sentence, alert.action.playbook,
            opened, changed, alert.snoozed_until, alert.resolution, alert.route,
        )  # fmt: skip
        if alert.resolution == "deleted":
            self._db.execute("DELETE FROM alerts WHERE alert_id = ?", (alert.alert_id,))
            self._forget_alerts(who.id)
            self.version += 1
            return
        self._db.execute(f"INSERT OR REPLACE INTO alerts VALUES ({','.join('?' * len(row))})", row)
        told = (
            alert.alert_id, alert.seq, who.id, alert.type, alert.state, band, changed, probability, why.sentence,
            alert.resolution,
        )  # fmt: skip
        self._db.execute(f"INSERT OR REPLACE INTO changes VALUES ({','.join('?' * len(told))})", told)
        self.version += 1

    def _forget_alerts(self, customer: str) -> None:
        """All but one that is not over: its end is still to come, from another topic."""
        self._db.execute(
            "DELETE FROM changes WHERE customer = ? AND alert_id NOT IN (SELECT alert_id FROM alerts WHERE live)",
            (customer,),
        )
        self._db.execute("DELETE FROM alerts WHERE customer = ? AND NOT live", (customer,))

    def _trim(self) -> None:
        self._since_trim = 0
        self._db.execute(
            "DELETE FROM alerts WHERE NOT live AND alert_id NOT IN"
            " (SELECT alert_id FROM alerts WHERE NOT live ORDER BY changed_ms DESC LIMIT ?)",
            (ENDED_KEPT,),
        )
        self._db.execute("DELETE FROM changes WHERE rowid <= (SELECT max(rowid) FROM changes) - ?", (CHANGES_KEPT,))

    # Reading ----------------------------------------------------------------------------------------------------------

    def alerts(self, choice: AlertQuery) -> tuple[list[dict[str, Any]], int]:
        """One page of alerts, and how many there are."""
        where = ["live" if choice.state != "ended" else "NOT live"]
        values: list[str | int | float] = []
        if choice.state in LIVE:
            where.append("state = ?")
            values.append(choice.state)
        if choice.band in BANDS:
            where.append("band >= ?")
            values.append(BANDS.index(choice.band))
        for column in ("reason", "segment", "customer", "route"):
            if wanted := getattr(choice, column):
                where.append(f"{column} = ?")
                values.append(wanted)
        if choice.least > 0:
            where.append("at_risk >= ?")
            values.append(choice.least)
        condition = " AND ".join(where)
        [count] = self._db.execute(f"SELECT count(*) FROM alerts WHERE {condition}", values).fetchone()
        order = _ORDERS.get(choice.sort, _ORDERS["worth"])
        rows = self._db.execute(
            f"SELECT * FROM alerts WHERE {condition} ORDER BY {order} LIMIT ? OFFSET ?",
            (*values, PAGE_ROWS, PAGE_ROWS * (choice.page - 1)),
        )
        return [dict(row) for row in rows], count

    def alert(self, alert_id: str) -> dict[str, Any] | None:
        """An alert as it stands."""
        row = self._db.execute("SELECT * FROM alerts WHERE alert_id = ?", (alert_id,)).fetchone()
        return None if row is None else dict(row)

    def summary(self) -> dict[str, Any]:
        """Figures above the list: how many are open, how many critical, what is at risk."""
        row = self._db.execute(
            "SELECT count(*) AS live, coalesce(sum(state = 'open'), 0) AS open, coalesce(sum(band = 3), 0) AS critical,"
            " sum(at_risk) AS at_risk FROM alerts WHERE live"
        ).fetchone()
        return dict(row)

    def choices(self) -> dict[str, list[str]]:
        """Reasons, segments and routes that live alerts have."""
        return {
            column: [
                row[0]
                for row in self._db.execute(
                    f"SELECT {column} FROM alerts WHERE live AND {column} IS NOT NULL AND {column} != ''"
                    f" GROUP BY {column} ORDER BY count(*) DESC LIMIT 50"
                )
            ]
            for column in ("reason", "segment", "route")
        }

    def customers(self, prefix: str, sort: str, page: int) -> list[dict[str, Any]]:
        """One page of customers, those last who have left; with `prefix` those whose id begins so."""
        order = "gone, probability DESC" if sort == "risk" else "gone, at_risk DESC"
        where, values = "", []
        if prefix:
            where, values = "WHERE id >= ? AND id < ?", [prefix, prefix + "\U0010ffff"]
        rows = self._db.execute(
            f"SELECT id, probability, at_risk, band, segment, gone FROM scores {where}"
            f" ORDER BY {order} LIMIT ? OFFSET ?",
            (*values, PAGE_ROWS, PAGE_ROWS * (page - 1)),
        )
        return [dict(row) for row in rows]

    def count(self) -> int:
        """Customers with a score."""
        return int(self._db.execute("SELECT count(*) FROM scores").fetchone()[0])

    def score(self, customer: str) -> dict[str, Any] | None:
        """The newest score of a customer, as published."""
        row = self._db.execute("SELECT value FROM scores WHERE id = ?", (customer,)).fetchone()
        found: dict[str, Any] | None = None if row is None else orjson.loads(bytes(cramjam.zstd.decompress(row[0])))
        return found

    def history(self, customer: str) -> list[dict[str, Any]]:
        """What was told of a customer's alerts, newest first."""
        rows = self._db.execute(
            "SELECT * FROM changes WHERE customer = ? ORDER BY time_ms DESC, seq DESC LIMIT 100", (customer,)
        )
        return [dict(row) for row in rows]
