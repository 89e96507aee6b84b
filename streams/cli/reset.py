"""`churn-signals reset`: a stopped group forgets its customers and its position, and starts afresh."""

from __future__ import annotations

import sys

import click

from streams.cli.ask import ask
from streams.settings import Settings


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask before clearing.")
def reset(yes: bool) -> None:
    """Clear position, changelog and this machine's stores of a stopped group; its workers then apply every event that
    the events topic still holds, from the first one on.

    The group is the one that CHURN_KAFKA_GROUP_ID names. It is refused while the group has members.

    What was written to other topics stays: alerts, scores and training examples of the events that are applied again
    are written again, with the same ids. A trainer would learn those examples twice: give the new run topics of its own
    (CHURN_TOPIC_LABELS, CHURN_TOPIC_MODEL), or delete these two and create them anew.

    Sums of the retention accounting are overwritten as they are counted again. If the events topic no longer holds what
    was counted first, those of that time would stay: delete the metrics topic too (churn-signals topics create makes it
    anew), or give the new run one of its own (CHURN_TOPIC_METRICS).
    """
    from streams.admin.reset import clear, plan_reset

    if not (yes or sys.stdin.isatty()):
        raise click.UsageError("there is nobody to ask: add --yes to clear.")
    settings = Settings.from_environment()
    plan = ask(plan_reset(settings))
    what = f"the changelog {plan.changelog} ({plan.records:,} offsets) and {len(plan.stores)} local stores"
    if not yes:
        click.confirm(f"Clear the group {plan.group}: {what}?", abort=True)
    ask(clear(settings, plan))
    click.echo(f"cleared the group {plan.group}: {what}")
    click.echo(f"its workers start at the first event of {settings.topic_events}, {plan.partitions} partitions")
