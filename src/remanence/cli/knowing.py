"""`remanence profile`, `timeline` and `explain`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from remanence.cli import output
from remanence.cli.options import Settings, as_of, common, limit, moment

__all__ = ["explain", "profile", "timeline"]

_GROUPS = {
    "static": "what rarely changes",
    "current": "what holds now",
    "preferences": "preferences",
    "instructions": "instructions",
}
_INDENT = "  "


@click.command()
@click.argument("subject", required=False)
@limit("How many of each group at most; 50 if left out.")
@as_of
@common()
@click.pass_obj
def profile(settings: Settings, /, subject: str | None, **options: Any) -> None:
    """Show what is known of SUBJECT.

    Without a name, of whom the memory belongs to. Every line rests on words that were said; JSON quotes them.
    """
    with settings.memory() as memory:
        found = memory.profile(subject, **options)
    if settings.json:
        output.document(found)
        return
    if found["subject"]:
        output.line(found["subject"])
    if not any(found[group] for group in _GROUPS):
        output.line("nothing is known")
        return
    output.table(
        {"": "left", "since": "left", "until": "left", "sure": "right", "id": "left", "memory": "text"},
        (
            [heading if place == 0 else "", *_times(row), _sure(row), row["id"], row["memory"]]
            for group, heading in _GROUPS.items()
            for place, row in enumerate(found[group])
        ),
    )


@click.command()
@click.argument("subject", required=False)
@click.option("--attribute", metavar="WORD", help="Only this one, e.g. home_city.")
@click.option("--since", type=moment, metavar="TIME", help="Only what held then or later.")
@click.option("--until", type=moment, metavar="TIME", help="Only what began before.")
@click.option("--known-at", type=moment, metavar="TIME", help="As the store knew it then.")
@limit("How many at most; 100 if left out.")
@common()
@click.pass_obj
def timeline(settings: Settings, /, subject: str | None, **options: Any) -> None:
    """Show what was true of SUBJECT when, oldest first; of everybody without a name."""
    with settings.memory() as memory:
        found = memory.timeline(subject, **options)
    if settings.json:
        output.document(found)
        return
    rows = found["results"]
    if not rows:
        output.line("nothing found")
        return
    output.table(
        {"since": "left", "until": "left", "status": "left", "id": "left", "memory": "text"},
        ([*_times(row), row["status"] or "", row["id"], row["memory"]] for row in rows),
    )
    if found["more"]:
        output.note(f"more: --since {rows[-1]['since']}, or a higher --limit")


@click.command()
@click.argument("memory_id")
@common()
@click.pass_obj
def explain(settings: Settings, /, memory_id: str) -> None:
    """Show where a memory comes from, what rests on it, and what it replaced."""
    with settings.memory() as memory:
        found = memory.explain(memory_id)
    if settings.json:
        output.document(found)
        return
    item = found["memory"]
    output.line(item["memory"])
    output.details(
        {
            "id": item["id"],
            "kind": item["kind"],
            "status": found["status"],
            "true from": output.moment(item["valid_from"], item["zone"]),
            "until": output.moment(item["valid_to"], item["zone"]),
            "origin": found["origin"],
            "trust": found["trust"],
        }
    )
    _tree("rests on", found["sources"], "sources")
    _tree("from it follows", found["derived"], "resting")
    _tree("concluded from it", found["dependents"], "resting")
    _tree("put an end to", found["ended"], "")
    _tree("took the place of", found["supersedes"], "")
    _tree("gave way to", found["superseded_by"], "")
    _tree("stale because of", found["stale_because"], "")
    output.line()
    output.table(
        {"at": "left", "event": "left", "by": "left", "why": "left", "change": "left"},
        (
            [output.moment(row["updated_at"]), row["event"], row["actor"], row["why"], row["change"]]
            for row in found["changes"]
        ),
    )


def _times(row: Mapping[str, Any]) -> list[str]:
    return [output.moment(row["since"])[:10], output.moment(row["until"])[:10]]


def _sure(row: Mapping[str, Any]) -> str:
    return "" if row["confidence"] is None else f"{row['confidence']:.2f}"


def _tree(heading: str, rows: Sequence[Mapping[str, Any]], below: str) -> None:
    if not rows:
        return
    output.line()
    output.line(f"{heading}:")
    for depth, row in _walk(rows, below, 1):
        output.line(f"{_INDENT * depth}{_words(row)}")


def _walk(rows: Sequence[Mapping[str, Any]], below: str, depth: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for row in rows:
        yield depth, row
        yield from _walk(row.get(below, ()), below, depth + 1)


def _words(row: Mapping[str, Any]) -> str:
    if row.get("erased"):
        return f"{row['id']} (erased)"
    who = f"{row['said_by']}: " if row.get("said_by") else ""
    text = output.one_line(f"“{row['text']}”" if "text" in row else row["memory"])
    state = "deleted" if row["deleted"] else row["status"]
    return f"{row['id']}  {output.moment(row['at'])[:10]}  {who}{text}{f' ({state})' if state else ''}"
