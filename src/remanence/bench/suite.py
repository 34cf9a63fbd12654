"""Runs of the retrieval benchmarks: every system on a data set, their results as files, their tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from remanence.bench import baselines, datasets, mechanisms, results, runner
from remanence.bench.engine import NAME, RecallRanker
from remanence.bench.results import Result
from remanence.core.errors import InvalidInput
from remanence.mechanisms.records import recall
from remanence.stores.embedders import as_embedder
from remanence.substrates.embedding import Embedder

BASELINES = ("bm25", "bm25-stemmed", "dense", "rrf")
"""What the others are compared with."""
SYSTEMS = (*BASELINES, NAME)
"""What is measured when nothing else is asked for; see `systems` for all there is."""
LEXICAL = ("bm25", "bm25-stemmed")
"""Systems that need no embedder."""
SAMPLED_CORPORA = 200
"""`tools/learn_recall.py` learns from no more corpora of one set."""

Report = Callable[[Result], None]


def systems() -> tuple[str, ...]:
    """All that can be measured: the baselines, the engine, and every other record mechanism of the catalog."""
    return (*SYSTEMS, *(slug for slug in mechanisms.slugs() if slug != NAME))


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """The systems that are named, in the order of `systems`; "all" stands for all of them. Errors: `InvalidInput`."""
    known = systems()
    unknown = [name for name in names if name not in known and name != "all"]
    if unknown or not names:
        raise InvalidInput(f"unknown systems {unknown}; choose from {', '.join(known)}, or all")
    return known if "all" in names else tuple(name for name in known if name in names)


def run_dataset(
    name: str,
    data_dir: Path | str | None = None,
    *,
    systems: Sequence[str] = SYSTEMS,
    embedder: Embedder | str = "static",
    seed: int = 0,
    out: Path | None = None,
    report: Report | None = None,
) -> list[Result]:
    """Measure systems on one data set, one after the other, each corpus as a memory of its own.

    Args:
        name: of the data set, see `datasets.names`.
        data_dir: folder with the files; `$REMANENCE_BENCH_DATA` if left out.
        systems: which ones, see `chosen`; gains of mechanisms are measured against all of the baselines.
        embedder: for the systems that need one; see `remanence.stores.embedders`.
        seed: of the intervals. The systems themselves draw nothing.
        out: a folder to write one file per system into.
        report: called with each result as it is there.

    Raises:
        InvalidInput: an unknown data set or system.
        DatasetMissing: the files are not there.

    """
    wanted = chosen(systems)
    dataset = datasets.load(name, data_dir)
    model = as_embedder(embedder) if isinstance(embedder, str) else embedder
    makers = baselines.baselines(lambda: model)
    machine = results.hardware()
    done: list[runner.Run] = []
    found: list[Result] = []
    # Without the baselines a mechanism's figures would say little: they are run in any case, shown only if asked for.
    compared = any(system not in BASELINES for system in wanted)
    for system in (*BASELINES, *(one for one in wanted if one not in BASELINES)) if compared else wanted:
        space = None if system in LEXICAL else model.space.key
        measured: list[Result] = []
        if system == NAME:
            with RecallRanker(model) as ranker:
                run = runner.run(dataset, ranker)
                footprint = ranker.footprint()
            facts = learning(dataset, model)
            measured.append(
                results.from_run(
                    run, baselines=done, seed=seed, hardware=machine, embedder=space, footprint=footprint, **facts
                )
            )
        elif system in BASELINES:
            done.append(runner.run(dataset, makers[system]()))
            measured.append(results.from_run(done[-1], seed=seed, hardware=machine, embedder=space))
        else:
            for name, arguments in mechanisms.variants(system, dataset, data_dir).items():
                run = runner.run(dataset, mechanisms.MechanismRanker(system, model, arguments, name))
                measured.append(results.from_run(run, baselines=done, seed=seed, hardware=machine, embedder=space))
        for result in measured if system in wanted else ():
            found.append(result)
            if out is not None:
                results.write(result, out)
            if report is not None:
                report(result)
    return found


def run_all(data_dir: Path | str | None = None, *, names: Sequence[str] | None = None, **options: Any) -> list[Result]:
    """`run_dataset` for several data sets; all of them if none are named."""
    return [
        result
        for name in (datasets.names() if names is None else names)
        for result in run_dataset(name, data_dir, **options)
    ]


def learning(dataset: datasets.Dataset, embedder: Embedder) -> dict[str, Any]:
    """Whether the shipped weights were learnt on a data set, and what they reach where its folds are left out.

    The weights name what they were learnt on. Without a fingerprint of that data the name of the set decides, so that
    figures may be called learnt that are not, and never the other way round. Cross-validated figures of a part of a
    set say nothing about the whole and are left out.
    """
    numbers = shipped()
    folds: Mapping[str, Mapping[str, float]] = numbers.get("cross_validation", {})
    fingerprint = numbers.get("data", {}).get(dataset.name, dataset.fingerprint())
    if dataset.name not in folds or fingerprint != dataset.fingerprint():
        return {"learnt_on": False, "cross_validated": {}}
    comparable = numbers.get("embedder") == embedder.space.key and len(dataset.corpora) <= SAMPLED_CORPORA
    return {"learnt_on": True, "cross_validated": dict(folds[dataset.name]) if comparable else {}}


def shipped() -> dict[str, Any]:
    """The file of weights that ships with the recall engine, with the record of how it was made."""
    path = Path(recall.__file__).with_name("recall_weights.json")
    numbers: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return numbers
