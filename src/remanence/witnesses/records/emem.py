"""Do two propositions that share one argument across sessions come up together, in the tokens of ten propositions?

A question names two people and asks what is the matter with a thing that it does not name: one speaker said what was
done with the thing, another one, sessions away, what is the matter with it. EMem without its graph, BM25, dense search
and their fusion over whole turns (ten hits each), and whole sessions within the tokens of EMem's ten hits are the
baselines. All decompose or rank the raw turns: what the scenario knows of propositions is not told.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

import numpy as np

from remanence.core.card import Evidence
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.packing import estimate_tokens
from remanence.mechanisms.records.emem import EMem
from remanence.scenarios.chains import ChainConversation, joined_propositions
from remanence.scenarios.model import Turn
from remanence.stores.embedders import StaticEmbedder
from remanence.substrates.records.mechanism import Hit, Item
from remanence.witnesses.records.recall import Baselines

K = 10


def witness(seed: int) -> Evidence:
    """Mean recall@10 of the gold turns, beside the best baseline."""
    found = measure(seed)
    return Evidence(f"recall@{K}", found.pop("emem_g"), max(found.values()))


def measure(seed: int, k: int = K) -> dict[str, float]:
    """Mean recall of the gold turns in k hits: "emem_g", "emem" (no graph), "bm25", "dense" and "rrf" over turns; and
    in as many tokens as EMem-G's hits have: "sessions"."""
    talk, embedder = joined_propositions(seed), StaticEmbedder()
    sessions = _sessions(talk)
    memory = EMem(embedder=embedder)
    turn_of: dict[str, str] = {}
    for turns in sessions.values():
        items = [Item(turn.text, speaker=turn.speaker, at=turn.at, session=turn.session) for turn in turns]
        turn_of.update(zip(memory.write(items, now=turns[-1].at), (turn.id for turn in turns), strict=True))
    baselines = Baselines(talk.turns, Analyzer(), embedder)
    now = talk.turns[-1].at + timedelta(days=1)
    chunks = embedder.embed(["\n".join(map(_line, turns)) for turns in sessions.values()])
    shares: dict[str, list[float]] = {}

    def count(name: str, turns: Collection[str], gold: Collection[str]) -> None:
        shares.setdefault(name, []).append(len(set(turns) & set(gold)) / len(gold))

    def told(hits: Sequence[Hit]) -> list[str]:
        return [turn_of[id] for hit in hits for id in hit.sources]

    for question in talk.questions:
        memory.graph = True
        hits = memory.read(question.text, k, now=now)
        count("emem_g", told(hits), question.gold)
        memory.graph = False
        count("emem", told(memory.read(question.text, k, now=now)), question.gold)
        for name, rows in baselines.rank(question.text):
            count(name, [talk.turns[row].id for row in rows[:k]], question.gold)
        left = sum(estimate_tokens(hit.text) for hit in hits)
        within: list[str] = []
        nearest = np.argsort(-(chunks @ embedder.embed([question.text], kind="query")[0]), kind="stable")
        for turn in (turn for row in nearest.tolist() for turn in list(sessions.values())[row]):
            left -= estimate_tokens(_line(turn))
            if left < 0:
                break
            within.append(turn.id)
        count("sessions", within, question.gold)
    return {name: float(np.mean(values)) for name, values in shares.items()}


def _sessions(talk: ChainConversation) -> dict[str, list[Turn]]:
    found: dict[str, list[Turn]] = {}
    for turn in talk.turns:
        found.setdefault(turn.session, []).append(turn)
    return found


def _line(turn: Turn) -> str:
    return f"{turn.speaker}: {turn.text}"
