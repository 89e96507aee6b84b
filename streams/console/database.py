"""The console's data: newest scores, alerts and their changes, in a temporary SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cramjam

from models.alerts.settings import BANDS
from models.events.coercion import time_ms
from streams.console.published_records import AlertChange, AlertReason, ScoreChange
from streams.errors import ChurnSignalsError
from streams.rendering.risk_points import reason_points
from streams.rendering.score_view import shown_score

# A score has 5.4 KB: 100,000 customers take 400 MB on disk and none in memory (`make bench-console`).
_ZSTD_LEVEL = 1
_CACHE_KIB = 32 * 1024
LIVE = ("open", "acknowledged", "snoozed")
# Ended alerts and changes are history, so only the newest are kept.
ENDED_KEPT, CHANGES_KEPT = 20_000, 200_000
_TRIM_EVERY = 5_000
PAGE_ROWS = 50

_SCHEMA = """
CREATE TABLE scores (id TEXT PRIMARY KEY, probability REAL, at_risk REAL, band INT, segment TEXT, gone INT,
  scored_ms INT, currency TEXT, value BLOB);
CREATE INDEX scores_risk ON scores (gone, probability DESC);
CREATE INDEX scores_worth ON scores (gone, at_risk DESC);
CREATE TABLE alerts (alert_id TEXT PRIMARY KEY, customer TEXT, seq INT, state TEXT, live INT, band INT,
  probability REAL, at_risk REAL, mrr REAL, segment TEXT, account TEXT, reason TEXT, sentence TEXT, playbook TEXT,
  opened_ms INT, changed_ms INT, snoozed_until TEXT, resolution TEXT, route TEXT, points REAL,
  currency TEXT);
CREATE INDEX alerts_live ON alerts (live, at_risk);
CREATE INDEX alerts_customer ON alerts (customer, live);
CREATE TABLE changes (alert_id TEXT, seq INT, customer TEXT, type TEXT, state TEXT, band INT, time_ms INT,
  probability REAL, sentence TEXT, resolution TEXT, PRIMARY KEY (alert_id, seq));
CREATE INDEX changes_customer ON changes (customer);
"""


class AlertQuery(NamedTuple):
    """Which alerts to list, and in which order. An empty value selects all."""

    band: str = ""
    reason: str = ""
    segment: str = ""
    state: str = ""
    min_at_risk: float = 0.0
    customer: str = ""
    route: str = ""
    sort: str = "value"
    page: int = 1


_ORDERS = {
    "value": "at_risk IS NULL, at_risk DESC, probability DESC, alert_id",
    "risk": "probability DESC, alert_id",
    "newest": "changed_ms DESC, alert_id",
}


class ConsoleDatabaseFailed(ChurnSignalsError):
    """You see this if the console cannot write its temporary database, for example because the disk is full."""


class ConsoleDatabase:
    """One SQLite file under `directory`; used by one thread.

    Attributes:
        version: Increases with every alert change.

    Raises:
        ConsoleDatabaseFailed: The file cannot be created.
    """

    def __init__(self, directory: Path) -> None:
        self.version = 0
        self._since_trim = 0
        self._directory = directory
        with self._reporting():
            self._db = sqlite3.connect(directory / "console.sqlite", isolation_level=None)
            # The file is deleted with the process, so it needs no crash safety. A transaction that fails on a full disk
            # is rolled back from memory.
            for pragma in ("journal_mode=MEMORY", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}", "temp_store=MEMORY"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.executescript(_SCHEMA)
        self._db.row_factory = sqlite3.Row

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # Writing ----------------------------------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Write everything or nothing.

        Raises:
            ConsoleDatabaseFailed: SQLite failed. The same records can be added again.
        """
        with self._reporting():
            self._db.execute("BEGIN")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Turn errors of SQLite into a sentence. Their own texts may quote values."""
        try:
            yield
        except sqlite3.Error as failure:
            name = getattr(failure, "sqlite_errorname", type(failure).__name__)
            raise ConsoleDatabaseFailed(
                f"the temporary database in {self._directory} cannot be written ({name}); check the free space and the"
                " permissions of this directory"
            ) from failure

    def add_scores(self, changes: Iterable[ScoreChange]) -> None:
        """Add records of churn-scores, in order. A tombstone deletes the customer and past alerts."""
        rows: dict[str, tuple[Any, ...] | None] = {}
        for name, score, value in changes:
            if score is None:
                rows[name] = None
                continue
            customer = score.customer
            rows[name] = (
                name, score.probability, score.value.revenue_at_risk, BANDS.index(score.band), customer.segment,
                customer.stage == "churned", score.scored_ms, score.value.currency,
                bytes(cramjam.zstd.compress(value, level=_ZSTD_LEVEL)),
            )  # fmt: skip
        with self._transaction():
            for name in [name for name, row in rows.items() if row is None]:
                self._db.execute("DELETE FROM scores WHERE id = ?", (name,))
                self._delete_alerts(name)
            scored = [row for row in rows.values() if row is not None]
            self._db.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", scored)
            self._db.executemany(
                "UPDATE alerts SET probability = ?, at_risk = ?, band = ?, currency = ?"
                " WHERE customer = ? AND live AND changed_ms <= ?",
                [
                    (risk, at_risk, band, code, name, at_ms)
                    for name, risk, at_risk, band, _, _, at_ms, code, _ in scored
                ],
            )

    def add_alerts(self, alerts: Sequence[AlertChange]) -> None:
        """Add records of churn-alerts, in order. A seq that is not above the known one is a duplicate and ignored."""
        before = self.version
        try:
            with self._transaction():
                for alert in alerts:
                    self._add_alert(alert)
                if self._since_trim + len(alerts) >= _TRIM_EVERY:
                    self._trim()
        except BaseException:
            self.version = before
            raise
        self._since_trim = (self._since_trim + len(alerts)) % _TRIM_EVERY

    def _add_alert(self, alert: AlertChange) -> None:
        known = self._db.execute("SELECT seq FROM alerts WHERE alert_id = ?", (alert.alert_id,)).fetchone()
        if known is not None and known["seq"] >= alert.seq:
            return
        changed, opened = time_ms(alert.time), time_ms(alert.opened_at)
        band, reason = BANDS.index(alert.severity), alert.reasons[0] if alert.reasons else AlertReason("", "")
        customer, value, probability = alert.customer, alert.value, alert.score.probability
        current = (probability, value.revenue_at_risk, band, value.currency)
        if alert.state in LIVE:  # the list shows the current risk; the history keeps the risk at the change
            score = "SELECT probability, at_risk, band, currency FROM scores WHERE id = ? AND scored_ms >= ?"
            current = self._db.execute(score, (customer.id, changed)).fetchone() or current
        row = (
            alert.alert_id, customer.id, alert.seq, alert.state, alert.state in LIVE, current[2], current[0],
            current[1], value.mrr, customer.segment, customer.account, reason.code, reason.sentence,
            alert.action.playbook, opened, changed, alert.snoozed_until, alert.resolution, alert.route,
            _points(reason, alert.score.log_odds), current[3],
        )  # fmt: skip
        if alert.resolution == "deleted":
            self._db.execute("DELETE FROM alerts WHERE alert_id = ?", (alert.alert_id,))
            self._delete_alerts(customer.id)
            self.version += 1
            return
        self._db.execute(f"INSERT OR REPLACE INTO alerts VALUES ({','.join('?' * len(row))})", row)
        change = (
            alert.alert_id, alert.seq, customer.id, alert.type, alert.state, band, changed, probability,
            reason.sentence, alert.resolution,
        )  # fmt: skip
        self._db.execute(f"INSERT OR REPLACE INTO changes VALUES ({','.join('?' * len(change))})", change)
        self.version += 1

    def _delete_alerts(self, customer: str) -> None:
        """Delete ended alerts of a customer. A live alert is deleted by its last change, which comes from its topic."""
        self._db.execute(
            "DELETE FROM changes WHERE customer = ? AND alert_id NOT IN (SELECT alert_id FROM alerts WHERE live)",
            (customer,),
        )
        self._db.execute("DELETE FROM alerts WHERE customer = ? AND NOT live", (customer,))

    def _trim(self) -> None:
        self._db.execute(
            "DELETE FROM alerts WHERE NOT live AND alert_id NOT IN"
            " (SELECT alert_id FROM alerts WHERE NOT live ORDER BY changed_ms DESC LIMIT ?)",
            (ENDED_KEPT,),
        )
        self._db.execute("DELETE FROM changes WHERE rowid <= (SELECT max(rowid) FROM changes) - ?", (CHANGES_KEPT,))

    # Reading ----------------------------------------------------------------------------------------------------------

    def alerts(self, query: AlertQuery) -> tuple[list[dict[str, Any]], int]:
        """Return one page of alerts, and the number of all matching alerts."""
        where = ["live" if query.state != "ended" else "NOT live"]
        values: list[str | int | float] = []
        if query.state in LIVE:
            where.append("state = ?")
            values.append(query.state)
        if query.band in BANDS:
            where.append("band >= ?")
            values.append(BANDS.index(query.band))
        for column in ("reason", "segment", "customer", "route"):
            if selected := getattr(query, column):
                where.append(f"{column} = ?")
                values.append(selected)
        if query.min_at_risk > 0:
            where.append("at_risk >= ?")
            values.append(query.min_at_risk)
        condition = " AND ".join(where)
        [count] = self._db.execute(f"SELECT count(*) FROM alerts WHERE {condition}", values).fetchone()
        order = _ORDERS.get(query.sort, _ORDERS["value"])
        rows = self._db.execute(
            f"SELECT * FROM alerts WHERE {condition} ORDER BY {order} LIMIT ? OFFSET ?",
            (*values, PAGE_ROWS, PAGE_ROWS * (query.page - 1)),
        )
        return [dict(row) for row in rows], count

    def alert(self, alert_id: str) -> dict[str, Any] | None:
        """Return the newest state of an alert."""
        row = self._db.execute("SELECT * FROM alerts WHERE alert_id = ?", (alert_id,)).fetchone()
        return None if row is None else dict(row)

    def summary(self) -> dict[str, Any]:
        """Return the figures above the list: live, open and critical alerts, and revenue at risk by currency."""
        row = self._db.execute(
            "SELECT count(*) AS live, coalesce(sum(state = 'open'), 0) AS open, coalesce(sum(band = 3), 0) AS critical"
            " FROM alerts WHERE live"
        ).fetchone()
        at_risk = self._db.execute(
            "SELECT sum(at_risk), currency FROM alerts WHERE live AND at_risk IS NOT NULL"
            " GROUP BY currency ORDER BY count(*) DESC, currency"
        )
        return {**dict(row), "at_risk": [tuple(part) for part in at_risk]}

    def filter_options(self) -> dict[str, list[str]]:
        """Return the reasons, segments and routes of live alerts, the most frequent first."""
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
        """Return one page of customers whose id starts with `prefix`. Churned customers come last."""
        order = "gone, probability DESC" if sort == "risk" else "gone, at_risk DESC"
        where, values = "", []
        if prefix:
            where, values = "WHERE id >= ? AND id < ?", [prefix, prefix + "\U0010ffff"]
        rows = self._db.execute(
            f"SELECT id, probability, at_risk, currency, band, segment, gone FROM scores {where}"
            f" ORDER BY {order} LIMIT ? OFFSET ?",
            (*values, PAGE_ROWS, PAGE_ROWS * (page - 1)),
        )
        return [dict(row) for row in rows]

    def count(self) -> int:
        """Return the number of customers with a score."""
        return int(self._db.execute("SELECT count(*) FROM scores").fetchone()[0])

    def score(self, customer: str) -> dict[str, Any] | None:
        """Return the newest score of a customer: the fields that pages show."""
        row = self._db.execute("SELECT value FROM scores WHERE id = ?", (customer,)).fetchone()
        return None if row is None else shown_score(customer.encode(), bytes(cramjam.zstd.decompress(row[0])))

    def history(self, customer: str) -> list[dict[str, Any]]:
        """Return the alert changes of a customer, newest first."""
        rows = self._db.execute(
            "SELECT * FROM changes WHERE customer = ? ORDER BY time_ms DESC, seq DESC LIMIT 100", (customer,)
        )
        return [dict(row) for row in rows]


def _points(reason: AlertReason, log_odds: float | None) -> float | None:
    """Percentage points of the first reason; None if the record has neither points nor log-odds."""
    if reason.points is None and log_odds is None:
        return None
    return reason_points({"points": reason.points, "contribution": reason.contribution}, log_odds or 0.0)
