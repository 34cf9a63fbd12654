"""`remanence search`, `context`, `get` and `list`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from remanence.cli import output
from remanence.cli.adding import show_degraded
from remanence.cli.options import Settings, as_of, common, ids, kinds, limit, text_argument, where

if TYPE_CHECKING:
    from remanence.runtime.memory import Memory
    from remanence.runtime.results import Item

__all__ = ["context", "get", "list_", "search"]

SHOWN = 6
"""Channels that --explain shows to people, the strongest first; JSON has them all."""


@click.command()
@click.argument("query", type=text_argument)
@limit("How many at most; 10 if left out.")
@as_of
@where
@kinds
@click.option("--threshold", type=float, metavar="P", help="Leave out what scores less, from 0 to 1.")
@click.option("--explain", is_flag=True, help="Show what each channel gave to the score.")
@ids
@common()
@click.pass_obj
def search(settings: Settings, /, query: str, only_ids: bool, kinds: tuple[str, ...], **options: Any) -> None:
    """Find the memories most likely to answer QUERY, best first.

    The score is the probability that a memory answers.
    """
    with settings.memory() as memory:
        found = memory.search(query, kinds=kinds or None, **options)
    if settings.json:
        output.document(found)
        return
    _show(found["results"], only_ids)
    show_degraded(found)
    if not only_ids:
        answers, count = found["answerable"], output.count_of(len(found["results"]), "memory")
        output.note(f"{count} in {found['usage']['ms']:.1f} ms; {answers:.0%} likely that one of them answers")


@click.command()
@click.argument("query", type=text_argument)
@click.option("--max-tokens", type=int, default=800, show_default=True, metavar="N", help="Budget of the block.")
@limit("How many memories to start from; 20 if left out.")
@click.option("--neighbours", type=int, default=1, show_default=True, metavar="N", help="Turns around each, 0 to 2.")
@as_of
@where
@kinds
@common()
@click.pass_obj
def context(settings: Settings, /, query: str, kinds: tuple[str, ...], **options: Any) -> None:
    """Print a block of memories for a prompt.

    They are chosen for QUERY, in order of time, within a budget of tokens, and cited by number.
    """
    with settings.memory() as memory:
        block = memory.context(query, kinds=kinds or None, **options)
    if settings.json:
        output.document(
            {
                "context": block.text,
                "citations": list(block.citations),
                "tokens": block.tokens,
                "answerable": block.answerable,
                "degraded": list(block.degraded),
            }
        )
        return
    output.line(block.text)
    show_degraded({"degraded": block.degraded})


@click.command()
@click.argument("memory_id")
@as_of
@common()
@click.pass_obj
def get(settings: Settings, /, memory_id: str, **options: Any) -> None:
    """Show one memory with all that is known about it."""
    with settings.memory() as memory:
        item = memory.get(memory_id, **options)
    if item is None:
        raise output.Failure(f"there is no memory {memory_id} in this scope, or none at that time")
    if settings.json:
        output.document(item)
        return
    output.details({name: value for name, value in item.items() if name != "memory"})
    output.line()
    output.line(item["memory"])


@click.command("list")
@limit("How many at most; 100 if left out.")
@click.option("--page", metavar="ID", help="Go on after the page before, which named this id.")
@click.option("--all", "everything", is_flag=True, help="All pages; with --json one memory per line.")
@click.option("--newest-first", is_flag=True, help="Instead of in the order in which they were added.")
@as_of
@where
@kinds
@ids
@common()
@click.pass_obj
def list_(settings: Settings, /, everything: bool, only_ids: bool, kinds: tuple[str, ...], **options: Any) -> None:
    """List memories in the order in which they were added."""
    options["kinds"] = kinds or None
    with settings.memory() as memory:
        if everything and settings.json:
            for item in _pages(memory, options):
                output.document(item)
            return
        if everything:
            _show(_pages(memory, options), only_ids, scored=False)
            return
        page = memory.get_all(**options)
    if settings.json:
        output.document(page)
        return
    _show(page["results"], only_ids, scored=False)
    if page["next"] and not only_ids:
        output.note(f"more: --page {page['next']}, or --all")


def _pages(memory: Memory, options: dict[str, Any]) -> Iterator[Item]:
    while True:
        page = memory.get_all(**options)
        yield from page["results"]
        if page["next"] is None:
            return
        options["page"] = page["next"]


def _show(items: Iterable[Item], only_ids: bool, *, scored: bool = True) -> None:
    if only_ids:
        for item in items:
            output.line(item["id"])
        return
    found = list(items)
    if not found:
        output.line("nothing found")
        return
    columns = {"score": "right"} if scored else {}
    columns |= {"when": "left", "who": "left", "id": "left", "memory": "text"}
    output.table(columns, (row for item in found for row in _rows(item, scored)))


def _rows(item: Item, scored: bool) -> Iterator[list[str]]:
    cells = [f"{item['score']:.2f}"] if scored else []
    cells += [output.moment(item["event_at"], item["zone"])[:10], item["speaker"] or item["role"] or "", item["id"]]
    yield [*cells, item["memory"]]
    if "channels" in item:
        ranked = sorted(item["channels"].items(), key=lambda pair: (-abs(pair[1]), pair[0]))[:SHOWN]
        yield [*("" for _ in cells), ", ".join(f"{name} {share:+.2f}" for name, share in ranked)]
