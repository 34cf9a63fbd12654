"""`remanence import` and `export`."""

from __future__ import annotations

import io
import sys
from typing import Any, TextIO

import click

from remanence.cli import output
from remanence.cli.options import FAILED, Settings, common, ray
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
@ray
@click.option("--again", is_flag=True, help="With --ray: import a file once more that was imported already.")
@click.option("--work", is_flag=True, help="With --ray: also work out facts and the like before the end.")
@common()
@click.pass_obj
def import_(
    settings: Settings, /, source: str, format: str, skip_bad: bool, ray: str | None, again: bool, work: bool
) -> None:
    """Store what the file SOURCE holds.

    `-` reads standard input. A bad line means that nothing is stored, unless --skip-bad. With --ray, an import that
    was stopped goes on from there when run again, and ends with status 3 when something could not be stored.
    """
    file = _standard_input() if source == "-" else source
    if ray is not None:
        _bulk(settings, file, ray, format=format, skip_bad=skip_bad, again=again, work=work)
        return
    if again or work:
        raise output.Refusal("--again and --work go with --ray")
    with settings.memory(new=True) as memory, output.progress("importing") as progress:
        result = memory.import_(file, format=format, skip_bad=skip_bad, progress=progress)
        finish_soon(memory)
    if settings.json:
        output.document(result)
        return
    output.line(f"imported {output.count_of(result['imported'], 'memory')} from {result['format']}")
    _passed_over(result)


def _bulk(settings: Settings, file: str | TextIO, ray: str, *, work: bool, **options: Any) -> None:
    with (
        settings.memory(new=True) as memory,
        memory.bulk(ray) as bulk,
        output.progress("importing") as progress,
    ):
        result = bulk.import_(file, progress=progress, **options)
        if work:
            bulk.work()
        else:
            finish_soon(memory)
    if settings.json:
        output.document(result)
    else:
        before = f", {result['before']:,} were there" if result["before"] else ""
        output.line(f"imported {output.count_of(result['imported'], 'memory')} from {result['format']}{before}")
        _passed_over(result)
        for failed in result["failed"]:
            lines = ", ".join(map(str, failed["lines"]))
            output.note(
                f"not stored: {output.count_of(failed['count'], 'message')} (lines {lines}): {failed['reason']}"
            )
        for words in result.get("degraded", ()):
            output.note(f"note: {words}")
    if result["failed"]:
        raise click.exceptions.Exit(FAILED)


def _passed_over(result: dict[str, Any]) -> None:
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
