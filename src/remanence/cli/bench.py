"""`remanence bench` and `demo`."""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from remanence.cli import output
from remanence.cli.options import Settings, common

if TYPE_CHECKING:
    from remanence.bench.results import Result

__all__ = ["bench", "demo"]

FOLDER = click.Path(path_type=Path, file_okay=False)


def names(value: str) -> list[str]:
    """Words separated by commas."""
    return [part.strip() for part in value.split(",") if part.strip()]


def numbers(value: str) -> list[int]:
    """Whole numbers separated by commas."""
    try:
        return [int(part) for part in names(value)]
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a list such as 1000,10000") from error


@click.command()
@click.argument("name")
@click.option("--data", type=FOLDER, metavar="DIR", help="The data sets' folder; $REMANENCE_BENCH_DATA if left out.")
@click.option(
    "--systems",
    type=names,
    metavar="A,B",
    help="bm25, bm25-stemmed, dense, rrf, recall (these if left out), any mechanism, all.",
)
@click.option("--results", type=FOLDER, metavar="DIR", help="Also write one JSON file per result here.")
@click.option("--sizes", type=numbers, metavar="N,M", help="speed: records per memory; 1000 to 1000000 if left out.")
@click.option("--scopes", type=int, metavar="N", help="speed: memories of 1,000 records in one file; 1000 if left out.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N")
@common("embedder", "json")
@click.pass_obj
def bench(settings: Settings, /, name: str, **options: Any) -> None:
    """Measure retrieval or speed.

    NAME is a data set, `all` for those that are there, or `speed`. Retrieval: evidence recall of every system on
    public data. Speed: on generated conversations.
    """
    used = ("sizes", "scopes", "results", "seed") if name == "speed" else ("data", "systems", "results", "seed")
    for option, value in options.items():
        if value is not None and option not in used:
            raise click.UsageError(f"--{option} has no meaning for `bench {name}`")
    given = {option: value for option, value in options.items() if value is not None}
    if name == "speed":
        _speed(settings, given)
    else:
        _retrieval(settings, name, given)


def _speed(settings: Settings, /, given: dict[str, Any]) -> None:
    from remanence.bench import speed

    results = given.pop("results", None)
    with output.working() as say:
        measured = speed.run(**given, report=say)
    if results is not None:
        speed.save(measured, results / "speed.json")
    if settings.json:
        output.document(asdict(measured))
    else:
        output.line(speed.render(measured))


def _retrieval(settings: Settings, /, name: str, given: dict[str, Any]) -> None:
    from remanence.bench import datasets, results, suite

    systems = given.pop("systems", list(suite.SYSTEMS))
    out, data = given.pop("results", None), given.pop("data", None)
    measured = 0
    if name == "all":
        datasets.data_folder(data)
    for one in datasets.names() if name == "all" else (name,):

        def show(result: Result) -> None:
            if settings.json:
                output.document(asdict(result))

        try:
            with output.working() as say:
                say(f"{one}: {', '.join(systems)}")
                found = suite.run_dataset(
                    one, data, systems=systems, embedder=settings.embedder, out=out, report=show, **given
                )
        except datasets.DatasetMissing as error:
            if name != "all":
                raise
            output.note(f"left out: {error}")
            continue
        # Generated sets are always there; a folder in which no other is found is the wrong folder.
        measured += name != "all" or one not in datasets.names(generated=True)
        if not settings.json:
            output.line(results.render(found))
    if not measured:
        raise output.Failure("none of the data sets is there; docs/guides/benchmarks.md says which files they are")


@click.command()
@click.option("--seed", type=int, default=7, show_default=True, metavar="N", help="Another conversation.")
@click.option("--sessions", type=int, metavar="N", help="How long it is; as long as LoCoMo's if left out.")
@common("path", "json")
@click.pass_obj
def demo(settings: Settings, /, **options: Any) -> None:
    """See a long conversation remembered.

    Months of talk are stored, asked about, changed, handed over and erased. With --path the store is kept in that
    file, which must be new.
    """
    from rich.console import Console

    from remanence.bench import demo as stage

    given = {name: value for name, value in options.items() if value is not None}
    path = None if settings.path is None else Path(settings.path)
    console = Console(file=io.StringIO()) if settings.json else Console(highlight=False)
    figures = stage.run(console, path=path, **given)
    if settings.json:
        output.document(figures)
