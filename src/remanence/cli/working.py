"""`remanence jobs` and `worker`: what is still to be worked out, and who does it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import click

from remanence.cli import output
from remanence.cli.options import Settings, common, ids
from remanence.core.errors import ScopeRequired, StoreError

if TYPE_CHECKING:
    from remanence.runtime.memory import Memory

__all__ = ["finish_soon", "jobs", "worker"]

SOON: Final = 1.0
"""Seconds that a command which adds something spends on what follows from it."""
_MOST: Final = 10_000


def finish_soon(memory: Memory) -> None:
    """Work out what is due, for about a second; the rest is for the next command or for a worker."""
    try:
        try:
            memory.work(seconds=SOON)
        except ScopeRequired:
            # An import says for itself whose memories it brings.
            memory.work(seconds=SOON, everywhere=True)
    except StoreError as error:
        # What was added is stored; only what follows from it is not worked out yet.
        output.note(f"note: what follows from this is worked out later: {error}")


@click.command()
@click.option("--dead", is_flag=True, help="Only those that were set aside, with what went wrong.")
@click.option("--retry", is_flag=True, help="Let those that were set aside, or those named by --id, be done now.")
@click.option("--discard", is_flag=True, help="Remove those that were set aside, or those named by --id.")
@click.option("--id", "chosen", multiple=True, metavar="ID", help="A job; may be repeated.")
@click.option("--limit", "-n", type=click.IntRange(1), default=100, show_default=True, metavar="N", help="How many.")
@click.option("--after", metavar="ID", help="Only those after this job.")
@ids
@common()
@click.pass_obj
def jobs(
    settings: Settings,
    /,
    dead: bool,
    retry: bool,
    discard: bool,
    chosen: tuple[str, ...],
    limit: int,
    after: str | None,
    only_ids: bool,
) -> None:
    """List what is still to be worked out, oldest first.

    A job that failed too often is dead: it waits for --retry or --discard.
    """
    if retry and discard:
        raise output.Refusal("--retry and --discard contradict each other; give one of them")
    with settings.memory() as memory:
        if retry or discard:
            wanted = list(chosen) or [row["id"] for row in memory.jobs(states=["dead"], limit=_MOST)]
            done = memory.retry_jobs(wanted) if retry else memory.discard_jobs(wanted)
            word = "retried" if retry else "discarded"
            if settings.json:
                output.document({word: done})
            else:
                output.line(f"{word} {output.count_of(done, 'job')}")
            return
        found = memory.jobs(states=["dead"] if dead else None, limit=_MOST if chosen else limit, after=after)
    rows = [row for row in found if not chosen or row["id"] in chosen][:limit]
    if settings.json:
        output.document(rows)
    elif only_ids:
        for row in rows:
            output.line(row["id"])
    elif not rows:
        output.line("nothing found")
    else:
        output.table(
            {"id": "left", "kind": "left", "state": "left", "tries": "right", "due": "left", "whose": "left",
             "error": "text"},
            (
                [row["id"], row["kind"], row["state"], str(row["attempts"]), output.moment(row["due"]), _whose(row),
                 row["error"]]
                for row in rows
            ),
        )  # fmt: skip


def _whose(row: Mapping[str, Any]) -> str:
    names = ("app_id", "user_id", "agent_id", "run_id")
    return " ".join(str(row[name]) for name in names if row[name] is not None)


@click.command()
@click.option("--once", is_flag=True, help="End as soon as nothing is due.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), metavar="S", help="End after that long.")
@click.option(
    "--poll",
    type=click.FloatRange(0.01),
    default=1.0,
    show_default=True,
    metavar="S",
    help="How often to look for work while there is none.",
)
@common("path", "embedder", "language", "json")
@click.pass_obj
def worker(settings: Settings, /, once: bool, seconds: float | None, poll: float) -> None:
    """Work out what follows from what was said, for everybody in the store.

    Several workers may share a store. SIGTERM and SIGINT let the job at hand end first; what a worker that was killed
    had begun is done by another one.
    """
    with settings.memory() as memory, _until_told() as over:
        report = memory.run_worker(
            once=once, seconds=seconds, poll=poll, stop=over, tell=lambda words: output.note(f"note: {words}")
        )
    if settings.json:
        output.document(report)
    else:
        said = [f"did {output.count_of(report['done'], 'job')} about {output.count_of(report['turns'], 'turn')}"]
        said += [f"put {report['retried']:,} off"] if report["retried"] else []
        said += [f"set {report['dead']:,} aside"] if report["dead"] else []
        output.line(", ".join(said))


@contextmanager
def _until_told() -> Iterator[threading.Event]:
    """An event that the first signal to end sets; the second one ends the process."""
    over = threading.Event()
    before: dict[int, Any] = {}

    def tell(number: int, _: FrameType | None) -> None:
        over.set()
        signal.signal(number, before[number])

    for ending in (signal.SIGTERM, signal.SIGINT):
        before[ending] = signal.signal(ending, tell)
    try:
        yield over
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
