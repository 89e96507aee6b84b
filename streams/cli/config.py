"""`churn-signals config`: is this churn.toml right, and what is in effect?"""

from __future__ import annotations

from pathlib import Path

import click

from streams.cli.common import config_option, read_definition


@click.command()
@config_option
def config(config: Path) -> None:
    """Check the churn definition and print it with every default written out.

    The output is itself a churn.toml. The hash goes into every score and alert; the label hash into every training
    example and tells which labels mean the same.
    """
    definition = read_definition(config)
    click.echo(f"# {config}: hash {definition.hash}, label hash {definition.label_hash}\n")
    click.echo(definition.to_toml(), nl=False)
