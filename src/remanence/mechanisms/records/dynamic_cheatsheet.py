"""Dynamic Cheatsheet: a model that stays as it is, and one short text of what helped, rewritten after each answer.

    cumulative:   y_i = Gen(x_i, M_i),   M_{i+1} = Cur(M_i, x_i, y_i)
    retrieval:    R_i = the k earlier (x_j, y_j) with the greatest cos(x_i, x_j)
                  M_i = Cur(M_{i-1}, x_i, R_i),   y_i = Gen(x_i, M_i)

No answer is known to be right: the curator judges by itself. `messages` is what the generator is asked with, `write`
takes the question and its answer, and curates. The sheet is replaced as a whole, in one transaction; where the curator
writes no complete sheet, the old one stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from remanence.core.card import Card
from remanence.core.errors import EmbeddingError, InvalidInput, LLMError
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.cheatsheet import CURATE, Item, Served, Stated, note, parse, render, rewrite, trim
from remanence.substrates.chat import ChatModel, Message
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.base import GONE, TURN, RecordMemory, whole
from remanence.substrates.records.mechanism import Hit
from remanence.substrates.records.model import Draft, Record, Source
from remanence.substrates.records.operations import Close, Operation, Put, Revise
from remanence.substrates.records.port import RecordStore

CARD = Card(
    slug="dynamic_cheatsheet",
    substrate="records",
    title="Dynamic Cheatsheet",
    paper="dynamic_cheatsheet",
    claim="given room for all rules, solves more of a stream of puzzles than as much history or similar answers",
    idea="A curator rewrites one short sheet of snippets and strategies after each answer, not knowing what is right.",
    equation="M_{i+1} = Cur(M_i, x_i, y_i);  or M_i = Cur(M_{i-1}, x_i, top-k (x_j, y_j) by cos(x_i, x_j))",
    source="suzgunmirac/dynamic-cheatsheet",
    can=frozenset({"update", "forget", "consolidate"}),
    deviations=(
        "without a model the curator keeps code blocks and stated rules, and drops the least count times recency",
        "items are alike from a cosine of 0.9 only if their numbers, and in code all words, are equal",
        "counts are not taken from the model's figures: it says that an item was used, the uses are counted",
        "an empty sheet in place of a full one is no sheet; where the model gives none, rules take in the answer",
        "the generator is the caller's: one round, and code that a model wrote is not run",
        "a rewritten item rests on the question at hand and on the items that went in the same rewriting",
        "reads show items and earlier exchanges by cosine",
    ),
)

PAIR: Final = "exchange"
ENTRY: Final = "item"
Variant = Literal["cumulative", "retrieval"]

_GENERATE: Final = (
    "Solve the question. The cheatsheet holds what helped with earlier questions: use what fits, and do not trust it "
    "blindly. Show your way, and code where it helps."
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question with its number, and its answer where there is one. `id`: of its record; empty before it has one."""

    number: int
    turns: tuple[Record, ...]
    id: str = ""

    @property
    def served(self) -> Served:
        """Question and answer."""
        asked, *answered = self.turns
        rests = frozenset(turn.id for turn in self.turns)
        return Served(self.number, asked.text, "\n".join(turn.text for turn in answered), rests, not self.id)


class DynamicCheatsheet(RecordMemory):
    """`variant`: when the sheet is curated, after an answer or before one. `retrieved`: earlier exchanges that are
    looked at for that (k). `budget`: tokens of the sheet. `max_tokens`: of an answer; a curator may write twice as
    much. An exchange is what the role user says and the reply of the role assistant."""

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        *,
        store: RecordStore | None = None,
        scope: Scope | None = None,
        embedder: Embedder | None = None,
        analyzer: Analyzer | None = None,
        llm: ChatModel | None = None,
        variant: Variant = "cumulative",
        retrieved: int = 3,
        budget: int = 2000,
        max_tokens: int = 2048,
    ) -> None:
        super().__init__(store=store, scope=scope, embedder=embedder, analyzer=analyzer, llm=llm)
        if variant not in get_args(Variant):
            raise InvalidInput(f"variant={variant!r} is none of {', '.join(get_args(Variant))}")
        self.variant, self.retrieved, self.budget, self.max_tokens = variant, retrieved, budget, max_tokens

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        """Take in exchanges as soon as they are complete; with a model the sheet is kept after each."""
        first = 1 + max((one.number for one in self.exchanges(now)), default=0)
        waiting = [Exchange(first + at, turns) for at, turns in enumerate(self._complete(now, flush))]
        batches = [waiting] if self.llm is None else [[one] for one in waiting]
        return [id for batch in batches if batch for id in self._take(batch, now)]

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        """Items and exchanges by cosine, and turns that still wait for their answer."""
        if not query.strip() or k <= 0:
            return []
        vector = self.embed_query(query)
        waiting = [turn.id for turn in self.open_turns(PAIR, now)]
        cosines = (self.vectors_of(waiting) @ vector).tolist() if waiting else []
        found = [*self.nearest(vector, k, kinds=(ENTRY, PAIR)), *zip(waiting, cosines, strict=True)]
        return self.hits(sorted(found, key=lambda pair: (-pair[1], pair[0])), k, now=now)

    def forget(self, ids: Sequence[str], *, now: datetime) -> int:
        """As ever; an item that is forgotten is not taken again from the exchanges that used it."""
        current = self.current(now)
        used = [pair for id in ids if id in current.of(ENTRY) for pair in current.citing(id)]
        turns = [source for pair in used if pair in current.of(PAIR) for source in current.of(PAIR)[pair].sources]
        marks = [Draft("forgotten", kind=GONE, meta={"kind": ENTRY}, sources=(source,))
                 for source in dict.fromkeys(turns) if source.id in current.of(TURN)]  # fmt: skip
        if marks:
            self.keep(marks, now)
        return super().forget(ids, now=now)

    def sheet(self, now: datetime) -> str:
        """The cheatsheet as a model is shown it."""
        return render(self.items(now))

    def messages(self, question: str, *, now: datetime) -> list[Message]:
        """What to ask a generator with; the variant "retrieval" rewrites the sheet for the question first."""
        if self.variant == "retrieval":
            self.synthesise(question, now=now)
        shown = f"CHEATSHEET:\n{self.sheet(now) or '(empty)'}\n\n<question>\n{question}\n</question>"
        return [{"role": "system", "content": _GENERATE}, {"role": "user", "content": shown}]

    def synthesise(self, question: str, *, now: datetime) -> list[str]:
        """M_i = Cur(M_{i-1}, x_i, R_i); ids of the items that were made or changed."""
        self._latest = max(self._latest, now)
        near, sheet, refused = self.similar(question, now), self.items(now), self._refused(now)
        served = [(one.served, cosine) for one, cosine in reversed(near)]
        shown = "\n\n".join(
            f"EARLIER QUESTION (Q{one.number}, similarity {cosine:.2f}):\n{one.question}\n"
            f"WHAT WAS ANSWERED (may be wrong):\n{one.answer}"
            for one, cosine in served
        )
        stated = self._curated(sheet, f"{shown}\n\n<question>\n{question}\n</question>") if near else None
        if stated is not None:
            sheet = rewrite(sheet, stated, [one for one, _ in served], self._cosines, refused)
        else:
            for one, _ in served:
                note(sheet, one, self._cosines, refused)
        latest = max((one.number for one in self.exchanges(now)), default=0)
        return self._replace(trim(sheet, self.budget, latest), (), now)

    def similar(self, question: str, now: datetime) -> list[tuple[Exchange, float]]:
        """R_i: earlier exchanges whose questions are nearest, nearest first."""
        known = [one for one in self.exchanges(now) if len(one.turns) > 1]
        if not known:
            return []
        cosines = self.vectors_of([one.turns[0].id for one in known]) @ self.embed_query(question)
        order = np.argsort(-cosines, kind="stable")[: max(self.retrieved, 0)].tolist()
        return [(known[at], float(cosines[at])) for at in order]

    def exchanges(self, now: datetime) -> list[Exchange]:
        """All that was taken in, in order."""
        current = self.current(now)
        turns = current.of(TURN)
        return [
            Exchange(pair.meta["number"], tuple(turns[one.id] for one in pair.sources if one.id in turns), pair.id)
            for pair in current.of(PAIR).values()
        ]

    def items(self, now: datetime) -> list[Item]:
        """The items of the sheet. How often one was used is how many exchanges say so."""
        current = self.current(now)
        pairs = current.of(PAIR)
        found = []
        for entry in current.of(ENTRY).values():
            uses = {pairs[id].meta["number"] for id in current.citing(entry.id) if id in pairs}
            found.append(Item(**entry.meta, uses=uses, rests={one.id for one in entry.sources}, id=entry.id))
        return found

    # Curation

    def _take(self, batch: Sequence[Exchange], now: datetime) -> list[str]:
        sheet, refused = self.items(now), self._refused(now)
        for one in (each.served for each in batch):
            if self.variant == "retrieval":
                for item in sheet:
                    item.uses |= {one.number} if one.shows(item) else set()
            elif one.answer:
                asked = f"<question>\n{one.question}\n</question>\nThis is Q{one.number}."
                stated = self._curated(sheet, f"{asked}\n\nMODEL ANSWER:\n{one.answer}")
                if stated is None:
                    note(sheet, one, self._cosines, refused)
                else:
                    sheet = rewrite(sheet, stated, [one], self._cosines, refused)
                sheet = trim(sheet, self.budget, one.number)
        return self._replace(sheet, batch, now)

    def _curated(self, sheet: Sequence[Item], shown: str) -> list[Stated] | None:
        """The sheet that a model writes; None without a model, when it fails, and when it writes none."""
        if self.llm is None:
            return None
        before = f"PREVIOUS CHEATSHEET:\n{render(sheet) or '(empty)'}\n\n{shown}"
        asked = [{"role": "system", "content": CURATE}, {"role": "user", "content": before}]
        try:
            reply = self.llm.complete(asked, max_tokens=2 * self.max_tokens)
        except LLMError as error:
            self.troubles.append(f"{type(error).__name__}: {error}")
            return None
        self.usage = self.usage + reply.usage
        stated = parse(reply.text)
        if stated is None or (sheet and not stated):
            self.troubles.append(f"a curator wrote no cheatsheet: {reply.text[:80]!r}")
            return None
        return stated

    def _replace(self, sheet: Sequence[Item], taken: Iterable[Exchange], now: datetime) -> list[str]:
        """Put a sheet in the place of the old one, in one transaction; then note which exchanges used what."""
        held = self.current(now).of(ENTRY)
        drafts = self.derive([self._entry(item, now) for item in sheet])
        changed = [
            (item, draft)
            for item, draft in zip(sheet, drafts, strict=True)
            if not item.id or (draft.meta, draft.sources) != (dict(held[item.id].meta), held[item.id].sources)
        ]
        operations: list[Operation] = [
            Revise(item.id, replace(draft, valid_from=now)) if item.id else Put(draft) for item, draft in changed
        ]
        operations += [Close(id) for id in sorted(held.keys() - {item.id for item in sheet})]
        for (item, _), made in zip(changed, self.commit(operations), strict=False):
            item.id = made.id
        self._embed_pending()
        used: dict[int, list[Item]] = defaultdict(list)
        for item in sheet:
            for number in item.uses:
                used[number].append(item)
        fresh = [_pair(one, used[one.number]) for one in taken if not one.id]
        again = {}
        for one in self.exchanges(now):
            cited = {source.id for source in self.current(now).of(PAIR)[one.id].sources}
            if not {item.id for item in used[one.number]} <= cited:
                again[one.id] = _pair(one, used[one.number])
        self.revise(again, now)
        return [*(item.id for item, _ in changed), *again, *(self.keep(fresh, now) if fresh else ())]

    def _entry(self, item: Item, now: datetime) -> Draft:
        turns = [turn for id in sorted(item.rests) if (turn := self.current(now).get(id)) is not None]
        told = max((turn.event_at for turn in turns), default=now)
        meta = {"description": item.description, "example": item.example, "section": item.section}
        origin = f"mechanism:{self.card.slug}"
        return Draft(item.text, kind=ENTRY, event_at=told, sources=whole(*turns), meta=meta, origin=origin)

    def _cosines(self, item: Item | Stated, others: Sequence[Item]) -> NDArray[np.float32]:
        """[others] cosines of texts; zeros where the embedder fails."""
        try:
            vectors = self.embedder.embed([f"{one.description}\n{one.example}".strip() for one in (item, *others)])
        except EmbeddingError as error:
            self.troubles.append(f"{type(error).__name__}: {error}")
            vectors = np.zeros((1 + len(others), 1), np.float32)
        return np.asarray(vectors[1:] @ vectors[0])

    def _refused(self, now: datetime) -> Collection[str]:
        """Turns from which no new item is to be taken, because one of theirs was forgotten."""
        marks = self.current(now).of(GONE).values()
        return {source.id for mark in marks if mark.meta["kind"] == ENTRY for source in mark.sources}

    def _complete(self, now: datetime, flush: bool) -> list[tuple[Record, ...]]:
        """Exchanges of turns that are in none yet: a question and its reply, or a turn alone that is no question."""
        asked: dict[str | None, Record] = {}
        found: list[tuple[Record, ...]] = []
        for turn in self.open_turns(PAIR, now):
            before = asked.pop(turn.scope.run_id, None)
            if before is not None:
                found.append((before, turn) if turn.role == "assistant" else (before,))
            if turn.role == "user":
                asked[turn.scope.run_id] = turn
            elif before is None or turn.role != "assistant":
                found.append((turn,))
        return sorted([*found, *((turn,) for turn in asked.values() if flush)], key=lambda turns: turns[0].id)


def _pair(one: Exchange, used: Sequence[Item]) -> Draft:
    voices = [turn.speaker or turn.role for turn in one.turns]
    text = "\n".join(f"{who}: {turn.text}" if who else turn.text for who, turn in zip(voices, one.turns, strict=True))
    sources = (*whole(*one.turns), *(Source(item.id, 0, len(item.text)) for item in used))
    return Draft(text, kind=PAIR, event_at=one.turns[0].event_at, sources=sources, meta={"number": one.number})
