"""`remanence import` and `export`."""

from __future__ import annotations

import io
import sys
from typing import TextIO

import click

from remanence.cli import output
from remanence.cli.options import Settings, common
from remanence.cli.working import finish_soon

__all__ = ["export", "import_"]

FORMATS = ("auto", "remanence", "chat", "locomo", "mcp")


@click.command("import")
@click.argument("source")
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    default="auto",
    show_default=True,
    help="An export (remanence), conversations (chat: JSON lines, locomo), an MCP memory graph (mcp).",
)
@click.option("--skip-bad", is_flag=True, help="Pass over lines that cannot be read instead of refusing the file.")
@common()
@click.pass_obj
def import_(settings: Settings, /, source: str, format: str, skip_bad: bool) -> None:
    """Store what the file SOURCE holds.

    `-` reads standard input. A bad line means that nothing is stored, unless --skip-bad.
    """
    file = _standard_input() if source == "-" else source
    with settings.memory(new=True) as memory, output.progress("importing") as progress:
        result = memory.import_(file, format=format, skip_bad=skip_bad, progress=progress)
        finish_soon(memory)
    if settings.json:
        output.document(result)
        return
    output.line(f"imported {output.count_of(result['imported'], 'memory')} from {result['format']}")
    for skipped in result["skipped"]:
        output.note(f"skipped: {', '.join(f'{name} {value}' for name, value in skipped.items())}")
    for bad in result["bad_lines"]:
        output.note(f"line {bad['line']}: {bad['reason']}")
    if result["bad"]:
        output.note(f"{output.count_of(result['bad'], 'bad line')} passed over")


def _standard_input() -> TextIO:
    # Whatever the terminal's encoding is: JSON is UTF-8.
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="strict")
    return sys.stdin


@click.command()
@click.argument("target")
@common()
@click.pass_obj
def export(settings: Settings, /, target: str) -> None:
    """Write a scope to the file TARGET.

    That is every version and every link, as JSON lines; `-` is standard output.
    """
    with settings.memory() as memory:
        header = memory.export(sys.stdout if target == "-" else target)
    derived = header["derived"]
    counts = output.count_of(header["records"] - derived, "memory")
    counts += f" and {derived:,} derived from them" if derived else ""
    counts += f" in {output.count_of(header['versions'], 'version')}"
    if target == "-":
        output.note(f"exported {counts}")
    elif settings.json:
        output.document(header)
    else:
        output.line(f"exported {counts} to {header['path']}")
