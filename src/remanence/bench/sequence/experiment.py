"""Mixers beside each other: equal parameters, equal data, the same measures, several seeds.

Every mixer stands in the same small language model; the width of the channel mixer is chosen so that all models have as
many parameters. One model is trained on the bytes of a text, another on associative recall; a cell is what came of one
mixer and one seed. Cells are kept as they are finished: an experiment that is broken off goes on where it was.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

import remanence
from remanence import catalog
from remanence.bench.results import hardware, rounded
from remanence.bench.sequence import measuring
from remanence.bench.sequence.corpus import BYTES, ByteCorpus, batch_of
from remanence.bench.sequence.training import Batch, Plan, Trainer
from remanence.core.errors import ImportFormatError, InvalidInput
from remanence.scenarios.mqar import mqar
from remanence.substrates.sequence.base import SequenceLayer
from remanence.substrates.sequence.model import SequenceModel

SCHEMA = 1
EDGES = (1, 8, 16, 32, 64, 128)
"""Between which distances recall is told."""
_T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
"""Two-sided 95 % quantiles of Student's t for so many seeds."""
BASELINES = ("test_time_regression:preset=softmax", "linear_attention:decay=token")
"""Settings of the family that stand for what is usual: attention, and linear attention that decays."""
_FEWEST = 20
"""Steps below which nothing is learnt that could be compared."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Sizes of an experiment.

    `parameters` are those of every model of bytes; 0: as many as the largest mixer has with a channel mixer of
    `mlp_ratio`; the others then have wider ones.
    """

    hidden_size: int = 64
    layers: int = 2
    mlp_ratio: float = 2.0
    parameters: int = 0
    length: int = 128
    batch: int = 8
    steps: int = 120
    recall_steps: int = 480
    recall_batch: int = 32
    pairs: int = 8
    lr: float = 8e-3


@dataclass(frozen=True)
class Cell:
    """What came of one mixer and one seed; tokens per second of processor time, and seconds of the clock."""

    mixer: str
    seed: int
    parameters: int
    bits_per_byte: float
    losses: list[float]
    """In nats, of every tenth step on bytes."""
    recall: dict[str, float | None]
    """Accuracy of recall by distance in tokens."""
    overwritten: float
    """Accuracy where keys were written twice and the newest value is wanted."""
    state_bytes: dict[str, int]
    """Of one sequence after so many tokens."""
    tokens_per_second: dict[str, float]
    seconds: float


def default_mixers() -> list[str]:
    """All sequence mechanisms of the catalog, and the baselines."""
    return [*BASELINES, *(slug for slug, card in catalog.cards().items() if card.substrate == "sequence")]


def maker(name: str, hidden_size: int) -> Callable[[], SequenceLayer]:
    """What makes a mixer called `slug` or `slug:setting=value,…`; values are JSON, or plain words.

    Raises `InvalidInput` for what is no sequence mechanism, or has no such setting.
    """
    slug, _, rest = name.partition(":")
    cls = catalog.get(slug)
    if not issubclass(cls, SequenceLayer):
        raise InvalidInput(f"{slug!r} is a mechanism for {cls.card.substrate}, not for sequences")
    settings: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise InvalidInput(f"{name!r}: write settings as key=value, not {part!r}")
        try:
            settings[key] = json.loads(value)
        except json.JSONDecodeError:
            settings[key] = value
    return partial(cls, hidden_size=hidden_size, seed=None, **settings)


def model_of(
    name: str, setup: Setup, *, vocabulary: int, parameters: int | None = None, seed: int = 0
) -> SequenceModel:
    """A model whose blocks are all mixed by one mechanism, with so many parameters if that is told.

    Raises `InvalidInput` where the mixer alone has more than that, or settings are not known.
    """
    try:
        make = maker(name, setup.hidden_size)
        build = partial(SequenceModel, [make] * setup.layers, vocab_size=vocabulary, seed=seed)
        ratio = setup.mlp_ratio
        if parameters is not None:
            one, unit = 1.5 / setup.hidden_size, 3 * setup.hidden_size * setup.layers
            inner = 1 + round((parameters - count(build(mlp_ratio=one))) / unit)
            if inner < 1:
                raise InvalidInput(f"{name} has more than {parameters} parameters without a channel mixer")
            ratio = inner * one
        return build(mlp_ratio=ratio)
    except TypeError as error:
        raise InvalidInput(f"{name}: {error}") from error


def count(model: SequenceModel) -> int:
    """Parameters, those that are shared counted once."""
    return sum(one.numel() for one in model.parameters())


def measure(name: str, seed: int, setup: Setup, corpus: ByteCorpus) -> Cell:
    """Train and measure one cell."""
    begin = time.perf_counter()
    setup = settled([name], setup)
    keys = mqar(0, sequences=1).vocabulary
    # What the embedding of a smaller vocabulary lacks, the model of pairs shall not make up for.
    fewer = setup.parameters - (BYTES - keys) * setup.hidden_size
    lm = model_of(name, setup, vocabulary=BYTES, parameters=setup.parameters, seed=seed)
    recaller = model_of(name, setup, vocabulary=keys, parameters=fewer, seed=seed)
    stretches = corpus.batches(seed, size=setup.batch, length=setup.length)
    losses = Trainer(lm, Plan(steps=setup.steps, lr=setup.lr), stretches).run()
    pairs_of = partial(recall_batch, seed, setup)
    Trainer(recaller, Plan(steps=setup.recall_steps, lr=setup.lr), pairs_of).run()
    tests = [mqar(10_000 + seed, sequences=64, pairs=pairs) for pairs in (4, 8, 16, 32)]
    twice = mqar(20_000 + seed, sequences=64, pairs=setup.pairs, rewrites=2)
    return Cell(
        mixer=name,
        seed=seed,
        parameters=count(lm),
        bits_per_byte=measuring.bits(lm, corpus.test_batch(size=64, length=setup.length)),
        losses=losses[::10],
        recall=measuring.recall_by_distance(recaller, tests, edges=EDGES),
        overwritten=twice.accuracy(measuring.told(recaller, twice)),
        state_bytes={str(tokens): measuring.state_bytes(lm, tokens) for tokens in (128, 1024)},
        tokens_per_second=measuring.speeds(lm, corpus.test_batch(size=setup.batch, length=setup.length)),
        seconds=time.perf_counter() - begin,
    )


def settled(names: Sequence[str], setup: Setup) -> Setup:
    """The setup with the number of parameters that all these mixers can have."""
    if setup.parameters:
        return setup
    return replace(setup, parameters=max(count(model_of(name, setup, vocabulary=BYTES)) for name in names))


def recall_batch(seed: int, setup: Setup, step: int) -> Batch:
    """What a step trains recall on: keys written once, and in every other step keys written twice."""
    rewrites = 1 + step % 2
    pairs = max(1, setup.pairs // rewrites)
    number = 1_000_000 * (seed + 1) + step
    return batch_of(mqar(number, sequences=setup.recall_batch, pairs=pairs, rewrites=rewrites))


def planned(names: Sequence[str], seeds: int, setup: Setup, corpus: ByteCorpus, minutes: float) -> Setup:
    """The setup with as many steps as all mixers and seeds can do in that time, after trying a few steps of each."""
    share = setup.recall_steps / setup.steps
    fixed = each = 0.0
    for name in names:
        short, longer = (
            measure(name, 0, replace(setup, steps=steps, recall_steps=math.ceil(steps * share)), corpus).seconds
            for steps in (2, 10)
        )
        fixed += short
        each += max(longer - short, 0.0) / 8
    affordable = int((60 * minutes / seeds - fixed) / each)
    if affordable < _FEWEST:
        raise InvalidInput(
            f"{minutes:g} minutes are not enough for {len(names)} mixers and {seeds} seeds: "
            f"{_FEWEST} steps of each take {(_FEWEST * each + fixed) * seeds / 60:.0f}"
        )
    return replace(setup, steps=affordable, recall_steps=math.ceil(affordable * share))


def run(
    names: Sequence[str],
    seeds: int,
    corpus: ByteCorpus,
    path: Path,
    *,
    text: str,
    setup: Setup | None = None,
    minutes: float | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measure every cell that the file does not hold yet; what it holds in the end.

    Raises `InvalidInput` when the file is of another setup, text or version.
    """
    found = load(path) if path.exists() else None
    if found is not None:
        setup = Setup(**found["setup"])
        differing = [key for key, value in (("text", text), ("version", remanence.__version__)) if found[key] != value]
        if differing:
            raise InvalidInput(f"{path} is of another {' and '.join(differing)}; remove it, or name another file")
    else:
        setup = settled(names, setup or Setup())
        if minutes is not None:
            report("timing a few steps of every mixer")
            setup = planned(names, seeds, setup, corpus, minutes)
        found = {
            "schema": SCHEMA,
            "version": remanence.__version__,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "hardware": asdict(hardware()),
            "text": text,
            "setup": asdict(setup),
            "cells": [],
        }
    there = {(cell["mixer"], cell["seed"]) for cell in found["cells"]}
    for seed in range(seeds):
        for name in names:
            if (name, seed) not in there:
                cell = measure(name, seed, setup, corpus)
                report(f"{name}, seed {seed}: {cell.bits_per_byte:.3f} bits per byte, {cell.seconds:.0f} s")
                found["cells"].append(asdict(cell))
                save(found, path)
    return found


def load(path: Path) -> dict[str, Any]:
    """A file of cells. Raises `ImportFormatError` for one that is none."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if found["schema"] != SCHEMA:
            raise ImportFormatError(f"{path} has schema {found['schema']}; this version reads {SCHEMA}")
        Setup(**found["setup"])
        for cell in found["cells"]:
            Cell(**cell)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImportFormatError(f"{path} holds no experiment on sequences: {error}") from error
    return found


def save(found: Mapping[str, Any], path: Path) -> None:
    """Write the file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_text(json.dumps(rounded(found, ".5g"), indent=1) + "\n", encoding="utf-8")
    draft.replace(path)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval over seeds; 0 for a single one."""
    if len(values) < 2:
        return values[0], 0.0
    spread = _T.get(len(values), 1.96) * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values), spread


def by_mixer(found: Mapping[str, Any]) -> Iterator[tuple[str, list[Cell]]]:
    """Cells of each mixer, in the order in which they were measured first."""
    names = list(dict.fromkeys(cell["mixer"] for cell in found["cells"]))
    for name in names:
        yield name, [Cell(**cell) for cell in found["cells"] if cell["mixer"] == name]
