"""`churn-signals config`: validate churn.toml and print the effective definition."""

from __future__ import annotations

from pathlib import Path

import click

from streams.cli.options import config_option, read_definition
from streams.settings import Settings


@click.command()
@config_option
@click.option(
    "--settings", "show_settings", is_flag=True, help="Print the effective CHURN_ variables instead, secrets masked."
)
def config(config: Path, show_settings: bool) -> None:
    """Validate the churn definition and print it with all defaults.

    The output is a valid churn.toml. Every score and alert carries its hash. Every training example carries the label
    hash: labels with the same label hash have the same meaning.
    """
    if show_settings:
        for name, value in Settings.from_environment().masked():
            click.echo(f"{name}={value}")
        return
    definition = read_definition(config)
    click.echo(f"# {config}: hash {definition.hash}, label hash {definition.label_hash}\n")
    click.echo(definition.to_toml(), nl=False)
