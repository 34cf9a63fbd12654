"""Think-in-Memory: conclusions are kept instead of turns, in hash buckets, and thought over again after each answer.

    F(x) = argmax([xR ; -xR])                      R [d, b/2] random and fixed; vectors alike share a bucket
    recall      the k nearest by cosine within the buckets F(q) and those next to it
    post-think  insert: thoughts of the new turns · forget: what a newer thought contradicts · merge: thoughts of one
                head and relation that hold together

A thought is a triple (head, relation, tail) in words. Where a thought names a person of whom others speak, the two
together give a conclusion, so that nobody has to draw it again at the next question.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from remanence.core.card import Card
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.buckets import BucketTable
from remanence.kernels.claims.model import Utterance
from remanence.kernels.dense import top
from remanence.kernels.thoughts import (
    Drawn,
    Joined,
    Triple,
    conclusions,
    draw,
    found_by,
    idle,
    meaning,
    remainder,
    settle,
)
from remanence.substrates.chat import ChatModel, Schema
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.base import GONE, KEY, TURN, RecordMemory, whole
from remanence.substrates.records.mechanism import Hit
from remanence.substrates.records.model import Draft, Record, Source, State
from remanence.substrates.records.port import RecordStore

CARD = Card(
    slug="think_in_memory",
    substrate="records",
    title="Think-in-Memory (TiM)",
    paper="think_in_memory",
    claim="answers a question over two facts alike in whatever words it is asked, where reasoning anew does not",
    idea="Conclusions are drawn once, when something was said, and kept in buckets of a random rotation hash; later "
    "thoughts push out what they contradict and merge with what they continue.",
    equation="F(x) = argmax([xR ; -xR]); read: top-k cos(q, x) over x with F(x) in the probed buckets",
    can=frozenset({"update", "forget"}),
    deviations=(
        "without a model: thoughts are claims found by rules, and the sentences in which the rules find none",
        "b = 2 ceil(log2 N) + 2 buckets for N thoughts, so the table is made anew as N grows; probes go on beyond "
        "`probes` buckets until `pool` thoughts were seen, because one bucket loses recall",
        "without a model: forgetting and merging compare thoughts of one head and relation in whatever buckets they "
        "lie; a model sees one bucket at a time, as in the paper",
        "forgotten and merged thoughts are put away, not deleted, and come back when what displaced them is forgotten",
        "conclusions over two thoughts join a person's name; they are not joined further",
    ),
)
THOUGHT, MERGED, CONCLUSION, VERDICT = "thought", "merged", "conclusion", "verdict"
_READ = (THOUGHT, MERGED, CONCLUSION)
_BATCH, _BUCKET, _BEFORE = 20, 24, 4
"""Turns per question to a model, thoughts of a bucket shown to it, turns looked back at for what words refer to."""
_TEXT: Schema = {"type": "string"}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "additionalProperties": False, "required": [*properties], "properties": properties}


def _list(**properties: Schema) -> Schema:
    return {"type": "array", "items": _object(**properties)}


_THOUGHTS = _object(thoughts=_list(turn=_TEXT, head=_TEXT, relation=_TEXT, tail=_TEXT, text=_TEXT))
_IDS: Schema = {"type": "array", "items": _TEXT}
_JUDGED = _object(forget=_list(id=_TEXT, because=_TEXT), merge=_list(ids=_IDS, text=_TEXT))
_THINK = (
    "From these turns of a conversation draw thoughts worth remembering: each a relation between a head and a tail, "
    "and in `text` one sentence that is understood without the conversation (names for pronouns, dates for today). "
    "`turn` is the id of the turn that says it. Leave out small talk."
)
_JUDGE = (
    "These thoughts lie in one bucket of a memory, oldest first. forget: ids of thoughts that a newer one contradicts "
    "or makes needless, with the id of that newer one as `because`. merge: ids of thoughts about the same head that "
    "are better said in one, and the `text` that says all of them. Leave everything else alone."
)


class ThinkInMemory(RecordMemory):
    """Thoughts in hash buckets.

    `probes`: buckets looked into at least; `pool`: thoughts compared at least, where there are as many. `buckets`: b of
    the paper, an even number; None: from the number of thoughts. `idle`: weight of what is kept beside the thoughts,
    texts that only ask or say nothing, and sentences that say more than the thoughts drawn from them. `conclude`:
    whether conclusions are drawn. `seed` of the matrix R.
    """

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        *,
        store: RecordStore | None = None,
        scope: Scope | None = None,
        embedder: Embedder | None = None,
        analyzer: Analyzer | None = None,
        llm: ChatModel | None = None,
        probes: int = 3,
        pool: int = 128,
        buckets: int | None = None,
        idle: float = 0.5,
        conclude: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(store=store, scope=scope, embedder=embedder, analyzer=analyzer, llm=llm)
        self.probes = probes
        self.pool = pool
        self.buckets = buckets
        self.idle = idle
        self.conclude = conclude
        self.seed = seed

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        """The nearest thoughts in the query's own buckets."""
        if not query.strip() or k <= 0:
            return []
        table = self.table()
        vector = self.embed_query(query)
        rows = table.near(vector, self.probes, max(self.pool, k))
        scores = table.vectors[rows] @ vector * self.cached("weights", self._weights)[rows]
        return self.hits([(table.ids[rows[i]], float(scores[i])) for i in top(scores, k).tolist()], k, now=now)

    def table(self) -> BucketTable:
        """All thoughts that count, in their buckets."""
        return self.cached("table", self._table)

    def _kept(self) -> list[Record]:
        current = self.current(self._latest)
        return [one for kind in _READ for one in current.of(kind).values() if not one.hidden]

    def _weights(self) -> NDArray[np.float32]:
        return np.array([self.idle if self._beside(one) else 1.0 for one in self._kept()], np.float32)

    def _beside(self, one: Record) -> bool:
        drawn = one.kind != THOUGHT or "triple" in one.meta
        return not drawn and ("beside" in one.meta or idle(one.text, self.analyzer))

    def _table(self) -> BucketTable:
        ids = [one.id for one in self._kept()]
        return BucketTable(
            ids, self.vectors_of(ids), self.buckets or 2 * math.ceil(math.log2(max(len(ids), 2))) + 2, self.seed
        )

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        """Insert the thoughts of new turns, then forget, merge and conclude."""
        turns = self.open_turns(THOUGHT, now)
        made = self.keep(self._thoughts(turns, now), now) if turns else []
        if made and self.llm is not None:
            self._judge(made, now)
        return [*made, *self._settle(now)]

    def _thoughts(self, turns: Sequence[Record], now: datetime) -> list[Draft]:
        """Thoughts of turns: those of the model, else claims, and the sentences without any."""
        everything = list(self.current(now).of(TURN).values())
        place = {turn.id: i for i, turn in enumerate(everything)}
        people = {turn.speaker for turn in everything if turn.speaker}
        thought = self._asked(turns)
        for turn in turns:
            if turn.id not in thought:
                at = place[turn.id]
                before = [_utterance(one) for one in everything[max(0, at - _BEFORE) : at]]
                thought[turn.id] = list(self._ruled(turn, draw(_utterance(turn), before, people)))
        return [draft for turn in turns for draft in thought[turn.id]]

    def _ruled(self, turn: Record, drawn: Sequence[Drawn]) -> Iterator[Draft]:
        spans = [Source(turn.id, one.start, one.end) for one in drawn]
        for one, span in zip(drawn, spans, strict=True):
            meta = {"triple": [one.head, one.relation, one.tail], "denied": one.denied, "old": one.old,
                    "says": one.text, KEY: found_by(one.text, one.relation)}  # fmt: skip
            yield Draft(one.text, kind=THOUGHT, event_at=turn.event_at, sources=(span,), meta=meta)
        if not drawn:
            yield Draft(turn.text, kind=THOUGHT, event_at=turn.event_at, speaker=turn.speaker, sources=whole(turn))
            return
        for beside, found in enumerate(remainder(turn.text, drawn, self.analyzer)):
            text = " ".join(turn.text[start:end] for start, end in found)
            if meaning(text, self.analyzer):
                sources = tuple(Source(turn.id, start, end) for start, end in found)
                meta = {"beside": True} if beside else {}
                yield Draft(text, THOUGHT, event_at=turn.event_at, speaker=turn.speaker, sources=sources, meta=meta)

    def _asked(self, turns: Sequence[Record]) -> dict[str, list[Draft]]:
        """What the model thinks, by turn; turns of which it says nothing are left to the rules."""
        found: dict[str, list[Draft]] = {}
        for begin in range(0, len(turns) if self.llm is not None else 0, _BATCH):
            shown = {turn.id: turn for turn in turns[begin : begin + _BATCH]}
            material = {"turns": [{"id": turn.id, "said by": turn.speaker, "at": turn.event_at, "text": turn.text}
                                  for turn in shown.values()]}  # fmt: skip
            answer = self.ask(_THINK, material, _THOUGHTS)
            for one in answer["thoughts"] if answer is not None else ():
                turn, text = shown.get(one["turn"]), one["text"].strip()
                if turn is not None and text:
                    relation = "_".join(one["relation"].lower().split())
                    meta = {"triple": [one["head"], relation, one["tail"]], "denied": False, "old": None, "says": text}
                    draft = Draft(text, kind=THOUGHT, event_at=turn.event_at, sources=whole(turn), meta=meta)
                    found.setdefault(turn.id, []).append(draft)
        return found

    def _judge(self, made: Sequence[str], now: datetime) -> None:
        """Let the model forget and merge within the buckets of new thoughts."""
        table = self.table()
        bucket_of = table.bucket_of
        for bucket in sorted({bucket_of[id] for id in made if id in bucket_of}):
            shown = [one for id in table.bucket(bucket) if (one := self.current(now).get(id)) and one.kind == THOUGHT]
            known = {one.id: one for one in shown[-_BUCKET:]}
            if len(known) < 2:
                continue
            material = {"thoughts": [{"id": one.id, "at": one.event_at, "text": one.text} for one in known.values()]}
            answer = self.ask(_JUDGE, material, _JUDGED)
            drafts = []
            for verdict in answer["forget"] if answer is not None else ():
                gone, newer = known.get(verdict["id"]), known.get(verdict["because"])
                if gone is not None and newer is not None and gone is not newer:
                    meta = {"forget": gone.id}
                    drafts.append(Draft("put away", kind=VERDICT, sources=whole(gone, newer), meta=meta))
            for merge in answer["merge"] if answer is not None else ():
                parts = [known[id] for id in dict.fromkeys(merge["ids"]) if id in known]
                text = merge["text"].strip()
                if len(parts) > 1 and text:
                    meta, at = {"by": "model"}, max(one.event_at for one in parts)
                    drafts.append(Draft(text, MERGED, event_at=at, sources=whole(*parts), meta=meta))
            self.keep(drafts, now)

    def _settle(self, now: datetime) -> list[str]:
        """Put away, take back, merge and conclude, until everything is as the thoughts have it; ids of changes."""
        current = self.current(now)
        thoughts = current.of(THOUGHT)
        away = {verdict.meta["forget"] for verdict in current.of(VERDICT).values()}
        told = {part.id for one in current.of(MERGED).values() if one.meta.get("by") for part in one.sources}
        stated = {id: _triple(one) for id, one in thoughts.items() if id not in away}
        triples = {id: triple for id, triple in stated.items() if triple is not None}
        settled = settle(triples.values())
        away.update(settled.displaced)
        merged = told.union(*(joined.parts for joined in settled.merged))
        changes = {}
        for id, one in thoughts.items():
            state: State = "archived" if id in away else "merged" if id in merged else "generated"
            if one.state != state:
                changes[id] = replace(self.redrafted(one), state=state)
        if changes:
            self.revise(changes, now)
        stand = [triples[id] for id in settled.stand]
        follows = conclusions(stand) if self.conclude else []
        return [*changes, *self._match(MERGED, settled.merged, now), *self._match(CONCLUSION, follows, now)]

    def _match(self, kind: str, wanted: Iterable[Joined], now: datetime) -> list[str]:
        """Make what is kept of a kind what is wanted; ids of what was made."""
        current = self.current(now)
        missing = {(joined.text, frozenset(joined.parts)): joined for joined in wanted}
        closed = []
        for id, one in current.of(kind).items():
            if not one.meta.get("by") and missing.pop((one.text, frozenset(s.id for s in one.sources)), None) is None:
                closed.append(id)
        self.close(closed)
        gone = {
            frozenset(s.id for s in mark.sources) for mark in current.of(GONE).values() if mark.meta["kind"] == kind
        }
        drafts = []
        for joined in missing.values():
            parts = [part for id in joined.parts if (part := current.get(id)) is not None]
            if frozenset(joined.parts) not in gone:
                at = max(part.event_at for part in parts)
                meta = {KEY: found_by(joined.text, joined.relation)}
                drafts.append(Draft(joined.text, kind=kind, event_at=at, sources=whole(*parts), meta=meta))
        return self.keep(drafts, now) if drafts else []


def _triple(record: Record) -> Triple | None:
    """The triple of a thought; None where it has none, or says something else by now."""
    meta = record.meta
    if meta.get("says") != record.text:
        return None
    head, relation, tail = meta["triple"]
    return Triple(record.id, head, relation, tail, record.event_at, meta["denied"], meta["old"])


def _utterance(turn: Record) -> Utterance:
    return Utterance(turn.id, turn.text, turn.event_at, turn.speaker, turn.role)
