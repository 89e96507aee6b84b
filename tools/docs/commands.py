"""Reference of commands, arguments and options, from the declarations of the command line."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, Final

import click

from streams.cli.main import main
from tools.docs.markdown import code, table

PROGRAM: Final = "churn-signals"
WIDTH: Final = 118

_KINDS: Final = {"IntRange": "integer", "Int": "integer", "FloatRange": "number", "Float": "number", "String": "text"}


def walk(command: click.Command = main, name: str = PROGRAM) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that is not a group, with its full name, in the order of --help."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command, info_name=name)
    for word in command.list_commands(context):
        found = command.get_command(context, word)
        if found is not None and not found.hidden:
            yield from walk(found, f"{name} {word}")


def commands() -> str:
    """One section per command: usage, description, arguments and options."""
    return "\n\n".join(_section(name, command) for name, command in walk())


def _section(name: str, command: click.Command) -> str:
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    usage = " ".join([name, *(["[OPTIONS]"] if options else []), *map(_argument, arguments)])
    parts = [f"### `{name.removeprefix(PROGRAM + ' ')}`", f"```\n{usage}\n```", paragraphs(command.help or "")]
    if options:
        rows = [(_names(o), _value(o), _default(o), o.help or "") for o in options]
        parts.append(table(("option", "value", "default", "meaning"), rows))
    return "\n\n".join(parts)


def paragraphs(text: str) -> str:
    """Format a docstring as click does: join the lines of each paragraph, except after a backspace character."""
    found = []
    for part in inspect.cleandoc(text.partition("\f")[0]).strip().split("\n\n"):
        if part.startswith("\b"):
            found.append("```\n" + part.removeprefix("\b").strip("\n") + "\n```")
        else:
            found.append(textwrap.fill(" ".join(part.split()), WIDTH, break_long_words=False, break_on_hyphens=False))
    return "\n\n".join(found)


def _argument(argument: click.Argument) -> str:
    """The argument as the usage line of --help shows it; a metavar that click renders as written stays unchanged."""
    name = argument.metavar or (argument.name or "").upper()
    if argument.metavar is None and argument.nargs != 1:
        name += "..."
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _names(option: click.Option) -> str:
    names = ", ".join(code(name) for name in option.opts)
    return names + "".join(f" / `{name}`" for name in option.secondary_opts)


def _value(option: click.Option) -> str:
    info: dict[str, Any] = option.type.to_info_dict()
    if option.is_flag or option.count:
        return ""
    if "choices" in info:
        return ", ".join(code(getattr(choice, "value", choice)) for choice in info["choices"])
    kind = option.metavar or _KINDS.get(info["param_type"], option.type.name)
    least, most = info.get("min"), info.get("max")
    bounds = ""
    if least is not None:
        bounds = f" above {least:,}" if info["min_open"] else f" from {least:,}"
    if most is not None:
        bounds += f" below {most:,}" if info["max_open"] else f" to {most:,}"
    return kind + bounds + (", repeatable" if option.multiple else "")


def _default(option: click.Option) -> str:
    default = option.to_info_dict()["default"]
    if isinstance(option.show_default, str):
        return option.show_default
    if default is None or default is False or default == () or option.is_flag or option.required:
        return "required" if option.required else ""
    return code(default() if callable(default) else default)
