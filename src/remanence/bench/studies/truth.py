"""Truth over time, measured: what a memory holds to be current, true then, over, or never said.

    python -m remanence.bench.studies.truth [--data DIR] [--seeds 2000:2005] [--sessions 20] [--people-count 3]
        [--hardness hard] [--preferences N] [--plain] [--out results/truth.json]

Generated dialogues (see `truth_dialogues`): *first* is the share of questions whose first result is a gold turn, *says*
that of first results that hold the answer word for word, *misled* that of questions with a forbidden turn above every
gold turn. *Current first* takes the questions for a value that replaced another; *as of* those about a day in the past,
by the words of the question and by `search(as_of=…)`. *Abstention* compares `answerable` of questions that the dialogue
answers with that of those it does not. *Dependents* are conclusions based on one turn each: flagged should be those
whose turn stopped being true. *Facts* are the derived ones that the default view shows in the end.

HaluMem preference updates (see `truth_preferences`; needs --data): *current* is the share of updates after which the
question for that kind of preference finds the new statement among ten results and none of the former above it; *asked
first* and *former first* ask for the new and for the former value; *facts right* looks at the facts held. *Honoured*
are deletions after which neither the facts nor the words bring back what was deleted.

The rules that read claims were written with the sentences of the generator and of the plain rendering at hand, so those
figures say how well facts are kept and used, not how much of free speech is understood. The varied rendering was
written afterwards; it and `remanence.bench.studies.claims` on LoCoMo stand for wordings that nobody foresaw.

`--plain` asks the dialogues of a memory without enrichment as well.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import remanence
from remanence.bench import results
from remanence.bench.datasets._files import ENVIRONMENT
from remanence.bench.studies import truth_dialogues, truth_preferences
from remanence.core.errors import RemanenceError
from remanence.scenarios.model import HARDNESS, Hardness

SCHEMA = 1
SEEDS = range(2000, 2005)
SESSIONS = 20
PEOPLE = 3
TARGETS: dict[str, tuple[str, float]] = {
    "current value ranked first": ("current_first", 0.95),
    "as of, by its words": ("as_of_words", 0.95),
    "as of, by argument": ("as_of_argument", 0.95),
}


def dialogues(
    seeds: Sequence[int], hardness: Hardness, *, sessions: int = SESSIONS, people: int = PEOPLE, enrich: bool = True
) -> dict[str, Any]:
    """Figures over the dialogues of these seeds."""
    tally = truth_dialogues.Tally()
    started = time.perf_counter()
    for seed in seeds:
        truth_dialogues.tell(seed, hardness, sessions, people, tally, enrich=enrich)
    figures = {**tally.figures(), "seconds": round(time.perf_counter() - started, 1)}
    if not enrich:
        del figures["dependents"], figures["facts"]
    return figures


def preferences(data: Path, limit: int | None = None) -> dict[str, Any]:
    """Figures over the first `limit` persons of HaluMem, for each manner of telling."""
    people = truth_preferences.load(data)[:limit]
    manners: tuple[truth_preferences.Manner, ...] = get_args(truth_preferences.Manner)
    return {"persons": len(people), **{manner: truth_preferences.run(people, manner).figures() for manner in manners}}


def render(figures: Mapping[str, Any]) -> str:
    """Markdown tables of what was measured."""
    parts = []
    for name in ("dialogues", "plain"):
        if name in figures:
            title = "Dialogues" if name == "dialogues" else "Dialogues, without enrichment"
            parts += [f"### {title}", _categories(figures[name]), _summary(figures[name])]
    if "preferences" in figures:
        found = figures["preferences"]
        rows = [
            [f"{name}: {key}", _show(value)]
            for name in get_args(truth_preferences.Manner)
            for key, value in found[name].items()
        ]
        parts += ["### HaluMem preference updates", _table(["measure", "value"], rows)]
    return "\n\n".join(parts) + "\n"


def save(figures: Mapping[str, Any], settings: Mapping[str, Any], path: Path) -> None:
    """Write the figures with version, settings and hardware as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {
        "schema": SCHEMA,
        "version": remanence.__version__,
        "settings": dict(settings),
        "hardware": asdict(results.hardware()),
        "figures": results.rounded(figures),
    }
    path.write_text(json.dumps(whole, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print tables, and write them where asked to; 2 when data are missing."""
    parser = argparse.ArgumentParser(
        prog="python -m remanence.bench.studies.truth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, help=f"folder with the data sets, as ${ENVIRONMENT}; HaluMem needs it")
    parser.add_argument("--seeds", type=_seeds, default=SEEDS, help="FROM:TO of the dialogues (default: 2000:2005)")
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--people-count", type=int, default=PEOPLE)
    parser.add_argument("--hardness", choices=HARDNESS, default="hard")
    parser.add_argument("--preferences", type=int, help="only so many persons of HaluMem")
    parser.add_argument("--plain", action="store_true", help="measure a memory without enrichment as well")
    parser.add_argument("--out", type=Path, help="write the figures to this file")
    chosen = parser.parse_args(argv)
    figures: dict[str, Any] = {}
    try:
        for name, enrich in (("dialogues", True), *([("plain", False)] if chosen.plain else [])):
            if chosen.seeds:
                figures[name] = dialogues(
                    chosen.seeds, chosen.hardness, sessions=chosen.sessions, people=chosen.people_count, enrich=enrich
                )
        if chosen.data is not None:
            figures["preferences"] = preferences(chosen.data, chosen.preferences)
    except RemanenceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if chosen.out is not None:
        settings = {
            "seeds": [chosen.seeds.start, chosen.seeds.stop],
            "sessions": chosen.sessions,
            "people": chosen.people_count,
            "hardness": chosen.hardness,
        }
        save(figures, settings, chosen.out)
    print(render(figures), end="")
    return 0


def _seeds(text: str) -> range:
    first, _, last = text.partition(":")
    return range(int(first), int(last or first))


def _categories(figures: Mapping[str, Any]) -> str:
    names = ("questions", "first", "says", "found", "misled", "answerable")
    rows = [[category, *(_show(row[name]) for name in names)] for category, row in figures["categories"].items()]
    return _table(["category", *names], rows)


def _summary(figures: Mapping[str, Any]) -> str:
    rows = [[name, f"{figures[key]:.3f} (target {target})"] for name, (key, target) in TARGETS.items()]
    rows += [[name.replace("_", " "), _show(figures[name])] for name in ("abstention_auroc", "abstention_at_half")]
    for group in ("dependents", "facts"):
        found = figures.get(group, {})
        rows += [[f"{group}: {name.replace('_', ' ')}", _show(value)] for name, value in found.items()]
    return _table(["measure", "value"], [*rows, ["seconds", str(figures["seconds"])]])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _show(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


if __name__ == "__main__":
    sys.exit(main())
