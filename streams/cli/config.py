"""`churn-signals config`: is this churn.toml right, and what is in effect?"""

from __future__ import annotations

from pathlib import Path

import click

from streams.cli.common import config_option, read_definition
from streams.settings import Settings


@click.command()
@config_option
@click.option(
    "--settings", "show_settings", is_flag=True, help="The CHURN_ variables in effect instead; secrets masked."
)
def config(config: Path, show_settings: bool) -> None:
    """Check the churn definition and print it with every default written out.

    The output is itself a churn.toml. The hash goes into every score and alert; the label hash into every training
    example and tells which labels mean the same.
    """
    if show_settings:
        for name, value in Settings.from_environment().masked():
            click.echo(f"{name}={value}")
        return
    definition = read_definition(config)
    click.echo(f"# {config}: hash {definition.hash}, label hash {definition.label_hash}\n")
    click.echo(definition.to_toml(), nl=False)
