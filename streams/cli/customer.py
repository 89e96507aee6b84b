"""`churn-signals customer ID`: show a customer's newest score and current alert, as a page or as JSON."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from streams.errors import ChurnSignalsError
from streams.kafka.client_runner import run_client
from streams.rendering.customer_experience import Times
from streams.rendering.customer_page import print_customer
from streams.rendering.terminal import stdout_console
from streams.settings import Settings


@click.command()
@click.argument("customer_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print the churn-scores value, with the current alert.")
def customer(customer_id: str, as_json: bool) -> None:
    """Show customer ID: churn risk, reasons, value, score history, activity and alert.

    Reads the customer's newest score from the scores topic; no worker has to run. The alert is the newest change in the
    alerts topic, so an acknowledgement shows before the next score.
    """
    import orjson

    settings = Settings.from_environment()
    score, change = run_client(_newest_score_and_change(settings, customer_id))
    if score is None:
        raise ChurnSignalsError(
            f"customer {customer_id} has no score: it was never scored, or it was deleted. Compare the id with the"
            " userId (or anonymousId) that your application sends, and check for lag with: churn-signals lag"
        )
    document = orjson.loads(score)
    alert = newer_alert(document, None if change is None else AlertStatus.of(change))
    if as_json:
        click.echo(score if alert == document["alert"] else orjson.dumps({**document, "alert": alert}))
        return
    times = run_client(_times_to_value(settings)) if document.get("goals") else {}
    print_customer(stdout_console(), {**document, "alert": alert}, times)


async def _times_to_value(settings: Settings) -> Times:
    """Time to value of all customers, as workers publish it. Raises as `_newest_score_and_change`."""
    from models.experience.report import times_to_value
    from streams.cli.experience import experience_from_topic

    return times_to_value(await experience_from_topic(settings))


async def _newest_score_and_change(settings: Settings, customer_id: str) -> tuple[bytes | None, bytes | None]:
    """Read the customer's newest score and newest alert change; None where there is none.

    Raises:
        BrokerUnreachable: no broker answered.
        TopicMismatch: a topic does not exist, or differs from its declaration.
    """
    from streams.kafka.partitioner import partition_of
    from streams.kafka.topic_reader import newest_with_key
    from streams.topics import ALERTS, SCORES, name_of, verify_topics

    topics, key, values = await verify_topics(settings), customer_id.encode(), []
    for topic in (name_of(SCORES, settings), name_of(ALERTS, settings)):
        record = await newest_with_key(settings, topic, partition_of(key, topics[topic].partitions), key)
        values.append(None if record is None else record.value)
    return values[0], values[1]


class AlertStatus(msgspec.Struct):
    """The fields of a `churn-alerts` value that describe the current state of an alert."""

    alert_id: str
    seq: int
    state: str
    severity: str
    time: str
    opened_at: str
    resolution: str | None

    @classmethod
    def of(cls, value: bytes) -> AlertStatus | None:
        """Decode a value; None if this version cannot read it as an alert."""
        try:
            return msgspec.json.decode(value, type=cls)
        except msgspec.DecodeError:
            return None


def newer_alert(score: dict[str, Any], change: AlertStatus | None) -> dict[str, Any] | None:
    """Return the alert of the score or of the newest change, whichever is newer, in the shape that scores use.

    For the same alert the higher seq is newer. A change of another alert is newer if it is not older than the score:
    an older one had ended before the score was made.
    """
    known = score["alert"]
    if change is None:
        return known
    if known is not None and known["id"] == change.alert_id:
        newer = change.seq > known["seq"]
    else:
        newer = _time_ms(change.time) >= _time_ms(score["scored_at"])
    if not newer:
        return known
    return {
        "id": change.alert_id,
        "state": change.state,
        "seq": change.seq,
        "severity": change.severity,
        "since": change.opened_at if change.resolution is None else change.time,
    }


def _time_ms(text: str) -> int:
    from models.events.coercion import time_ms

    milliseconds = time_ms(text)
    assert milliseconds is not None, text
    return milliseconds
