"""Do links between notes lead to what the question does not name, and does evolution give old notes new names?

Of two facts, far apart in a conversation, the question names the first and asks for the second, with which it shares
no word ("Pavel bought half of the Silent Curlew"; "They towed the Silent Curlew to Dunvar Wharf"; which jetty leads to
what Pavel bought?). Baselines at the same k: BM25, dense search and their rank fusion over the turns, and the notes
without following links.
"""

from __future__ import annotations

import numpy as np

from remanence.core.card import Evidence
from remanence.kernels.analyzer import Analyzer
from remanence.mechanisms.records.a_mem import AMem
from remanence.scenarios.chains import ChainConversation, linked_notes, renamed_topics
from remanence.scenarios.model import Turn
from remanence.stores.embedders import StaticEmbedder
from remanence.substrates.records.mechanism import Item
from remanence.witnesses.records.recall import Baselines

K = 10


def witness(seed: int) -> Evidence:
    """Share of questions whose answer is among ten hits, beside the best of the baselines."""
    found = measure(seed)
    baselines = ("without links", "neither", "bm25", "dense", "rrf")
    return Evidence(f"recall@{K} of the answer", found["a_mem"], max(found[name] for name in baselines))


def measure(seed: int, *, k: int = K) -> dict[str, float]:
    """Recall@k of the answer of "a_mem", "without links", "without evolution", "neither", "bm25", "dense", "rrf"."""
    return _measured(linked_notes(seed), k)


def measure_renamed(seed: int, *, k: int = K) -> dict[str, float]:
    """The same arms where a topic got a new name and the note that answers knows only the old one. Here it is
    "without links" against "neither" that shows what evolution does."""
    return _measured(renamed_topics(seed), k)


def _measured(talk: ChainConversation, k: int) -> dict[str, float]:
    embedder = StaticEmbedder()
    baselines = Baselines(talk.turns, Analyzer(), embedder)
    now = talk.turns[-1].at
    memories: dict[str, tuple[AMem, dict[str, str]]] = {
        "a_mem": _remembered(AMem(embedder=embedder), talk),
        "without evolution": _remembered(AMem(embedder=embedder, evolve=False), talk),
    }
    for name, of in (("without links", "a_mem"), ("neither", "without evolution")):
        memory, turn_of = memories[of]
        memories[name] = AMem(store=memory.store, embedder=embedder, links=0.0), turn_of
    shares: dict[str, list[bool]] = {}
    for question in talk.questions:
        ranked = {name: [talk.turns[row].id for row in rows[:k]] for name, rows in baselines.rank(question.text)}
        for name, (memory, turn_of) in memories.items():
            ranked[name] = [turn_of[hit.sources[0]] for hit in memory.read(question.text, k, now=now)]
        for name, ids in ranked.items():
            shares.setdefault(name, []).append(question.gold[-1] in ids)
    return {name: float(np.mean(values)) for name, values in shares.items()}


def _remembered(memory: AMem, talk: ChainConversation) -> tuple[AMem, dict[str, str]]:
    """The memory after the conversation, session by session, and the scenario's turn that each id stands for."""
    sessions: dict[str, list[Turn]] = {}
    for turn in talk.turns:
        sessions.setdefault(turn.session, []).append(turn)
    turn_of: dict[str, str] = {}
    for turns in sessions.values():
        items = [Item(turn.text, speaker=turn.speaker, at=turn.at, session=turn.session) for turn in turns]
        turn_of.update(zip(memory.write(items, now=turns[-1].at), (turn.id for turn in turns), strict=True))
    return memory, turn_of
