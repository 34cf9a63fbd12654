"""What each channel of the recall engine contributes: its weight set to zero, the others left as they are.

Cheap, because a question's features are computed once for all variants; and pessimistic about the engine, because
weights learnt without the channel would lean on the others. The order within present-tense updates
(`conversation.current_first`), which looks at ranks and not at channels, is left out of all variants.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from remanence.bench import datasets
from remanence.bench.corpora import drafts
from remanence.bench.datasets._files import read_json
from remanence.bench.engine import NOW, SCOPE, fill, wire
from remanence.core.clock import SteppingClock
from remanence.core.errors import ImportFormatError
from remanence.kernels.dense import top
from remanence.kernels.fusion import Profile
from remanence.mechanisms.records.recall import CHANNELS, learnt
from remanence.runtime.engine import Engine
from remanence.stores.embedders import as_embedder
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.conversation import take_apart
from remanence.substrates.records.model import View
from remanence.substrates.records.reference import MemoryStore

WHOLE = "all channels"
CUTOFFS = (5, 10)
GROUPS: dict[str, tuple[str, ...]] = {
    "neighbours": tuple(name for name in CHANNELS if name.endswith(("_window", "_prev", "_next", "_prev2", "_next2"))),
    "words": tuple(name for name in CHANNELS if name.startswith("lexical") or name in ("related", "bridge")),
    "meaning": tuple(name for name in CHANNELS if "dense" in name),
    "speaker": ("speaker", "speaker_dense"),
    "time": ("when_dated", "time", "recency"),
    "questions": ("asks", "prev_asks"),
    "facts": ("fact", "outdated"),
}  # fmt: skip
"""Channels that are switched off together."""

_SCHEMA = 1

Floats = NDArray[np.float64]
Figures = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Data set → variant → measure → value."""


def variants() -> dict[str, tuple[str, ...]]:
    """Names of the variants and the channels that each is without."""
    return {WHOLE: (), **{f"without {name}": (name,) for name in CHANNELS}} | {
        f"without all of {name}": channels for name, channels in GROUPS.items()
    }


def ablate(
    data_dir: Path | str | None = None,
    *,
    names: Sequence[str] | None = None,
    embedder: Embedder | str = "static",
    report: Callable[[str, Mapping[str, Mapping[str, float]]], None] | None = None,
) -> dict[str, dict[str, dict[str, float]]]:
    """Recall of every variant: data set → variant → `recall@5` and `recall@10` over its answerable questions.

    `report` is called with each data set's figures as they are there. Errors as `suite.run_dataset`.
    """
    model = as_embedder(embedder) if isinstance(embedder, str) else embedder
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in datasets.names(generated=False) if names is None else names:
        found[name] = _ablate(datasets.load(name, data_dir), model)
        if report is not None:
            report(name, found[name])
    return found


def save(found: Figures, path: Path) -> None:
    """Write the figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"schema": _SCHEMA, "figures": found}, indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Read what `save` wrote. Raises `ImportFormatError`."""
    data = read_json(path)
    if not isinstance(data, dict) or data.get("schema") != _SCHEMA or not isinstance(data.get("figures"), dict):
        raise ImportFormatError(f"{path.name} is no ablation of schema {_SCHEMA}; run it again")
    figures: dict[str, dict[str, dict[str, float]]] = data["figures"]
    return figures


def _ablate(dataset: datasets.Dataset, embedder: Embedder) -> dict[str, dict[str, float]]:
    listed = variants()
    profiles = [_without(channels) for channels in listed.values()]
    sums = np.zeros((len(listed), len(CUTOFFS)))
    count = 0
    asked: dict[str, list[datasets.Question]] = {}
    for question in dataset.questions:
        if question.answerable and question.gold:
            asked.setdefault(question.corpus, []).append(question)
    for corpus in dataset.corpora:
        engine = _store(corpus, embedder)
        rows = {document.id: row for row, document in enumerate(corpus.documents)}
        for question in asked.get(corpus.id, ()):
            sums += _ask(engine, question, rows, profiles)
            count += 1
    means = sums / max(count, 1)
    return {
        name: {f"recall@{k}": round(float(value), 4) for k, value in zip(CUTOFFS, line, strict=True)}
        for name, line in zip(listed, means, strict=True)
    }


def _store(corpus: datasets.Corpus, embedder: Embedder) -> Engine:
    engine = wire(MemoryStore(clock=SteppingClock(NOW)), embedder)
    fill(engine, drafts(corpus))
    return engine


def _without(channels: Sequence[str]) -> dict[str, Profile]:
    """The profiles that ship, with the weights of some channels zero."""
    kept = np.array([name not in channels for name in CHANNELS])
    return {
        name: replace(profile, weights=profile.weights * kept) if profile.channels == CHANNELS else profile
        for name, profile in learnt().items()
    }


def _ask(
    engine: Engine, question: datasets.Question, rows: Mapping[str, int], profiles: Sequence[Mapping[str, Profile]]
) -> Floats:
    """Recall of one question for every variant, [variants, cutoffs]."""
    recall = engine.recall(SCOPE)
    view = View(question.now or NOW)
    index = engine.index(SCOPE, engine.embedder.space)
    verdict = engine.truth.verdict(question.text, SCOPE, view)
    parsed = take_apart(question.text, index, recall.analyzer, view.now, verdict)
    vector = recall.embedder.embed([question.text], kind="query")[0]
    found, features = recall.features(index, parsed, vector, view)
    gold = np.isin(found, [rows[id] for id in question.gold])
    reached: list[list[float]] = []
    for variant in profiles:
        recall.profiles = variant
        hits = gold[top(recall.logits(index, found, features), max(CUTOFFS))]
        reached.append([float(hits[:k].sum()) / len(question.gold) for k in CUTOFFS])
    return np.array(reached)


def render(found: Figures, metric: str = "recall@5") -> str:
    """Markdown: the whole engine's recall per data set, and what each variant loses (negative) or gains."""
    names = list(found)
    listed = {variant: None for name in names for variant in found[name]}
    lines = [f"| {metric} | " + " | ".join(names) + " | mean |", "|---|" + "---:|" * (len(names) + 1)]
    for variant in listed:
        values = [found[name][variant][metric] for name in names]
        base = [0.0 if variant == WHOLE else found[name][WHOLE][metric] for name in names]
        shown = [value - start for value, start in zip(values, base, strict=True)]
        form = "{:.3f}" if variant == WHOLE else "{:+.3f}"
        lines.append(
            f"| {variant} | " + " | ".join(form.format(value) for value in [*shown, float(np.mean(shown))]) + " |"
        )
    return "\n".join(lines) + "\n"
