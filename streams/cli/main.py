"""`churn-signals`: the command line of all roles. A command's module is loaded when the command runs."""

from __future__ import annotations

import difflib
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from streams.cli.early_signal import end_on_early_sigterm
from streams.errors import ChurnSignalsError

# Each name with its line in --help. The lines are here and not in the modules, so that --help loads no module and works
# where an optional dependency of one command is missing. A name without a module is not shown.
COMMANDS = {
    "demo": "Run everything on this machine with sample customers.",
    "worker": "Score customers and publish alerts from the events topic.",
    "trainer": "Learn from matured labels and publish model snapshots.",
    "broker": "Run a real Kafka on this machine, for development.",
    "check": "Report what a file of events contains, and what is wrong with it.",
    "init": "Propose a churn definition from a file of events.",
    "topics": "Create the topics, or check them.",
    "publish": "Publish a file of events (JSON lines) to the events topic.",
    "simulate": "Simulate customers with known hazards, to a file or a topic.",
    "import": "Turn an export of another product, or a CSV file, into events.",
    "backtest": "Replay a file of events and evaluate the predictions.",
    "alerts": "Show alerts, newest last; follow new ones with --follow.",
    "customer": "Show one customer: churn risk, reasons, value, alert.",
    "lag": "Show how far workers are behind, in records and seconds.",
    "dlq": "List, show and replay rejected events (dead letters).",
    "console": "Serve web pages for alerts, customers, model and pipeline.",
    "notify": "Deliver alerts to webhooks.",
    "retention": "Show churn, retention and revenue.",
    "experience": "Show satisfaction, barriers and goals with their churn.",
    "purchases": "Forecast purchases (BG/NBD) and compare with actual ones.",
    "config": "Validate churn.toml and print the effective definition.",
    "changelog": "Show or drop a record of the state that no worker can use.",
    "reset": "Clear the state of a stopped group.",
}

# The modules of commands whose name is a keyword of Python.
_MODULES = {"import": "import_file"}

# They run until SIGTERM, and end with 0 if it arrives before they have started anything.
SERVICES = {"demo", "worker", "trainer", "broker", "console", "notify"}

EPILOG = """\b
First steps, without Kafka:
  churn-signals simulate --out events.jsonl.gz
  churn-signals backtest events.jsonl.gz --config churn.toml

\b
Exit codes: 0 success, 1 failure, 2 wrong usage, 75 restart (another process
took over, or an outcome is unknown).
Settings come from CHURN_ environment variables, the churn definition from
churn.toml."""


class _Failure(click.ClickException):
    """A ChurnSignalsError: its message on standard error and its exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def module_of(name: str) -> str:
    """Return the module of a command, which has a function of the same name."""
    return _MODULES.get(name, name)


class Commands(click.Group):
    """Finds the command NAME in the module `streams.cli.NAME`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in COMMANDS if find_spec(f"streams.cli.{module_of(name)}") is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        try:
            module = module_of(cmd_name)
            command = getattr(import_module(f"streams.cli.{module}"), module)
        except ModuleNotFoundError as missing:
            if missing.name and missing.name.partition(".")[0] in ("streams", "models"):
                raise  # a bug, not a missing dependency
            raise _Failure(
                f"{cmd_name} needs the package {missing.name}, which is not installed. Install churn-signals with all"
                " extras.",
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
        if args[0] in SERVICES:
            end_on_early_sigterm()
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
    """Predict churn in real time from customer events, and publish alerts that explain who is at risk and why."""
