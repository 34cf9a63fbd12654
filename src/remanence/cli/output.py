"""Printing: JSON for programs, tables for people, progress for those who watch."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import IO, Any

import click

__all__ = [
    "Failure",
    "Refusal",
    "confirm",
    "count_of",
    "details",
    "document",
    "line",
    "moment",
    "note",
    "one_line",
    "progress",
    "table",
    "visible",
    "working",
]

SHOWN = 500
"""Characters of a text that a table shows."""
MIN_TEXT = 24
"""Narrowest column for texts, so that words stay in one piece."""

Progress = Callable[[int, int | None], None]

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class Failure(click.ClickException):
    """Ends a command with one line on standard error."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print `error: …`."""
        click.echo(f"error: {' '.join(visible(self.message).split())}", file=file, err=file is None)


def document(value: Any) -> None:
    """One line of JSON. What the output's encoding cannot write, and half a surrogate pair, stand as escapes."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value)
    click.echo(text)


def line(text: str = "") -> None:
    """A line for people."""
    click.echo(visible(text))


def note(text: str) -> None:
    """A line beside the answer, on standard error."""
    click.echo(visible(text), err=True)


def visible(text: str) -> str:
    """Text in which control characters cannot steer a terminal; line ends and tabs stay."""
    return _CONTROLS.sub(lambda match: f"\\x{ord(match.group()):02x}", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """The beginning of a text on one line."""
    short = " ".join(text[: SHOWN + 1].split())
    return f"{short[:SHOWN]}…" if len(text) > SHOWN else short


def count_of(number: int, noun: str) -> str:
    """`1 memory`, `2 memories`, `1,000 turns`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def moment(stamp: str | None, zone: str | None = None) -> str:
    """A time to the minute, where it was told; nothing for None."""
    if stamp is None:
        return ""
    from remanence.runtime.context import local

    return local(datetime.fromisoformat(stamp), zone).isoformat(" ", "minutes")[:16]


def table(columns: Mapping[str, str], rows: Iterable[Sequence[str]]) -> None:
    """Rows under headings. `columns` maps a heading to "left", "right", or "text" for what may wrap.

    On anything but a terminal each row is one line, however long.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading, kind in columns.items():
        wraps = kind == "text"
        made.add_column(
            heading,
            justify="right" if kind == "right" else "left",
            no_wrap=not wraps,
            overflow="fold",
            min_width=MIN_TEXT if wraps else None,
        )
    for row in rows:
        made.add_row(*(Text(visible(one_line(cell))) for cell in row))
    if console.is_terminal:
        console.print(made)
        return
    plain = io.StringIO()
    Console(file=plain, width=1 << 20, color_system=None, force_terminal=False).print(made)
    for text in plain.getvalue().splitlines():
        click.echo(text.rstrip())


def details(pairs: Mapping[str, object]) -> None:
    """Names and values, one below the other; without those that are None or empty."""
    shown = {name: value for name, value in pairs.items() if value not in (None, "", [], {}, ())}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        text = ", ".join(f"{key} {part}" for key, part in value.items()) if isinstance(value, Mapping) else str(value)
        line(f"{name:<{width}}  {text}")


@contextmanager
def progress(label: str) -> Iterator[Progress | None]:
    """A progress bar on standard error while the block runs; None where nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class Refusal(Failure):
    """The command line cannot be used as it is."""

    exit_code = 2


@contextmanager
def working() -> Iterator[Callable[[str], None]]:
    """A function that shows, on a terminal, what the block is busy with; elsewhere it says nothing."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield lambda text: status.update(visible(text))


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be taken back by mistake; `yes` answers beforehand.

    Raises `Failure` when the answer is no, or when there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refusal("this needs a confirmation, and there is no terminal to ask on; pass --yes")
    if not click.confirm(visible(question), err=True):
        raise Failure("nothing was done")
