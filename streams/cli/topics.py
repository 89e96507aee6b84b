"""`churn-signals topics`: create missing topics, or compare all topics with their declarations."""

from __future__ import annotations

import click

from streams.kafka.client_runner import run_client


@click.group()
def topics() -> None:
    """Create the topics, or compare them with their declarations."""


@topics.command()
def create() -> None:
    """Create missing topics, then check all topics.

    The events topic gets CHURN_PARTITIONS partitions; topics that depend on it get as many.
    """
    from streams.settings import Settings
    from streams.topics import create_topics

    created = run_client(create_topics(Settings.from_environment()))
    for name in created:
        click.echo(f"created {name}")
    if not created:
        click.echo("all topics exist and match their declarations")


@topics.command("check")
def check_topics() -> None:
    """Compare partitions, cleanup policy and limits with the declarations.

    A difference is an error whose message names the command that fixes it.
    """
    from streams.settings import Settings
    from streams.topics import verify_topics

    for name, topic in sorted(run_client(verify_topics(Settings.from_environment())).items()):
        click.echo(f"{name}: {topic.partitions} partitions, {topic.configs['cleanup.policy']}")
