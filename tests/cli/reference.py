"""The command reference in docs/guides/cli.md, made from the commands themselves.

`python -m tests.cli.reference` writes it anew; a test compares it with what is in the document.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from remanence.cli.app import root
from tests.architecture.tree import ROOT

PAGE = ROOT / "docs" / "guides" / "cli.md"
BEGIN = "<!-- reference: made by `python -m tests.cli.reference`, do not edit -->"
PIPE = "\\|"
END = "<!-- end of reference -->"


def reference() -> str:
    """Markdown: the options of all commands once, then each command with its own."""
    shared = {str(parameter.name) for parameter in root.params if isinstance(parameter, click.Option)}
    parts = ["### Options of every command", _options(root, set())]
    for name, command in _commands(root, ""):
        arguments = [_argument(parameter) for parameter in command.params if isinstance(parameter, click.Argument)]
        usage = " ".join(["remanence", name, *arguments, "[options]"])
        parts += [f"### remanence {name}", f"`{usage}`", _text(command), _options(command, shared)]
    return "\n\n".join(part for part in parts if part)


def _commands(group: click.Group, before: str) -> Iterator[tuple[str, click.Command]]:
    """Every command with its whole name; those of a group after it."""
    for name in group.list_commands(click.Context(group)):
        command = group.commands[name]
        yield f"{before}{name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{before}{name} ")


def filled(page: str) -> str:
    """The page with the reference between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{reference()}\n\n{END}{after}"


def _text(command: click.Command) -> str:
    return "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))


def _argument(argument: click.Argument) -> str:
    shown = (argument.metavar or argument.name or "").upper() + ("..." if argument.nargs == -1 else "")
    return shown if argument.required else f"[{shown}]"


def _options(command: click.Command, without: set[str]) -> str:
    options = [one for one in command.params if isinstance(one, click.Option)]
    shown = [one for one in options if not one.hidden and one.name not in without]
    rows = [f"| `{_flags(one)}` | {_help(one)} |" for one in shown]
    return "\n".join(["| option | |", "|---|---|", *rows]) if rows else ""


def _flags(option: click.Option) -> str:
    flags = ", ".join(sorted(option.opts, key=lambda flag: not flag.startswith("--")))
    if option.is_flag or option.count:
        return flags
    choices = getattr(option.type, "choices", ["VALUE"])
    return f"{flags} {option.metavar or PIPE.join(choices)}"


def _help(option: click.Option) -> str:
    text = option.help or ""
    if option.show_default:
        text += f" Default: {option.default}."
    if isinstance(option.envvar, str):
        text += f" Environment: `{option.envvar}`."
    return text.strip()


if __name__ == "__main__":
    path = Path(PAGE)
    path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
