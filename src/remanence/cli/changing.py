"""`remanence undo`, `update` and `delete`."""

from __future__ import annotations

from typing import Any

import click

from remanence.cli import output
from remanence.cli.options import Settings, common, json_object, moment, text_argument, yes

__all__ = ["delete", "undo", "update"]


@click.command()
@click.argument("change")
@common()
@click.pass_obj
def undo(settings: Settings, /, change: str) -> None:
    """Take a change back.

    That is a new change, which can itself be undone. Changes are named by `update`, `delete`, `history` and
    `changes`.
    An erasure cannot be undone.
    """
    with settings.memory() as memory:
        result = memory.undo(change)
    if settings.json:
        output.document(result)
        return
    for row in result["results"]:
        output.line(f"{row['event'].lower()} {row['id']} version {row['version']}")
    output.line(f"undone {change} by change {result['change']}")


@click.command()
@click.argument("memory_id")
@click.argument("text", type=text_argument, required=False)
@click.option("--metadata", type=json_object, metavar="JSON", help="New metadata, in place of all that there was.")
@click.option("--timestamp", type=moment, metavar="TIME", help="When the new text was said.")
@click.option("--valid-from", type=moment, metavar="TIME", help="Since when it is true.")
@click.option("--valid-to", type=moment, metavar="TIME", help="Until when it is true.")
@click.option("--expected-version", type=int, metavar="N", help="Refuse if the memory is at another version.")
@click.option("--correction", is_flag=True, help="The old text was wrong from the beginning.")
@common()
@click.pass_obj
def update(settings: Settings, /, memory_id: str, **options: Any) -> None:
    """Replace what a memory says by TEXT.

    `-` reads it from standard input. The old version stays in the history of the memory.
    """
    with settings.memory() as memory:
        result = memory.update(memory_id, **options)
    if settings.json:
        output.document(result)
        return
    for row in result["results"]:
        output.line(f"updated {row['id']} to version {row['version']}")
    output.line(f"change {result['change']}")


@click.command()
@click.argument("memory_id", required=False)
@click.option("--all", "everything", is_flag=True, help="Every memory of the scope.")
@click.option("--at", type=moment, metavar="TIME", help="It stopped being true then; without, it never was.")
@click.option("--expected-version", type=int, metavar="N", help="Refuse if the memory is at another version.")
@yes
@common()
@click.pass_obj
def delete(settings: Settings, /, memory_id: str | None, everything: bool, yes: bool, **options: Any) -> None:
    """Let go of a memory, or of all.

    It stays in its history, and `undo` brings it back. `erase` destroys instead.
    """
    if everything is (memory_id is not None):
        raise click.UsageError("name either one memory or --all")
    if everything and any(value is not None for value in options.values()):
        raise click.UsageError("--at and --expected-version are about one memory, not about --all")
    with settings.memory() as memory:
        result: Any
        if memory_id is None:
            count = output.count_of(memory.stats()["open"], "memory")
            output.confirm(f"Delete {count}{settings.arguments}? undo can bring them back.", yes=yes)
            result = memory.delete_all()
        else:
            result = memory.delete(memory_id, **options)
    if settings.json:
        output.document(result)
        return
    output.line(f"deleted {memory_id or output.count_of(result['count'], 'memory')}")
    if result["change"] is not None:
        output.line(f"change {result['change']}")
