"""How well the extractor reads: generated dialogues against their facts, LoCoMo against its annotated observations.

    python -m remanence.bench.studies.claims [--data DIR] [--seeds 2000:2020] [--out FILE] [--page FILE] [--misses N]

Generated dialogues (exact gold). A *statement* is (turn, subject, attribute, value): one for each turn that states a
fact. An *end* is (turn, subject, attribute, value): a turn that names a value as over, replaced or never true. Counted
as predicted are claims about people of the dialogue under attributes that the generator knows; claims of other kinds
("likes", "Ana's cousin …") have no gold and are only counted. *False per 100* are predicted statements in turns that
state nothing, per hundred such turns. *Dated*: of the first statements found, those whose start is the fact's.

LoCoMo (free text, no claims as gold). Of the annotated observations that name one turn each, *found* is the share for
whose turn some claim shares a content word with the observation (its speakers' names aside). *Backed* is the share of
claims, in turns that have observations, whose value's content words lie to at least one half in those observations.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from remanence.kernels.analyzer import Analyzer
from remanence.kernels.claims.extract import extract
from remanence.kernels.claims.model import Claim, Utterance
from remanence.scenarios.attributes import ATTRIBUTES, HAPPENINGS
from remanence.scenarios.dialogues import HARDNESS, Dialogue, generate
from remanence.scenarios.model import Hardness
from remanence.scenarios.phrases import says

BEFORE = 4
"""Turns of context that the extractor is given."""
SESSIONS = 12
Row = tuple[str, str, str, str]


@dataclass(slots=True)
class Score:
    """Counts over several dialogues."""

    gold: int = 0
    said: int = 0
    right: int = 0
    ends: int = 0
    ends_said: int = 0
    ends_right: int = 0
    datable: int = 0
    dated: int = 0
    idle_turns: int = 0
    idle_false: int = 0
    other: int = 0
    spanless: int = 0
    turns: int = 0
    seconds: float = 0.0
    missed: list[tuple[str, Row, str]] = field(default_factory=list)

    def row(self) -> dict[str, float | int]:
        """The figures of a table row, as shares of one."""
        return {
            "turns": self.turns,
            "statements": self.gold,
            "precision": _share(self.right, self.said),
            "recall": _share(self.right, self.gold),
            "f1": _share(2 * self.right, self.said + self.gold),
            "ends": self.ends,
            "ends_precision": _share(self.ends_right, self.ends_said),
            "ends_recall": _share(self.ends_right, self.ends),
            "dated": _share(self.dated, self.datable),
            "false_per_100": round(100 * self.idle_false / max(1, self.idle_turns), 3),
            "other_claims": self.other,
            "without_span": self.spanless,
            "ms_per_turn": round(1000 * self.seconds / max(1, self.turns), 3),
        }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 1.0


def utterances(dialogue: Dialogue) -> list[Utterance]:
    """The turns as the extractor takes them."""
    return [Utterance(turn.id, turn.text, turn.at, turn.speaker) for turn in dialogue.turns]


def measure(dialogue: Dialogue, score: Score) -> None:
    """Add one dialogue to `score`."""
    turns = utterances(dialogue)
    people = frozenset(dialogue.people)
    began = time.perf_counter()
    read = [extract(turn, turns[max(0, i - BEFORE) : i], people) for i, turn in enumerate(turns)]
    score.seconds += time.perf_counter() - began
    score.turns += len(turns)
    text = {turn.id: turn.text for turn in turns}
    world = {*dialogue.people, *dialogue.others}
    known = {*ATTRIBUTES, *HAPPENINGS}

    starts: dict[Row, datetime] = {}
    ends: set[Row] = set()
    later: set[Row] = set()
    slips = {fact.ended_by for fact in dialogue.facts if fact.valid_from == fact.valid_to}
    for fact in dialogue.facts:
        for id in (fact.turn, *fact.restated):
            row = (id, fact.subject, fact.attribute, fact.value.casefold())
            starts[row] = fact.valid_from
            if id != fact.turn or id in slips:
                later.add(row)
        if fact.ended_by is not None and says(text[fact.ended_by], fact.value):
            ends.add((fact.ended_by, fact.subject, fact.attribute, fact.value.casefold()))

    told: set[Row] = set()
    told_ends: set[Row] = set()
    dated: dict[Row, datetime] = {}
    held: dict[tuple[str, str], str] = {}
    for turn, claims in zip(turns, read, strict=True):
        for claim in claims:
            score.spanless += not 0 <= claim.start < claim.end <= len(turn.text)
            named = claim.old or (claim.value if claim.act == "end" else "")
            attribute = claim.attribute or held.get((claim.subject, named.casefold()), "")
            if claim.subject not in world or attribute not in known or not claim.polarity:
                score.other += 1
                continue
            if claim.act != "end":
                row = (turn.id, claim.subject, attribute, claim.value.casefold())
                told.add(row)
                dated[row] = claim.valid_from or turn.at
                held[claim.subject, claim.value.casefold()] = attribute
            if named:
                told_ends.add((turn.id, claim.subject, attribute, named.casefold()))

    busy = {row[0] for row in (*starts, *ends)} | {fact.ended_by for fact in dialogue.facts}
    right = told & starts.keys()
    score.gold += len(starts)
    score.said += len(told)
    score.right += len(right)
    score.ends += len(ends)
    score.ends_said += len(told_ends)
    score.ends_right += len(told_ends & ends)
    first = (starts.keys() & told) - later
    score.datable += len(first)
    score.dated += sum(dated[row] == starts[row] for row in first)
    score.missed += [("date", (*row, str(starts[row])), text[row[0]]) for row in first if dated[row] != starts[row]]  # type: ignore[misc]
    score.idle_turns += sum(turn.id not in busy for turn in turns)
    score.idle_false += sum(row[0] not in busy for row in told)
    for kind, rows in (
        ("missed", starts.keys() - told),
        ("wrong", told - starts.keys()),
        ("end missed", ends - told_ends),
        ("end wrong", told_ends - ends),
    ):
        score.missed += [(kind, row, text[row[0]]) for row in sorted(rows)]


def generated(hardness: Hardness, seeds: Iterable[int], *, people: int = 3) -> Score:
    """The score over generated dialogues of one hardness."""
    score = Score()
    for seed in seeds:
        measure(generate(seed, sessions=SESSIONS, people=people, hardness=hardness), score)
    return score


_WORD = re.compile(r"[a-z0-9]{3,}")
_DAY = ("%I:%M %p on %d %B, %Y", "%I:%M %p on %d %B %Y")


def _turns(conversation: dict[str, Any]) -> Iterator[Utterance]:
    for key, session in conversation.items():
        if not re.fullmatch(r"session_\d+", key):
            continue
        said = str(conversation[f"{key}_date_time"])
        at = next((_parsed(said, form) for form in _DAY if _parsed(said, form)), None)
        for turn in session:
            yield Utterance(turn["dia_id"], turn["text"], at or datetime(2023, 1, 1, tzinfo=UTC), turn["speaker"])


def _parsed(said: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(said, form).replace(tzinfo=UTC)
    except ValueError:
        return None


def locomo(path: Path) -> dict[str, float | int]:
    """The figures on LoCoMo's observations (see the module)."""
    analyzer = Analyzer()
    counts: Counter[str] = Counter()
    seconds = 0.0
    for sample in json.loads(path.read_text(encoding="utf-8")):
        turns = list(_turns(sample["conversation"]))
        people = {str(sample["conversation"]["speaker_a"]), str(sample["conversation"]["speaker_b"])}
        names = {term for name in people for term in analyzer.terms(name)}
        began = time.perf_counter()
        claims = {t.id: extract(t, turns[max(0, i - BEFORE) : i], people) for i, t in enumerate(turns)}
        seconds += time.perf_counter() - began
        counts["turns"] += len(turns)
        counts["claims"] += sum(map(len, claims.values()))
        observed: dict[str, set[str]] = {}
        for session in sample["observation"].values():
            for facts in session.values():
                for fact, source in facts:
                    if not isinstance(source, str) or source not in claims:
                        continue
                    words = set(analyzer.terms(fact)) - names
                    observed.setdefault(source, set()).update(words)
                    counts["observations"] += 1
                    counts["found"] += any(words & _words(analyzer, claim) for claim in claims[source])
        for source, words in observed.items():
            for claim in claims[source]:
                own = _words(analyzer, claim)
                counts["in_observed"] += 1
                counts["backed"] += bool(own) and 2 * len(own & words) >= len(own)
    return {
        "turns": counts["turns"],
        "claims": counts["claims"],
        "observations": counts["observations"],
        "found": _share(counts["found"], counts["observations"]),
        "claims_in_observed_turns": counts["in_observed"],
        "backed": _share(counts["backed"], counts["in_observed"]),
        "ms_per_turn": round(1000 * seconds / max(1, counts["turns"]), 3),
    }


def _words(analyzer: Analyzer, claim: Claim) -> set[str]:
    return set(analyzer.terms(claim.value)) if claim.value else set()


BEGIN = "<!-- claims: begin -->"
END = "<!-- claims: end -->"


def tables(figures: dict[str, Any]) -> str:
    """The figures as tables of Markdown."""
    parts = [
        f"Generated dialogues, seeds {figures['seeds']} (the last one excluded), {figures['sessions']} sessions each:"
    ]
    parts.append(_table({"hardness": list(figures["generated"])}, list(figures["generated"].values())))
    if "locomo" in figures:
        parts.append("LoCoMo, five conversations for development:")
        parts.append(_table({"data": ["locomo5_dev"]}, [figures["locomo"]]))
    return "\n\n".join(parts)


def _table(first: dict[str, list[str]], rows: Sequence[dict[str, float | int]]) -> str:
    [(name, labels)] = first.items()
    keys = list(rows[0])
    lines = [[name, *(key.replace("_", " ") for key in keys)], ["---"] + ["---:"] * len(keys)]
    lines += [[label, *(str(row[key]) for key in keys)] for label, row in zip(labels, rows, strict=True)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m remanence.bench.studies.claims", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder that holds locomo/locomo5_dev.json")
    parser.add_argument("--seeds", default="2000:2020", help="first:last+1")
    parser.add_argument("--out", type=Path, help="where to write the figures as JSON")
    parser.add_argument("--page", type=Path, help="a page that has the two marks; the tables go between them")
    parser.add_argument("--misses", type=int, default=0, help="how many errors per hardness to print")
    options = parser.parse_args(argv)
    first, _, last = options.seeds.partition(":")
    seeds = range(int(first), int(last or int(first) + 1))
    figures: dict[str, Any] = {"seeds": options.seeds, "sessions": SESSIONS, "generated": {}}
    for hardness in HARDNESS:
        score = generated(hardness, seeds)
        figures["generated"][hardness] = score.row()
        print(hardness, json.dumps(score.row()))
        for kind, row, text in score.missed[: options.misses]:
            print("   ", kind, row, text, file=sys.stderr)
    source = options.data / "locomo" / "locomo5_dev.json" if options.data else None
    if source is not None and source.exists():
        figures["locomo"] = locomo(source)
        print("locomo", json.dumps(figures["locomo"]))
    if options.page:
        text = options.page.read_text(encoding="utf-8")
        head, rest = text.split(BEGIN, 1)
        tail = rest.split(END, 1)[1]
        options.page.write_text(f"{head}{BEGIN}\n\n{tables(figures)}\n\n{END}{tail}", encoding="utf-8")
    if options.out:
        options.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
