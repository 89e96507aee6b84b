"""`churn-signals reset`: clear the state and position of a stopped group."""

from __future__ import annotations

import sys

import click

from streams.kafka.client_runner import run_client
from streams.settings import Settings


@click.command()
@click.option("--yes", is_flag=True, help="Clear without asking for confirmation.")
def reset(yes: bool) -> None:
    """Clear the position, the changelog and this machine's local stores of a stopped group.

    Its workers then start at the first event that the events topic still holds. CHURN_KAFKA_GROUP_ID names the group.
    The command fails while the group has members.

    Records in other topics stay. Alerts, scores and training examples of replayed events are published again with the
    same ids. A trainer would learn those examples twice: give the new run its own topics (CHURN_TOPIC_LABELS,
    CHURN_TOPIC_MODEL), or delete both topics and create them again.

    Retention sums are overwritten as events are counted again. If the events topic no longer holds the earliest events,
    their sums stay: delete the metrics topic too and create it again with churn-signals topics create, or give the
    new run its own (CHURN_TOPIC_METRICS).
    """
    from streams.admin.reset import clear, plan_reset

    if not (yes or sys.stdin.isatty()):
        raise click.UsageError("standard input is not a terminal, so no confirmation is possible: add --yes to clear.")
    settings = Settings.from_environment()
    plan = run_client(plan_reset(settings))
    state = f"the changelog {plan.changelog} ({plan.records:,} offsets) and {len(plan.stores)} local stores"
    if not yes:
        click.confirm(f"Clear the group {plan.group}: {state}?", abort=True)
    run_client(clear(settings, plan))
    click.echo(f"cleared the group {plan.group}: {state}")
    click.echo(f"its workers start at the first event of {settings.topic_events} ({plan.partitions} partitions)")
