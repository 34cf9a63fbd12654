"""How well units are cut, summed up and recognised without a model: `python -m remanence.bench.studies.units`.

Segmentation against even, random and no boundaries; summaries against the beginning, random sentences and the most
central ones at equal tokens; instructions and preferences on generated lines; entities on generated dialogues; and what
enrichment costs. `docs/design/units.md` has the figures.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from remanence.bench.datasets import locomo, realtalk
from remanence.bench.datasets._files import find, read_json
from remanence.bench.datasets._model import Corpus
from remanence.bench.studies.instruction_lines import lines
from remanence.kernels.aliases import links
from remanence.kernels.analyzer import Analyzer, is_stopword
from remanence.kernels.instructions import Finding, detect
from remanence.kernels.names import name_key, names
from remanence.kernels.segmentation import Beat, Settings, pk, segment, window_diff
from remanence.kernels.summaries import Passage, details, passages, summarise
from remanence.scenarios.dialogues import generate
from remanence.scenarios.values import MEN, POOLS, WOMEN
from remanence.stores.embedders import StaticEmbedder

DIALOGUES = range(4)
MIXTURES = range(6)
_OFF = 1e9

Figures = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Session:
    """Turns without times, and the positions at which segments begin."""

    beats: Sequence[Beat]
    starts: Sequence[int]


def rouge_1(reference: Sequence[str], found: Sequence[str]) -> float:
    """Share of the reference's words that are found, each at most as often as found (C.-Y. Lin, ROUGE, 2004)."""
    shared = Counter(reference) & Counter(found)
    return shared.total() / len(reference) if reference else 0.0


def rouge_l(reference: Sequence[str], found: Sequence[str]) -> float:
    """Length of the longest common subsequence over that of the reference."""
    row = [0] * (len(found) + 1)
    for word in reference:
        last = 0
        for place, other in enumerate(found, 1):
            last, row[place] = row[place], last + 1 if word == other else max(row[place], row[place - 1])
    return row[-1] / len(reference) if reference else 0.0


def segmentation(corpora: Sequence[Corpus]) -> dict[str, Figures]:
    """Pk, WindowDiff, boundaries per true one, and share of those found exactly, by material and method."""
    materials = {
        "locomo sessions": [_session([d.text for d in c.documents], [d.session for d in c.documents]) for c in corpora],
        "generated sessions": [
            _session([turn.text for turn in talk.turns], [turn.session for turn in talk.turns])
            for talk in (generate(seed, sessions=20, people=3, hardness="hard") for seed in DIALOGUES)
        ],
        "locomo mixture": [_mixture(corpora, seed) for seed in MIXTURES],
    }
    usual = Settings()
    methods: dict[str, Callable[[Session], Sequence[int]]] = {
        "none": lambda one: [],
        "even": lambda one: _even(one),
        "random": lambda one: sorted(random.Random(1).sample(range(1, len(one.beats)), len(one.starts))),
        "segmenter": lambda one: _found(one, usual),
        "without topic": lambda one: _found(one, replace(usual, topic=_OFF)),
        "without surprise": lambda one: _found(one, replace(usual, surprise=_OFF)),
        "without words": lambda one: _found(Session([replace(b, text="") for b in one.beats], one.starts), usual),
        "words alone": lambda one: _found(one, replace(usual, topic=_OFF, surprise=_OFF)),
    }
    return {
        name: {method: _cut_figures(sessions, cut) for method, cut in methods.items()}
        for name, sessions in materials.items()
    }


def summaries(data_dir: Path, budget: int = 150) -> Figures:
    """ROUGE recall of content words against LoCoMo's session summaries, and recall of their names and numbers.

    Every method gives whole sentences with the speaker's name before each, in at most `budget` tokens.
    """
    analyzer = Analyzer()
    cases = []
    for path in find(data_dir, "locomo", "locomo*.json"):
        for sample in read_json(path):
            for key, reference in sample["session_summary"].items():
                turns = sample["conversation"][key.removesuffix("_summary")]
                cases.append((turns, str(reference)))
    out: Figures = {}
    for method, choose in _CHOOSERS.items():
        rows = [_summary_row(turns, reference, choose, budget, analyzer) for turns, reference in cases]
        out[method] = {
            name: fmean(row[name] for row in rows if name in row) for name in ("rouge_1", "rouge_l", "details")
        }
    return out


def instructions(seeds: Iterable[int] = range(3)) -> Figures:
    """Precision and recall by kind of finding on generated lines."""
    found: Counter[str] = Counter()
    right: Counter[str] = Counter()
    there: Counter[str] = Counter()
    for line in itertools.chain.from_iterable(lines(seed) for seed in seeds):
        labels = {_label(finding) for finding in detect(line.text)}
        there[line.label] += 1
        for label in labels:
            found[label] += 1
            right[label] += label == line.label
    return {
        label: {
            "precision": right[label] / found[label] if found[label] else 0.0,
            "recall": right[label] / there[label],
            "lines": float(there[label]),
        }
        for label in ("instruction", "revocation", "preference", "suspicious")
    }


def false_alarms(corpora: Sequence[Corpus]) -> dict[str, float]:
    """Instructions and revocations found among turns of people who talk to each other, where there are hardly any."""
    turns = [document for corpus in corpora for document in corpus.documents]
    hits = [turn for turn in turns if any(one.kind != "preference" for one in detect(turn.text))]
    return {"turns": float(len(turns)), "found": float(len(hits))}


def entities(seeds: Iterable[int] = DIALOGUES) -> Figures:
    """Names found in generated dialogues: recall of their people, precision against all that the generator can name.

    `wrong links` are alias links among people, who all have names of their own.
    """
    possible = {name_key(value) for pool in (*POOLS.values(), WOMEN, MEN) for value in pool if value != value.lower()}
    possible |= {word for key in possible for word in key.split()}
    rows: list[dict[str, float]] = []
    for talk in (generate(seed, sessions=20, people=3, hardness="hard") for seed in seeds):
        found = Counter(name_key(name) for turn in talk.turns for name in names(turn.text))
        said = " ".join(turn.text for turn in talk.turns)
        people = {name_key(name) for name in (*talk.people, *talk.others) if name in said}
        right = {key for key in found if key in possible or any(value in possible for value in _parts(key))}
        rows.append(
            {
                "people recall": len(people & found.keys()) / len(people),
                "precision": len(right) / len(found),
                "precision of mentions": sum(found[key] for key in right) / found.total(),
                "names": float(len(found)),
                "wrong links": float(len(links([*talk.people, *talk.others], talk.people))),
            }
        )
    return {"generated": {name: fmean(row[name] for row in rows) for name in rows[0]}}


def cost(corpora: Sequence[Corpus]) -> dict[str, float]:
    """Seconds that the kernels take on the longest conversation, without a store."""
    corpus = max(corpora, key=lambda one: len(one.documents))
    texts = [document.text for document in corpus.documents]
    started = time.perf_counter()
    one = _session(texts, [document.session for document in corpus.documents])
    parts = segment(one.beats)
    analyzer = Analyzer()
    for part in parts:
        summarise([p for i in part for p in passages(str(i), texts[i], lambda text: _content(text, analyzer))], 100)
    links(sorted({name for text in texts for name in names(text)}))
    for text in texts:
        detect(text)
    return {"turns": float(len(texts)), "seconds": time.perf_counter() - started}


def study(data_dir: Path) -> dict[str, Any]:
    """All figures."""
    corpora = locomo.load(data_dir).corpora
    return {
        "segmentation": segmentation(corpora),
        "summaries": summaries(data_dir),
        "instructions": instructions(),
        "instructions among people": false_alarms((*corpora, *realtalk.load(data_dir).corpora)),
        "entities": entities(),
        "cost": cost(corpora),
    }


def _session(texts: Sequence[str], sessions: Sequence[object]) -> Session:
    starts = [i for i in range(1, len(texts)) if sessions[i] != sessions[i - 1]]
    return Session(_beats(texts), starts)


def _beats(texts: Sequence[str]) -> list[Beat]:
    analyzer = Analyzer()
    vectors = StaticEmbedder().embed(texts)
    return [Beat(text, _content(text, analyzer), vector) for text, vector in zip(texts, vectors, strict=True)]


def _mixture(corpora: Sequence[Corpus], seed: int) -> Session:
    """Thirty stretches of 6 to 14 turns from the middle of sessions drawn by chance: subjects without greetings."""
    dice = random.Random(seed)
    pool = []
    for corpus in corpora:
        for _, documents in itertools.groupby(corpus.documents, key=lambda document: document.session):
            middle = [document.text for document in documents][2:-2]
            if len(middle) >= 6:
                pool.append(middle)
    texts: list[str] = []
    labels: list[int] = []
    for label in range(30):
        session = dice.choice(pool)
        size = min(len(session), dice.randint(6, 14))
        first = dice.randint(0, len(session) - size)
        texts += session[first : first + size]
        labels += [label] * size
    return _session(texts, labels)


def _even(one: Session) -> list[int]:
    return [round(i * len(one.beats) / (len(one.starts) + 1)) for i in range(1, len(one.starts) + 1)]


def _found(one: Session, settings: Settings) -> list[int]:
    return [part.start for part in segment(one.beats, settings)][1:]


def _cut_figures(sessions: Sequence[Session], cut: Callable[[Session], Sequence[int]]) -> dict[str, float]:
    found = [cut(one) for one in sessions]
    true = sum(len(one.starts) for one in sessions)
    return {
        "pk": fmean(pk(one.starts, cuts, len(one.beats)) for one, cuts in zip(sessions, found, strict=True)),
        "wd": fmean(window_diff(one.starts, cuts, len(one.beats)) for one, cuts in zip(sessions, found, strict=True)),
        "ratio": sum(map(len, found)) / true,
        "exact": sum(len({*one.starts} & {*cuts}) for one, cuts in zip(sessions, found, strict=True)) / true,
    }


def _content(text: str, analyzer: Analyzer) -> list[str]:
    return [term for term in analyzer.terms(text) if not is_stopword(term)]


def _summary_row(
    turns: Sequence[Mapping[str, str]],
    reference: str,
    choose: Callable[[Sequence[Passage], int], Iterable[int]],
    budget: int,
    analyzer: Analyzer,
) -> dict[str, float]:
    people = {name_key(turn["speaker"]) for turn in turns}
    items = [
        item
        for number, turn in enumerate(turns)
        for item in passages(
            str(number), turn["text"], lambda text: _content(text, analyzer), people, f"{turn['speaker']}: "
        )
    ]
    chosen = sorted(choose(items, budget))
    said = " ".join(f"{turns[int(items[i].source)]['speaker']}: {items[i].text}" for i in chosen)
    wanted, given = _content(reference, analyzer), _content(said, analyzer)
    row = {"rouge_1": rouge_1(wanted, given), "rouge_l": rouge_l(wanted, given)}
    kept = details(reference) - people
    if kept:
        row["details"] = len(kept & details(said)) / len(kept)
    return row


def _fill(order: Iterable[int], items: Sequence[Passage], budget: int) -> list[int]:
    chosen = []
    for i in order:
        if items[i].cost <= budget:
            chosen.append(i)
            budget -= items[i].cost
    return chosen


def _lead(items: Sequence[Passage], budget: int) -> list[int]:
    return [i for i, spent in enumerate(itertools.accumulate(item.cost for item in items)) if spent <= budget]


def _random(items: Sequence[Passage], budget: int) -> list[int]:
    order = list(range(len(items)))
    random.Random(len(items)).shuffle(order)
    return _fill(order, items, budget)


def _central(items: Sequence[Passage], budget: int) -> list[int]:
    """The sentences whose terms most others share."""
    frequency = Counter(term for item in items for term in item.terms)
    shared = [sum(frequency[term] - 1 for term in item.terms) / (len(item.terms) + 1) for item in items]
    return _fill(sorted(range(len(items)), key=lambda i: -shared[i]), items, budget)


def _longest(items: Sequence[Passage], budget: int) -> list[int]:
    return _fill(sorted(range(len(items)), key=lambda i: -len(items[i].terms)), items, budget)


_CHOOSERS: dict[str, Callable[[Sequence[Passage], int], Iterable[int]]] = {
    "lead": _lead,
    "random": _random,
    "central": _central,
    "longest": _longest,
    "summarise": summarise,
    "summarise, keep": lambda items, budget: summarise(items, budget, keep=True),
}


def _label(finding: Finding) -> str:
    return "suspicious" if finding.suspicious else finding.kind


def _parts(key: str) -> list[str]:
    """A name without its first or last word: "marram shipping christmas" names a party of Marram Shipping."""
    words = key.split()
    return [" ".join(words[1:]), " ".join(words[:-1])] if len(words) > 1 else []


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--output", type=Path, help="write the figures to this file too")
    options = parser.parse_args(arguments)
    text = json.dumps(study(options.data), indent=1)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
