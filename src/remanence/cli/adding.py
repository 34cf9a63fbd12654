"""`remanence add`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from remanence.cli import output
from remanence.cli.options import Settings, common, ids, json_object, moment, text_argument
from remanence.cli.working import finish_soon

__all__ = ["add", "show_degraded"]


@click.command()
@click.argument("text", type=text_argument)
@click.option("--timestamp", type=moment, metavar="TIME", help="When it was said; now if left out.")
@click.option("--name", "--speaker", "speaker", metavar="NAME", help="Who said it.")
@click.option("--role", default="user", show_default=True, metavar="ROLE", help="user, assistant, tool, …")
@click.option("--metadata", type=json_object, metavar="JSON", help="A JSON object kept with it and open to filters.")
@click.option("--kind", default="turn", show_default=True, metavar="KIND", help="turn, fact, note, …")
@click.option("--valid-from", type=moment, metavar="TIME", help="Since when it is true; when it was said if left out.")
@click.option("--valid-to", type=moment, metavar="TIME", help="Until when it is true; no end if left out.")
@ids
@common()
@click.pass_obj
def add(settings: Settings, /, text: str, only_ids: bool, **options: Any) -> None:
    """Remember TEXT, word for word.

    `-` reads it from standard input. When the command ends, it is on disk and can be found.
    """
    with settings.memory(new=True) as memory:
        result = memory.add(text, **options)
        finish_soon(memory)
    if settings.json:
        output.document(result)
        return
    for row in result["results"]:
        if only_ids:
            output.line(row.get("id", ""))
        elif row["event"] == "ADD":
            output.line(f"added {row['id']}")
        else:
            output.line(f"not stored: {row['reason']}")
    show_degraded(result)


def show_degraded(result: Mapping[str, Any]) -> None:
    """What did not work, and did not keep the rest from working."""
    for reason in result.get("degraded", ()):
        output.note(f"note: {reason}")
