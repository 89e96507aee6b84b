"""Options that several commands share: the churn definition and points in time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.errors import ConfigurationError

if TYPE_CHECKING:
    from models.definition.churn_definition import ChurnDefinition
    from models.events.event_names import EventNames

DEFAULT_CONFIG = Path("churn.toml")

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_CONFIG,
    show_default=True,
    help="Churn definition file (TOML).",
)

names_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    show_default="churn.toml, if it exists",
    help="With FILE: churn definition file (TOML), whose event names apply.",
)


def read_names(path: Path | None) -> EventNames:
    """Read the event names of a churn definition; those that need none if the default file does not exist.

    Raises:
        ConfigurationError: the file cannot be read or is wrong; the message names the file.
    """
    from models.events.event_names import LISTED

    if path is None and not DEFAULT_CONFIG.exists():
        return LISTED
    return read_definition(path or DEFAULT_CONFIG).names


sort_option = click.option(
    "--sort", is_flag=True, help="Sort FILE by event time first. Without it, an unsorted FILE is refused."
)


def read_definition(path: Path) -> ChurnDefinition:
    """Read the churn definition from a file.

    Raises:
        ConfigurationError: the file cannot be read or is wrong; the message names the file.
    """
    from models.definition.churn_definition import ChurnDefinition
    from models.definition.toml_table import DefinitionError

    try:
        return ChurnDefinition.parse(path.read_text(encoding="utf-8"))
    except DefinitionError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: byte {error.start} is not UTF-8 text. Save the file as UTF-8.") from None
    except OSError as error:
        hint = " Name your churn definition with --config." if path == DEFAULT_CONFIG else ""
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}.{hint}") from None


class Time(click.ParamType):
    """A time on the command line, converted to epoch milliseconds (UTC)."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse RFC 3339, a date or epoch seconds; fail with the accepted forms."""
        from models.events.coercion import time_ms

        milliseconds = value if isinstance(value, int) else time_ms(value)
        if milliseconds is None:
            self.fail(
                f"{value!r} is not a time. Write RFC 3339 (2014-01-26T00:00:00Z), a date (2014-01-26, which means"
                " midnight UTC) or epoch seconds.",
                param,
                ctx,
            )
        return milliseconds


TIME = Time()
