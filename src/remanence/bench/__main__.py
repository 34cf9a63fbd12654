"""`python -m remanence.bench`: what `remanence bench` runs, and the upkeep of what it measured.

retrieval   every system on every data set (or on those that --set names), one result file each
ablation    the recall engine without each of its channels
speed       generated conversations of several sizes
tables      docs/benchmarks.md, from the result files
witnesses   results/witnesses.json: each mechanism's claim beside its baseline, on three seeds
mechanisms  docs/mechanisms, from cards, docstrings and the result files
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from remanence.bench import ablation, datasets, mechanism_pages, pages, results, speed, suite, witness_results
from remanence.core.errors import RemanenceError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 2 when something is missing or not readable."""
    parser = argparse.ArgumentParser(
        prog="python -m remanence.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=list(_COMMANDS))
    parser.add_argument("--data", type=Path, help=f"folder with the data sets (default: ${datasets.ENVIRONMENT})")
    parser.add_argument("--set", action="append", choices=datasets.names(), help="only this data set; may be repeated")
    parser.add_argument("--system", action="append", choices=(*suite.systems(), "all"), help="may be repeated")
    parser.add_argument("--embedder", default="static", help="such as sentence-transformers:FOLDER")
    parser.add_argument("--results", type=Path, help="folder of the result files (default: none, or results)")
    parser.add_argument("--page", type=Path, default=pages.PAGE, help="the page that tables goes into")
    parser.add_argument("--out", type=Path, help="the file that witnesses, the folder that mechanisms writes")
    parser.add_argument("--slug", action="append", help="only this mechanism, for witnesses; may be repeated")
    parser.add_argument("--sizes", default="1k,10k,100k,1m", help="of memories, for speed (default: %(default)s)")
    parser.add_argument("--scopes", type=int, default=speed.SCOPES, help="memories in one file, for speed")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    try:
        _COMMANDS[chosen.command](chosen)
    except RemanenceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _retrieval(chosen: argparse.Namespace) -> None:
    for name in chosen.set or datasets.names():
        found = suite.run_dataset(
            name,
            chosen.data,
            systems=chosen.system or suite.SYSTEMS,
            embedder=chosen.embedder,
            seed=chosen.seed,
            out=chosen.results,
        )
        print(results.render(found), flush=True)


def _ablation(chosen: argparse.Namespace) -> None:
    found = ablation.ablate(chosen.data, names=chosen.set, embedder=chosen.embedder)
    if chosen.results is not None:
        ablation.save(found, chosen.results / pages.ABLATION)
    print(ablation.render(found))


def _speed(chosen: argparse.Namespace) -> None:
    sizes = [speed.size_of(size) for size in chosen.sizes.split(",") if size]
    measured = speed.run(sizes, scopes=chosen.scopes, seed=chosen.seed, report=_say)
    if chosen.results is not None:
        speed.save(measured, chosen.results / pages.SPEED)
    print(speed.render(measured))


def _tables(chosen: argparse.Namespace) -> None:
    folder = chosen.results or pages.RESULTS
    chosen.page.write_text(pages.fill(chosen.page.read_text(encoding="utf-8"), folder), encoding="utf-8")


def _witnesses(chosen: argparse.Namespace) -> None:
    found = witness_results.measure(chosen.slug, report=_say)
    witness_results.save(found, chosen.out or witness_results.FILE)


def _mechanisms(chosen: argparse.Namespace) -> None:
    mechanism_pages.write(chosen.out or mechanism_pages.FOLDER, chosen.results or mechanism_pages.RESULTS)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


_COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "retrieval": _retrieval,
    "ablation": _ablation,
    "speed": _speed,
    "tables": _tables,
    "witnesses": _witnesses,
    "mechanisms": _mechanisms,
}


if __name__ == "__main__":
    sys.exit(main())
