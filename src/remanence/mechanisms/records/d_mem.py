"""D-Mem: answer fast from extracted memories, and read everything again where the answer does not stand up.

    A0     = answer(q | C),  C = filter(top 30 memories)                                          system 1
    pass   = relevant(A0, q) and faithful(A0, C) and complete(A0, q)                              the gate
    answer = A0 if pass else answer(q | facts of every chunk of the dialogue that bear on q)      system 2
    cost   = cost(fast) + [not pass] * cost(slow)                 tokens read

What an extractor left out is in no memory, but still in the dialogue. `answer` is where the three lines above stand.
Without a model the gate is a logistic regression on what speaks for an answer (`kernels.answerability`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar, Final

import numpy as np

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.answerability import Answerable, Asked, Gate, Passage, ask, holds, look, scanned, stated_values
from remanence.kernels.names import name_key
from remanence.kernels.packing import estimate_tokens
from remanence.substrates.chat import ChatModel
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.base import TURN, Scored, key_of
from remanence.substrates.records.families import distilling
from remanence.substrates.records.families.distilling import NUMBERS, TEXT, Distiller, Lesson, fields
from remanence.substrates.records.mechanism import Hit
from remanence.substrates.records.model import Record
from remanence.substrates.records.port import RecordStore

GATE: Final = Gate((-1.22, 0.0, 0.0, -6.25, 0.0, 0.0, -3.37), 7.0, 0.19)
"""Fitted on the dialogues of `witnesses.records.d_mem.calibrated`, whose seeds no witness uses."""

CARD = Card(
    slug="d_mem",
    substrate="records",
    title="D-Mem",
    paper="d_mem",
    claim="asking further where a gate says so is righter than asking further as often by chance, and recovers most of "
    "what reading everything gains at half of its cost",
    idea="Answers from a store of extracted memories, audits the answer, and only where it fails reads the whole "
    "dialogue again for this one question.",
    equation="answer = A0 if relevant and faithful and complete else answer(q | scan(dialogue, q)); "
    "cost = fast + [not pass] slow",
    source="",
    can=frozenset({"update", "forget", "consolidate"}),
    deviations=(
        "without a model, memories are claims read by rules, and an answer is the newest value of the matter asked "
        "for, or else the passage that fits best",
        "memories on the same matter of the same person are compared too, and not only those above the cosine",
        "what becomes of a memory (add, update, delete, nothing) is told by rules, also with a model",
        "without a model, the scan scores turns by BM25, cosine and names, a neighbour by one point less, and a turn "
        "that states the matter asked for by 5",
        "chunks of 20 turns, scores of 1 to 5 of which 3 is enough, at most 40 facts: the paper gives no numbers",
        "read() shows memories first where the gate passes and turns first where it does not, and leaves no trace",
    ),
)

CONTEXT: Final = 10
MEMORIES: Final = fields(memories={"type": "array", "items": fields(statement=TEXT, messages=NUMBERS)})
ANSWER: Final = fields(answer=TEXT)
AUDIT: Final = fields(relevant={"type": "boolean"}, faithful={"type": "boolean"}, complete={"type": "boolean"})
_FACT: Final = fields(statement=TEXT, score={"type": "integer"}, messages=NUMBERS)
FACTS: Final = fields(facts={"type": "array", "items": _FACT})

_EXTRACT = (
    "List what is worth remembering of the messages, each as a statement that stands alone, with the numbers of the "
    "messages that it rests on. What is known already, and the messages before, are there to understand them."
)
_REPLY = "Answer the question from the evidence alone, in as few words as possible. Where it says nothing, say so."
_AUDIT = (
    "Judge an answer. Relevant: it addresses the question. Faithful: the evidence supports it, and nothing in it "
    "speaks against it. Complete: every part of the question is answered."
)
_SCAN = (
    "List the facts in these messages that bear on the question, each as a statement that stands alone, scored from 1 "
    "(hardly) to 5 (decisive), with the numbers of the messages that it rests on. Often there are none."
)


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, the evidence, whether it was read slowly, how likely the fast one was wrong, and tokens read."""

    text: str
    hits: list[Hit]
    slow: bool
    wrong: float
    cost: int


class DMem(Distiller):
    """Memories, a gate, and the dialogue behind them.

    Args:
        top: memories that the fast answer is made from.
        similar: cosine above which memories in free words are compared.
        gate: tells how likely a fast answer is wrong.
        threshold: in 0..1, in place of the gate's: 0 never reads further, 1 always does.
        chunk: turns that a model reads at once.
        score: from 1 to 5, what a fact or turn needs to be kept.
        most: facts or turns that are kept.

    """

    card: ClassVar[Card] = CARD
    STATED: ClassVar[str] = "memory"

    def __init__(
        self,
        *,
        store: RecordStore | None = None,
        scope: Scope | None = None,
        embedder: Embedder | None = None,
        analyzer: Analyzer | None = None,
        llm: ChatModel | None = None,
        top: int = 30,
        similar: float = 0.8,
        gate: Gate = GATE,
        threshold: float | None = None,
        chunk: int = 20,
        score: float = 3.0,
        most: int = 40,
    ) -> None:
        super().__init__(store=store, scope=scope, embedder=embedder, analyzer=analyzer, llm=llm)
        if threshold is not None and not 0 <= threshold <= 1:
            raise InvalidInput(f"threshold={threshold} must be 0 (never read further) to 1 (always)")
        self.top = top
        self.similar = similar
        self.gate = gate if threshold is None else replace(gate, threshold=threshold)
        self.chunk = chunk
        self.score = score
        self.most = most

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        """Memories of the turns that were not read yet, two by two."""
        turns = self.open_turns(self.marker, now)
        if not turns:
            return []
        pairs = [turns[at : at + 2] for at in range(0, len(turns), 2)]
        if self.llm is None:
            read = iter(self.extracted(turns, now))
            lessons = [(pair, [one for _ in pair for one in next(read)]) for pair in pairs]
            return self.learn(lessons, now, threshold=self.similar)
        made: list[str] = []
        for at, pair in enumerate(pairs):
            lesson = self._extracted(pair, turns[max(0, 2 * at - CONTEXT) : 2 * at], now)
            made += self.learn([lesson], now, threshold=self.similar)
        return made

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        """Memories and then turns, or turns and then memories where the gate does not let the fast answer pass."""
        if not query.strip() or k <= 0:
            return []
        asked = self.asked(query, now)
        wrong = self.fast(asked, now)[2]
        memories = self.nearest(query, len(self.current(now).of(self.STATED)), kinds=(self.STATED,))
        turns = [(id, score / 5) for id, score in self._scanned(asked, now)]
        first, second = (turns, memories) if self.gate.distrusts(wrong) else (memories, turns)
        # The second list lies below the first, whatever the scores.
        floor = min((score for _, score in first), default=1.0)
        return self.hits([*first, *((id, floor + score - 2) for id, score in second)], k, now=now)

    def answer(self, query: str, *, now: datetime) -> Answered:
        """Fast, or slow where the fast answer does not pass the gate."""
        asked = self.asked(query, now)
        text, hits, wrong, _ = self.fast(asked, now)
        if not self.gate.distrusts(wrong):
            return Answered(text, hits, False, wrong, self.cost_of(hits))
        slow, found = self.slow(asked, now)
        return Answered(slow, found, True, wrong, self.cost_of(hits) + self.cost(now))

    def cost_of(self, hits: Sequence[Hit]) -> int:
        """Tokens that the fast path reads."""
        return sum(estimate_tokens(hit.text) for hit in hits)

    def cost(self, now: datetime) -> int:
        """Tokens that the slow path reads: those of all turns."""
        turns = self.current(now).of(TURN)
        return self.cached("d_mem:cost", lambda: sum(estimate_tokens(key_of(turn)) for turn in turns.values()))

    # Fast

    def fast(self, asked: Asked, now: datetime) -> tuple[str, list[Hit], float, Answerable]:
        """The answer from memories, the memories, how likely it is wrong, and what speaks for it."""
        hits = self.hits(self.nearest(asked.text, self.top, kinds=(self.STATED,)), self.top, now=now)
        hits = [one for one in hits if any(f" {name} " in f" {name_key(one.text)} " for name in asked.named)] or hits
        found = [(hit, hit.record) for hit in hits if hit.record is not None]
        passages = [Passage(hit.text, hit.score, stated_values(record.meta)) for hit, record in found]
        text = self._said(asked, passages, [record.event_at for _, record in found])
        seen = look(asked, passages, self.analyzer, text)
        material = {"question": asked.text, "answer": text, "evidence": [hit.text for hit in hits]}
        verdict = self.ask(_AUDIT, material, AUDIT)
        if verdict is None:
            return text, hits, self.gate.chance(seen), seen
        passed = verdict["relevant"] and verdict["faithful"] and verdict["complete"]
        return text, hits, float(not passed), seen

    def _said(self, asked: Asked, passages: Sequence[Passage], times: Sequence[datetime]) -> str:
        """An answer: a model's, the newest value of the matter, or the passage that fits best; "" for none."""
        if not passages:
            return ""
        answer = self.ask(_REPLY, {"question": asked.text, "evidence": [one.text for one in passages]}, ANSWER)
        if answer is not None and answer["answer"].strip():
            return str(answer["answer"]).strip()
        dated = zip(times, passages, strict=True)
        stated = [(at, value) for at, one in dated for key, value in one.states if key in asked.matters]
        if stated:
            return max(stated, key=lambda one: one[0])[1]

        def fits(one: Passage) -> tuple[float, float]:
            seen = look(asked, [one], self.analyzer)
            return seen.named + holds(asked, one.text) + 2 * seen.complete, seen.relevance

        return max(passages, key=fits).text

    def _extracted(self, pair: Sequence[Record], before: Sequence[Record], now: datetime) -> Lesson:
        """What a model remembers of two messages, given what is known and was said; or their claims."""
        near = {id: None for turn in pair for id, _ in self.nearest(turn.text, CONTEXT, kinds=(self.STATED,))}
        known = [record.text for record in self.get(list(near)[:CONTEXT]) if record is not None]
        material = {
            "messages": distilling.numbered(pair),
            "known": known,
            "before": [distilling.spoken(turn) for turn in before],
        }
        answer = self.ask(_EXTRACT, material, MEMORIES)
        if answer is None:
            return pair, [one for statements in self.extracted(pair, now) for one in statements]
        return pair, distilling.written(answer["memories"], pair)

    # Slow

    def slow(self, asked: Asked, now: datetime) -> tuple[str, list[Hit]]:
        """The answer from all that was said, and the turns that it is made from."""
        read = self._chunks(asked, now)
        if read is not None:
            cited: dict[str, float] = {}
            for source, score in ((span[0], score) for score, one in read for span in one.spans):
                cited.setdefault(source, float(score))
            passages = [Passage(one.text, score / 5) for score, one in read]
            text = self._said(asked, passages, [one.at for _, one in read])
            return text, self.hits(cited.items(), len(cited), now=now)
        turns = self.current(now).of(TURN)
        states = self.cached("d_mem:states", lambda: self._states(list(turns.values()), now))
        decisive = [id for id, found in states.items() if any(key in asked.matters for key, _ in found)]
        scores = {**dict(self._scanned(asked, now)), **dict.fromkeys(decisive, 5.0)}
        order = sorted(scores, key=lambda id: (-scores[id], id))
        kept = [id for id in order if scores[id] >= self.score][: self.most]
        passages = [Passage(distilling.spoken(turns[id]), scores[id] / 5, states[id]) for id in kept]
        text = self._said(asked, passages, [turns[id].event_at for id in kept])
        return text, self.hits([(id, scores[id]) for id in kept], len(kept), now=now)

    def _states(self, turns: Sequence[Record], now: datetime) -> dict[str, tuple[tuple[str, str], ...]]:
        """What each turn states, by its id."""
        found = zip(turns, self.stated_in(turns, now), strict=True)
        return {turn.id: tuple(pair for one in said for pair in stated_values(one)) for turn, said in found}

    def _chunks(self, asked: Asked, now: datetime) -> list[tuple[int, Any]] | None:
        """The facts that a model finds chunk by chunk, best first; None without a model or where it fails at one."""
        turns = list(self.current(now).of(TURN).values())
        found: list[tuple[int, Any]] = []
        for at in range(0, len(turns), self.chunk):
            part = turns[at : at + self.chunk]
            answer = self.ask(_SCAN, {"question": asked.text, "messages": distilling.numbered(part)}, FACTS)
            if answer is None:
                return None
            for row in (row for row in answer["facts"] if self.score <= row["score"] <= 5):
                found += [(row["score"], one) for one in distilling.written([row], part)]
        return sorted(found, key=lambda one: -one[0])[: self.most]

    def _scanned(self, asked: Asked, now: datetime) -> list[Scored]:
        """Every turn with a score of 1 to 5, best first; a turn is worth what its neighbours are, less one."""
        turns = self.current(now).of(TURN)
        if not turns:
            return []
        words = dict(self.lexical(asked.text, len(turns), kinds=(TURN,)))
        cosines = self.vectors_of(list(turns)) @ self.embed_query(asked.text)
        keys = self.cached("d_mem:keys", lambda: [f" {name_key(key_of(turn))} " for turn in turns.values()])
        named = [sum(f" {name} " in key for name in asked.named) / max(len(asked.named), 1) for key in keys]
        last: dict[str | None, int] = {}
        previous = []
        for at, turn in enumerate(turns.values()):
            previous.append(last.get(turn.scope.run_id, -1))
            last[turn.scope.run_id] = at
        bm25 = np.array([words.get(id, 0.0) for id in turns])
        scores = scanned(bm25, cosines.astype(np.float64), np.array(named), np.array(previous))
        ids = list(turns)
        return [(ids[at], float(scores[at])) for at in np.argsort(-scores, kind="stable").tolist()]

    def asked(self, query: str, now: datetime) -> Asked:
        """The question, read with the names of those who speak."""
        people = {turn.speaker for turn in self.current(now).of(TURN).values() if turn.speaker}
        return ask(query, now, self.analyzer, people)
