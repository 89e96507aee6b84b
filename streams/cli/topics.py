"""`churn-signals topics`: creates the topics that are missing, or checks that all are as declared."""

from __future__ import annotations

import click

from streams.cli.ask import ask


@click.group()
def topics() -> None:
    """Create the topics, or check that they are as declared."""


@topics.command()
def create() -> None:
    """Create what is missing (CHURN_PARTITIONS for the events topic, the others follow it), then check everything."""
    from streams.settings import Settings
    from streams.topics import create_topics

    created = ask(create_topics(Settings.from_environment()))
    for name in created:
        click.echo(f"created {name}")
    if not created:
        click.echo("all topics exist and are as declared")


@topics.command()
def check() -> None:
    """Compare partitions, cleanup and limits with the declarations; a difference names the command that repairs it."""
    from streams.settings import Settings
    from streams.topics import verify_topics

    for name, found in sorted(ask(verify_topics(Settings.from_environment())).items()):
        click.echo(f"{name}: {found.partitions} partitions, {found.configs['cleanup.policy']}")
