"""`remanence history` and `changes`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from remanence.cli import output
from remanence.cli.options import Settings, common, ids, limit

if TYPE_CHECKING:
    from remanence.runtime.results import Change

__all__ = ["changes", "history"]

_SHOWN: Final = 20


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
@click.option("--before", metavar="CHANGE", help="Only what was changed before this change.")
@ids
@common()
@click.pass_obj
def changes(settings: Settings, /, limit: int | None, before: str | None, only_ids: bool) -> None:
    """List the latest changes, newest first.

    `remanence undo` takes one back.
    """
    with settings.memory() as memory:
        found = memory.changes(limit=limit, before=before)
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
                    _events(change),
                ]
                for change in found
            ),
        )


def _events(change: Change) -> str:
    """What a change did, in a line; of many events the first ones."""
    shown = ", ".join(f"{event['event']} {event['id']}" for event in change["events"][:_SHOWN])
    return shown if change["count"] <= _SHOWN else f"{shown} and {change['count'] - _SHOWN:,} more"
