"""`churn-signals`: one command line for all roles; a command's code is loaded when it is called, not before."""

from __future__ import annotations

import difflib
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from streams.errors import ChurnSignalsError

# Name and the line that --help shows. They stand here, not in the modules, so that --help loads none of them and
# works where an optional dependency of one command is missing. A name without a module is not shown.
COMMANDS = {
    "demo": "Start everything on this machine, feed it, and show alerts as they come.",
    "worker": "Score customers and raise alerts from the events topic.",
    "trainer": "Learn from matured labels and publish model snapshots.",
    "broker": "Start a real Kafka on this machine, for development.",
    "topics": "Create the topics, or check that they are as declared.",
    "publish": "Send a file of events (JSON lines) to the events topic.",
    "simulate": "Make up customers with known hazards, to a file or a topic.",
    "backtest": "Replay a file of events through the same code and judge it.",
    "alerts": "Show alerts, newest last; with --follow as they come.",
    "customer": "Show what is known of one customer: score, reasons, alert.",
    "lag": "Show how far behind the workers are, in records and seconds.",
    "dlq": "List, show and replay events that were refused.",
    "console": "Serve the web page for alerts, customers and the model.",
    "notify": "Deliver alerts to webhooks.",
    "retention": "Show churn, retention and revenue accounted live.",
    "experience": "Show satisfaction, barriers and goals, and who of them churned.",
    "purchases": "Fit BG/NBD to a file of purchases and hold its forecast against what came.",
    "config": "Check churn.toml and print what is in effect, with its hash.",
    "reset": "Let a stopped group forget its state and start afresh.",
}

EPILOG = """\b
First steps, without Kafka:
  churn-signals simulate --out events.jsonl.gz
  churn-signals backtest events.jsonl.gz --config churn.toml

\b
Exit codes: 0 done, 1 failed, 2 misused, 75 start again (another process took over, or an outcome is unknown).
Settings of the process come from the environment (CHURN_...), what churn means from churn.toml."""


class _Failure(click.ClickException):
    """An error of the product, as one sentence on standard error and its exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Commands(click.Group):
    """Subcommands by name: `streams.cli.NAME` holds a click command that is called NAME too."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in COMMANDS if find_spec(f"streams.cli.{name}") is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        try:
            command = getattr(import_module(f"streams.cli.{cmd_name}"), cmd_name)
        except ModuleNotFoundError as missing:
            if missing.name and missing.name.partition(".")[0] in ("streams", "models"):
                raise  # a fault of ours, not of the installation
            raise _Failure(
                f"{cmd_name} needs the package {missing.name}, which is not installed: "
                "install churn-signals with all its extras.",
                1,
            ) from None
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1, cutoff=0.5)
            if near and "Did you mean" not in error.message:
                error.message = f"{error.message.rstrip('.')}. Did you mean {near[0]}?"
            raise

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ChurnSignalsError as error:
            raise _Failure(str(error), error.exit_code) from error


@click.group(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="churn-signals", message="%(prog)s %(version)s")
def main() -> None:
    """Real-time churn signals: what customers do, in; who is about to leave and why, out."""
