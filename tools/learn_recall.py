"""Learn the weights of the recall engine on the development data, and measure them by cross-validation.

    python tools/learn_recall.py --data DIR             # learn, report, write
    python tools/learn_recall.py --data DIR --ablate    # what each channel contributes; writes nothing

Ranking weights: for each question a softmax over its candidate rows, trained so that the evidence gets the mass
(listwise cross-entropy, L2, full-batch Adam). Calibration: logistic regression of "is evidence" on the ranking score.
Abstention: logistic regression of "this memory can answer" on the two best logits, with the same questions asked of
somebody else's memory as negatives. Folds are conversations where a set has several, else questions.

The result, `src/remanence/mechanisms/records/recall_weights.json`, holds numbers only, and how they came about.
"""

from __future__ import annotations

import argparse
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import remanence
from remanence.bench.corpora import OWNER, drafts
from remanence.bench.datasets import Corpus, Dataset, Document, Question, ep_bench, load
from remanence.bench.engine import wire
from remanence.core.clock import SteppingClock
from remanence.core.scope import Scope
from remanence.kernels.fusion import Profile, smallness
from remanence.mechanisms.records import recall as mechanism
from remanence.mechanisms.records.recall import CHANNELS, SIGNS
from remanence.runtime.engine import Engine
from remanence.runtime.rederiving import rebuild_derived
from remanence.scenarios.dialogues import generate
from remanence.stores.embedders import StaticEmbedder
from remanence.substrates.records.conversation import signs, spread_out, take_apart
from remanence.substrates.records.model import View
from remanence.substrates.records.operations import Put
from remanence.substrates.records.reference import MemoryStore

GENERATED = "dialogues"
"""Generated conversations, of which the facts are known: there the channels that look at facts learn their weight."""
SEEDS = range(3000, 3008)
BOOKS = "books"
"""Generated books, whose chapters differ by exact names and dates among much that is alike; benchmarks have others."""
BOOK_SEEDS = (4000, 4001)
TURNS = {"locomo": 2.0, "realtalk": 1.0, "longmemeval": 1.0, "beam": 0.8, "memdaily": 1.0, GENERATED: 0.5}
DOCUMENTS = {"musique": 0.7, "2wiki": 0.5, "hotpot": 0.5, "cranfield": 0.3, BOOKS: 0.2}
"""Share of each set in the loss of its profile: the conversations users have count most."""
CURVES: dict[str, dict[str, float]] = {"turn": {}, "document": {"lexical": 0.05, "bridge": 0.1}}
"""Channels that count by their logarithm (`Profile.curves`)."""
SAME: dict[str, tuple[str, ...]] = {"turn": (), "document": ("lexical_window", "lexical_session", "dense_window")}
"""Channels without a weight, since they say again what another one says: a document is its own window and session."""
CORPORA_PER_SET = 200
FOLDS = 5
L2 = 2e-3
HARD, RANDOM = 150, 50
"""Negatives per question: the strongest by a fixed mix of channels, and some others."""
EXCERPTS = (1, 2, 5, 15, 50, 200)
EXCERPTS_PER_SIZE = 60
EXCERPTED = {"turn": ("locomo", "realtalk"), "document": ("musique", "hotpot")}
"""Sets of which small memories are made, so that scores mean the same in a memory of two turns."""
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCOPE = Scope(user_id=OWNER)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Example:
    """One question against one corpus: candidate features [c, f] and which candidates are evidence [c]."""

    group: str
    question: str
    features: NDArray[np.float32]
    gold: NDArray[np.bool_]
    wanted: int
    """Evidence documents, found among the candidates or not."""
    rows: int
    """Documents in the corpus."""
    signs: tuple[float, float]
    """What the known facts say to whether it can be answered at all."""
    sessions: NDArray[np.int32]
    """Session of each candidate [c]."""
    asks_several: bool


class Bench:
    """Corpora as scopes of the engine, ready to be asked."""

    def __init__(self) -> None:
        self.embedder = StaticEmbedder()

    def index(self, corpus: Corpus) -> Engine:
        """The engine over one corpus, with the facts that follow from it."""
        engine = wire(MemoryStore(clock=SteppingClock(NOW)), self.embedder)
        listed = drafts(corpus)
        engine.write([Put(draft) for draft in engine.recall(SCOPE).derive(listed)], SCOPE)
        if any(draft.kind == "turn" for draft in listed):
            rebuild_derived(engine, SCOPE)
        return engine

    def ask(self, engine: Engine, question: Question, rows: dict[str, int], group: str) -> Example:
        """Features of the candidates of a question."""
        space = self.embedder.space
        recall = engine.recall(SCOPE)
        index = engine.index(SCOPE, space)
        view = View(now=question.now or NOW)
        verdict = engine.truth.verdict(question.text, SCOPE, view)
        parsed = take_apart(question.text, index, engine.analyzer, view.now, verdict)
        found, features = recall.features(index, parsed, self.embedder.embed([question.text], kind="query")[0], view)
        gold = {rows[id] for id in question.gold if id in rows}
        return Example(
            group, question.text, features, np.isin(found, list(gold)), len(gold), len(index), signs(verdict),
            index.session[found], parsed.asks_several,
        )  # fmt: skip


def dataset_of(name: str, data: Path) -> Dataset:
    """A data set, or the generated conversations or books as one."""
    if name == BOOKS:
        return replace(ep_bench.of(BOOK_SEEDS), name=BOOKS)
    return generated() if name == GENERATED else load(name, data)


def generated() -> Dataset:
    """Conversations with known facts, at the two harder levels."""
    corpora: list[Corpus] = []
    questions: list[Question] = []
    for seed in SEEDS:
        dialogue = generate(seed, hardness="hard" if seed % 2 else "medium")
        name = f"{dialogue.hardness}-{seed}"
        turns = (
            Document(id=turn.id, text=turn.text, speaker=turn.speaker, session=turn.session, event_at=turn.at)
            for turn in dialogue.turns
        )
        corpora.append(Corpus(id=name, documents=tuple(turns)))
        questions += [
            Question(
                id=f"{name}/{one.id}", text=one.text, corpus=name, gold=frozenset(one.gold), category=one.category,
                answerable=bool(one.gold), now=one.now,
            )
            for one in dialogue.questions
        ]  # fmt: skip
    return Dataset(
        name=GENERATED, corpora=tuple(corpora), questions=tuple(questions), licence="Apache-2.0",
        notes="generated by remanence.scenarios.dialogues",
    )  # fmt: skip


def examples(bench: Bench, name: str, data: Path) -> tuple[list[Example], list[Example]]:
    """Questions of a data set asked of their own corpus, and of the next one (where nothing can answer)."""
    dataset = dataset_of(name, data)
    # Spread over the whole set: neighbouring corpora of a set are often of one kind.
    corpora = dataset.corpora[:: -(-len(dataset.corpora) // CORPORA_PER_SET)]
    asked = {c.id: [q for q in dataset.questions if q.corpus == c.id and q.category != "adversarial"] for c in corpora}
    own: list[Example] = []
    foreign: list[Example] = []
    for at, corpus in enumerate(corpora):
        recall = bench.index(corpus)
        rows = {document.id: row for row, document in enumerate(corpus.documents)}
        group = f"{name}/{corpus.id}"
        for question in asked[corpus.id]:
            example = bench.ask(recall, question, rows, group)
            if not question.answerable:
                foreign.append(replace(example, wanted=0))
            elif example.wanted:
                own.append(example)
        others = asked[corpora[at - 1].id] if len(corpora) > 1 else []
        foreign += [bench.ask(recall, replace(question, gold=frozenset()), {}, group) for question in others]
    print(f"{name}: {len(own)} questions, {len(foreign)} that nothing answers", flush=True)
    return own, foreign


def excerpts(bench: Bench, name: str, data: Path, rng: np.random.Generator) -> tuple[list[Example], list[Example]]:
    """Questions asked of small memories: a few documents in a row, evidence among them; and of somebody else's."""
    dataset = dataset_of(name, data)
    corpora = {corpus.id: corpus for corpus in dataset.corpora}
    usable = [q for q in dataset.questions if q.answerable and q.category != "adversarial"]
    own: list[Example] = []
    foreign: list[Example] = []
    for size in EXCERPTS:
        for at in rng.choice(len(usable), min(EXCERPTS_PER_SIZE, len(usable)), replace=False).tolist():
            question = usable[at]
            corpus = corpora[question.corpus]
            places = [i for i, document in enumerate(corpus.documents) if document.id in question.gold]
            if not places:
                continue
            begin = min(max(0, int(rng.choice(places)) - int(rng.integers(size))), len(corpus.documents) - size)
            part = replace(corpus, documents=corpus.documents[max(begin, 0) :][:size])
            rows = {document.id: row for row, document in enumerate(part.documents)}
            recall = bench.index(part)
            own.append(bench.ask(recall, question, rows, name))
            other = usable[(at + len(usable) // 2) % len(usable)]
            if other.corpus != question.corpus or not other.gold & set(rows):
                foreign.append(bench.ask(recall, replace(other, gold=frozenset()), {}, name))
    print(f"{name}: {len(own)} questions to excerpts, {len(foreign)} that nothing there answers", flush=True)
    return own, foreign


def shaped(pair: tuple[list[Example], list[Example]], kind: str) -> tuple[list[Example], list[Example]]:
    """Examples as the linear formula of a kind sees them: bent by its curves, without the channels it does not use."""
    curves = Profile(CHANNELS, np.zeros(len(CHANNELS)), 0.0, curves=CURVES[kind])
    own, foreign = (
        [without(replace(one, features=curves.bent(one.features)), SAME[kind]) for one in members] for members in pair
    )
    return own, foreign


def without(example: Example, channels: Sequence[str]) -> Example:
    """An example in which some channels say nothing."""
    features = example.features.copy()
    features[:, [CHANNELS.index(channel) for channel in channels]] = 0
    return replace(example, features=features)


def fold_of(example: Example, groups: Sequence[str]) -> int:
    """Whole conversations are left out together where there are enough of them."""
    if len(groups) >= FOLDS:
        return groups.index(example.group) % FOLDS
    return zlib.crc32(example.question.encode()) % FOLDS


def rank_weights(sets: Sequence[tuple[float, Sequence[Example]]], seed: int, steps: int = 200) -> Floats:
    """Listwise softmax regression; each set counts by its share, however many questions it has."""
    rng = np.random.default_rng(seed)
    blocks, targets, starts, shares, total = [], [], [], [], 0
    prior = np.zeros(len(CHANNELS))
    for channel, weight in {"lexical": 2, "dense": 1, "lexical_session": 0.3, "lexical_window": 1}.items():
        prior[CHANNELS.index(channel)] = weight
    for share, members in sets:
        for example in members:
            count = len(example.gold)
            if not example.gold.any():
                continue
            kept = example.gold.copy()
            kept[np.argsort(-(example.features @ prior), kind="stable")[:HARD]] = True
            kept[rng.choice(count, min(RANDOM, count), replace=False)] = True
            blocks.append(example.features[kept].astype(np.float64))
            targets.append(example.gold[kept] / example.gold.sum())
            starts.append(total)
            shares.append(share / len(members))
            total += int(kept.sum())
    x, y, first = np.concatenate(blocks), np.concatenate(targets), np.array(starts)
    sizes = np.diff(np.append(first, total))
    importance = np.repeat(np.array(shares) / np.sum(shares), sizes)
    scale = x.std(axis=0) + 1e-6
    x = (x - x.mean(axis=0)) / scale
    w, m, v = np.zeros(x.shape[1]), np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for step in range(1, steps + 1):
        s = x @ w
        e = np.exp(s - np.repeat(np.maximum.reduceat(s, first), sizes))
        p = e / np.repeat(np.add.reduceat(e, first), sizes)
        gradient = x.T @ ((p - y) * importance) + 2 * L2 * w
        m, v = 0.9 * m + 0.1 * gradient, 0.99 * v + 0.01 * gradient**2
        w -= 0.1 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.99**step)) + 1e-9)
    weights: Floats = w / scale
    return weights


def logistic_regression(x: Floats, y: Floats, importance: Floats, rounds: int = 50) -> Floats:
    """Newton's method with a little L2; x [n, f], result [f + 1], the bias last."""
    x = np.column_stack([x, np.ones(len(x))])
    w = np.zeros(x.shape[1])
    for _ in range(rounds):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -500, 500)))
        hessian = (x * (importance * p * (1 - p))[:, None]).T @ x + 1e-9 * np.eye(len(w))
        w -= np.linalg.solve(hessian, x.T @ (importance * (p - y)) + 1e-9 * w)
    return w


def calibrate(sets: Sequence[tuple[float, Sequence[Example]]], weights: Floats) -> Floats:
    """`(slope, small, bias)` that make the ranking score a log-odds of being evidence."""
    parts = [(share / len(m), e.features @ weights, e.gold, e.rows) for share, m in sets for e in m if len(e.gold)]
    x = np.concatenate([np.column_stack([s, np.full(len(s), smallness(rows))]) for _, s, _, rows in parts])
    y = np.concatenate([gold for _, _, gold, _ in parts]).astype(float)
    return logistic_regression(x, y, np.concatenate([np.full(len(s), w) for w, s, _, _ in parts]))


def recall_at(example: Example, scores: Floats, k: int) -> float:
    """Share of the evidence among the k best, shown as the engine shows them."""
    best = np.argsort(-scores, kind="stable")[: 4 * k]
    if example.asks_several:
        best = best[spread_out(example.sessions[best], scores[best])]
    return float(example.gold[best[:k]].sum()) / example.wanted


def cross_validate(shares: dict[str, float], data: dict[str, list[Example]], seed: int) -> dict[str, dict[str, float]]:
    """Recall of each set when its fold was not learnt from."""
    groups = {name: sorted({e.group for e in members}) for name, members in data.items()}
    hits: dict[str, list[list[float]]] = {name: [] for name in data}
    for fold in range(FOLDS):
        train = [
            (shares[name], [e for e in members if fold_of(e, groups[name]) != fold]) for name, members in data.items()
        ]
        weights = rank_weights(train, seed)
        # What spreading takes from a row is counted in log-odds.
        weights = weights * calibrate(train, weights)[0]
        for name, members in data.items():
            hits[name] += [
                [recall_at(e, e.features @ weights, k) for k in (1, 5, 10)]
                for e in members
                if fold_of(e, groups[name]) == fold
            ]
    return {
        name: {f"recall@{k}": round(float(mean), 4) for k, mean in zip((1, 5, 10), np.mean(rows, axis=0), strict=True)}
        for name, rows in hits.items()
    }


GROUPS = {
    "everything": (),
    "own words (BM25)": ("lexical",),
    "words of the window": ("lexical_window",),
    "words of the session": ("lexical_session",),
    "stop words": ("lexical_stop",),
    "all lexical channels": tuple(c for c in CHANNELS if c.startswith("lexical")),
    "related words": ("related",),
    "bridge to a second hop": ("bridge",),
    "meaning of the window": ("dense_window",),
    "meaning of single neighbours": ("dense_prev", "dense_next"),
    "all dense channels": tuple(c for c in CHANNELS if c.startswith("dense")),
    "who speaks": ("speaker", "speaker_dense"),
    "questions and answers": ("asks", "prev_asks"),
    "time": ("time", "when_dated"),
    "length": ("length",),
    "recency": ("recency",),
    "facts": ("fact", "outdated"),
}


def ablate(shares: dict[str, float], data: dict[str, list[Example]], seed: int) -> None:
    """Print a Markdown table: cross-validated recall@5 / recall@10 with groups of channels left out and relearnt."""
    print("| without | " + " | ".join(data) + " |\n" + "|---" * (len(data) + 1) + "|")
    for name, channels in GROUPS.items():
        reduced = {dataset: [without(example, channels) for example in members] for dataset, members in data.items()}
        found = cross_validate(shares, reduced, seed)
        cells = (f"{row['recall@5']:.3f} / {row['recall@10']:.3f}" for row in found.values())
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def written_form(profile: Profile) -> dict[str, Any]:
    """A profile as it is written."""
    weights = {name: round(float(weight), 5) for name, weight in zip(profile.channels, profile.weights, strict=True)}
    curves = {"curves": dict(profile.curves)} if profile.curves else {}
    return {"bias": round(profile.bias, 5), "small": round(profile.small, 5), **curves, "weights": weights}


def signs_of(example: Example, profile: Profile) -> list[float]:
    """The two greatest logits, and what the facts say."""
    logits = np.sort(profile.logits(example.features, example.rows))[::-1]
    return [float(logits[0]), float(logits[min(1, len(logits) - 1)]), *example.signs]


def area(scores: Floats, labels: Floats) -> float:
    """Area under the ROC curve: how often an answerable question scores above another."""
    ranks = np.argsort(np.argsort(scores, kind="stable"), kind="stable") + 1
    positive = labels.sum()
    return float((ranks[labels > 0].sum() - positive * (positive + 1) / 2) / (positive * (len(labels) - positive)))


def main() -> None:
    """Learn, report, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("REMANENCE_BENCH_DATA"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dry-run", action="store_true", help="report and write nothing")
    parser.add_argument("--ablate", action="store_true", help="print what each group of channels contributes")
    arguments = parser.parse_args()
    bench = Bench()
    rng = np.random.default_rng(arguments.seed)
    written: dict[str, Any] = {"made_by": "tools/learn_recall.py", "version": remanence.__version__}
    written |= {"seed": arguments.seed, "embedder": bench.embedder.space.key, "data": {}, "cross_validation": {}}
    answered: list[tuple[list[float], float, float]] = []
    for kind, shares in (("turn", TURNS), ("document", DOCUMENTS)):
        pairs = {name: shaped(examples(bench, name, arguments.data), kind) for name in shares}
        data = {name: own for name, (own, _) in pairs.items()}
        if arguments.ablate:
            ablate(shares, data, arguments.seed)
            continue
        # What was learnt on what must stay tellable: results on other data are not development figures.
        written["data"] |= {name: dataset_of(name, arguments.data).fingerprint() for name in shares}
        written["cross_validation"] |= cross_validate(shares, data, arguments.seed)
        sets = [(shares[name], members) for name, members in data.items()]
        weights = rank_weights(sets, arguments.seed)
        small = {name: shaped(excerpts(bench, name, arguments.data, rng), kind) for name in EXCERPTED[kind]}
        slope, of_small, bias = calibrate(sets + [(shares[name], own) for name, (own, _) in small.items()], weights)
        learnt = Profile(CHANNELS, weights * slope, float(bias), float(of_small))
        written[kind] = written_form(replace(learnt, curves=CURVES[kind]))
        for name, (own, foreign) in [*pairs.items(), *small.items()]:
            if name == BOOKS:
                # Every word of a question that nothing answers stands in near misses there: no ranking can tell.
                continue
            for members, label in ((own, 1.0), (foreign, 0.0)):
                answered += [(signs_of(e, learnt), label, shares[name] / len(members)) for e in members if len(e.gold)]
    if arguments.ablate:
        return
    x = np.array([line for line, _, _ in answered])
    y = np.array([label for _, label, _ in answered])
    importance = np.array([share for _, _, share in answered])
    fitted = logistic_regression(x, y, importance)
    written["answerable"] = written_form(Profile(SIGNS, fitted[:-1], float(fitted[-1])))
    sure = x @ fitted[:-1] + fitted[-1]
    written["abstention"] = {
        "auc": round(area(sure, y), 4),
        "accuracy": round(float(np.average((sure > 0) == (y > 0), weights=importance)), 4),
        "questions": len(y),
    }
    print(json.dumps({k: written[k] for k in ("cross_validation", "abstention")}, indent=1))
    if not arguments.dry_run:
        path = Path(mechanism.__file__).with_name("recall_weights.json")
        path.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
