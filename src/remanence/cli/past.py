"""`remanence history` and `changes`."""

from __future__ import annotations

import click

from remanence.cli import output
from remanence.cli.options import Settings, common, ids, limit

__all__ = ["changes", "history"]


@click.command()
@click.argument("memory_id")
@common()
@click.pass_obj
def history(settings: Settings, /, memory_id: str) -> None:
    """Show every change of one memory, oldest first."""
    with settings.memory() as memory:
        rows = memory.history(memory_id)
    if settings.json:
        output.document(rows)
        return
    output.table(
        {"version": "right", "event": "left", "at": "left", "true from": "left", "until": "left", "change": "left",
         "memory": "text"},
        (
            [str(row["version"]), row["event"], output.moment(row["updated_at"]), output.moment(row["valid_from"]),
             output.moment(row["valid_to"]), row["change"], row["new_memory"] or row["old_memory"] or ""]
            for row in rows
        ),
    )  # fmt: skip


@click.command()
@limit("How many at most; 20 if left out.")
@ids
@common()
@click.pass_obj
def changes(settings: Settings, /, limit: int | None, only_ids: bool) -> None:
    """List the latest changes, newest first.

    `remanence undo` takes one back.
    """
    with settings.memory() as memory:
        found = memory.changes(limit=limit)
    if settings.json:
        output.document(found)
    elif only_ids:
        for change in found:
            output.line(change["change"])
    elif not found:
        output.line("nothing found")
    else:
        output.table(
            {"change": "left", "at": "left", "by": "left", "what": "text"},
            (
                [
                    change["change"],
                    output.moment(change["at"]),
                    change["actor"],
                    ", ".join(f"{event['event']} {event['id']}" for event in change["events"]),
                ]
                for change in found
            ),
        )
