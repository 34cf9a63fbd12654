"""MemRL: experiences carry a learnt utility; what is similar is shortlisted, what has helped is taken.

    phase A   the k1 intents with the greatest cos(q, z) >= delta; none: act without memory
    phase B   score = (1 - lambda) s^ + lambda Q^,   s^ = (cos - mean) / std,  Q^ = z-score among candidates, within ±3
    feedback  Q <- Q + alpha (r - Q)   for every experience that was handed out

The utility is the record's `utility`, its visits are the record's `hits`. Nothing is trained but these numbers. What
phase A leaves out no utility can bring back: `candidates` shows it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.card import Card
from remanence.core.errors import EmbeddingError, InvalidInput, NotFound
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.utilities import blended, file_under, moved, spread
from remanence.substrates.chat import ChatModel, Schema
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.base import KEY, RecordMemory, whole
from remanence.substrates.records.mechanism import Hit
from remanence.substrates.records.model import Draft, Edge, Record
from remanence.substrates.records.operations import Touch
from remanence.substrates.records.port import RecordStore

CARD = Card(
    slug="mem_rl",
    substrate="records",
    title="MemRL: runtime reinforcement learning on episodic memory",
    paper="mem_rl",
    claim="learns from rewards which of many similar memories helps, where the most similar one is the worst",
    idea="Retrieval filters by similarity and ranks by similarity and a utility that rewards move; no weights change.",
    equation="score = (1 - lambda) s^ + lambda Q^;  Q <- Q + alpha (r - Q) for each memory that was handed out",
    source="MemTensor/MemRL",
    can=frozenset({"update", "forget", "feedback"}),
    deviations=(
        "k2 of the paper is the k of a read, and the shortlist has max(k1, k) intents",
        "delta is off unless given: the published values (.62, .35, .25) belong each to an embedder and a data set",
        "mean and std of similarities, constants per data set in the public code, come from the stored intents unless "
        "given",
        "without a model: script = names of the operations; reflection = the last error and the step before it",
        "exploration is drawn from seed, query and visits, so that a read repeated before any feedback is the same",
        "a running average of rewards is not kept besides Q, which is one; the mode that edits in place is left out",
        "items without a task in their meta are experiences whose intent is their own text",
    ),
)
EXPERIENCE, REFLECTS = "experience", "reflects_on"
_KEY, _SAMPLE, _STEPS = 4096, 256, 5
"""Characters of an intent, intents that similarities are averaged over, steps of a script."""
_ERROR = re.compile(
    r"\b(?:error|fail\w*|cannot|can't|closed|locked|wrong|unknown|invalid|nothing|not)\b", re.IGNORECASE
)
_TOLD: Schema = {
    "type": "object",
    "additionalProperties": False,
    "required": ["text"],
    "properties": {"text": {"type": "string"}},
}
_SCRIPT = (
    "From this record of a solved task write a script of three to five short, general steps that would solve tasks of "
    "this kind again: no names or numbers of this one task."
)
_REFLECT = (
    "From this record of a failed task write what went wrong, which approach failed, and what to do instead, in a few "
    "sentences."
)


class Candidate(NamedTuple):
    """An experience of the shortlist, and the cosine of its intent with the query."""

    id: str
    similarity: float


class MemRL(RecordMemory):
    """Experiences with utilities.

    An item is an experience; its `meta` may say `task` (what was to be done), `success` (False: what is kept of it is
    a reflection) and `used` (ids of the experiences that it was done with).

    `k1`: intents in the shortlist; `delta`: least cosine (the paper: .25 to .62); `weight`: lambda, the weight of
    utility; `alpha`: step; `initial`: Q before any feedback; `floor`: least Q; `drop`: candidates with a smaller Q are
    left out; `epsilon`: chance that a place goes to any candidate; `same`: cosine from which two intents are one;
    `mean`, `std` of similarities in the data set, None: of the stored intents.
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
        k1: int = 5,
        delta: float = -1.0,
        weight: float = 0.5,
        alpha: float = 0.3,
        initial: float = 0.0,
        floor: float | None = None,
        drop: float = -10.0,
        epsilon: float = 0.0,
        same: float = 0.9,
        mean: float | None = None,
        std: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(store=store, scope=scope, embedder=embedder, analyzer=analyzer, llm=llm)
        self.k1 = k1
        self.delta = delta
        self.weight = weight
        self.alpha = alpha
        self.initial = initial
        self.floor = floor
        self.drop = drop
        self.epsilon = epsilon
        self.same = same
        self.mean = mean
        self.std = std
        self.seed = seed

    def candidates(self, query: str, k1: int) -> list[Candidate]:
        """Phase A: all experiences of the `k1` intents most similar to the query, nearest intent first."""
        table = self.cached("intents", self._table)
        asked = query[:_KEY].strip()
        if not table.ids or not asked or k1 <= 0:
            return []
        cosines = table.vectors @ self.embed_query(asked)
        # The same words are the same intent, also where they have no vector.
        cosines[[place for place, task in enumerate(table.tasks) if task == asked]] = 1.0
        best = np.full(len(table.members), -np.inf, np.float32)
        np.maximum.at(best, table.groups, cosines)
        order = [group for group in np.argsort(-best, kind="stable")[:k1].tolist() if best[group] >= self.delta]
        return [Candidate(table.ids[place], float(best[group])) for group in order for place in table.members[group]]

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        """Phase B: the `k` candidates with the best blend of similarity and utility."""
        if k <= 0:
            return []
        self.current(now)
        shortlist = self.candidates(query, max(self.k1, k))
        records = (
            [record for record in self.get([one.id for one in shortlist]) if record is not None] if shortlist else []
        )
        values = {record.id: self.value(record) for record in records if self.value(record) >= self.drop}
        known = [one for one in shortlist if one.id in values]
        if not known:
            return []
        mean, std = self.cached("similarities", self._similarities)
        similarities = (np.array([one.similarity for one in known]) - mean) / std
        scores, utilities = blended(similarities, np.array([values[one.id] for one in known]), self.weight)
        chosen = np.argsort(-scores, kind="stable").tolist()
        rng = random.Random(f"{self.seed}/{query}/{sum(record.hits for record in records)}")
        for place in range(min(k, len(chosen))):
            if rng.random() < self.epsilon:
                chosen.insert(place, chosen.pop(rng.randrange(place, len(chosen))))
        picked = sorted(chosen[:k], key=lambda i: -scores[i])
        parts = {known[i].id: {"similarity": float(similarities[i]), "utility": float(utilities[i])} for i in picked}
        return self.hits([(known[i].id, float(scores[i])) for i in picked], k, now=now, channels=parts)

    def value(self, record: Record) -> float:
        """The utility Q of an experience as `get` gives it."""
        return record.utility if record.hits else self.initial

    def feedback(self, ids: Sequence[str], reward: float, *, now: datetime) -> None:
        """Move the utility of experiences (or of those made of the turns named) towards a reward. `NotFound`."""
        if not np.isfinite(reward):
            raise InvalidInput(f"reward {reward} is no finite number")
        current = self.current(now)
        asked: dict[str, None] = {}
        for id in ids:
            citing = [one for one in current.citing(id) if one in current.of(EXPERIENCE)]
            asked.update(dict.fromkeys([id] if id in current.of(EXPERIENCE) else citing))
            if id not in current.of(EXPERIENCE) and not citing:
                raise NotFound(f"no experience {id} in {self.scope}; ids come from read() or write()")
        touches = []
        for record in self.get(list(asked)) if asked else []:
            if record is not None:
                value = moved(self.value(record), reward, self.alpha, self.floor)
                touches.append(Touch((record.id,), now, utility=value))
        self.commit(touches)

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        """An experience of each new turn, filed under an intent of its own or one that is as good as the same."""
        turns = self.open_turns(EXPERIENCE, now)
        if not turns:
            return []
        keys = [_key(turn) for turn in turns]
        try:
            vectors = self.embedder.embed(keys)
        except EmbeddingError as error:
            self.troubles.append(f"{type(error).__name__}: {error}")
            vectors = np.zeros((len(turns), self.embedder.space.dim), np.float32)
        table = self._table()
        intents = file_under(vectors, table.vectors, table.intents, [turn.id for turn in turns], self.same)
        drafts = [self._experience(*one) for one in zip(turns, keys, intents, strict=True)]
        made = self.keep(drafts, now)
        current = self.current(now)
        self.link(
            Edge(id, used, REFLECTS)
            for id, turn in zip(made, turns, strict=True)
            if turn.meta.get("success") is False
            for used in _ids(turn.meta.get("used"))
            if current.get(used) is not None
        )
        return made

    def _experience(self, turn: Record, key: str, intent: str) -> Draft:
        task, failed = turn.meta.get("task"), turn.meta.get("success") is False
        text, confidence = turn.text, 1.0
        if isinstance(task, str) and task.strip():
            answer = self.ask(_REFLECT if failed else _SCRIPT, {"task": task, "record": turn.text}, _TOLD)
            told = "" if answer is None else answer["text"].strip()
            if failed:
                text, confidence = f"TASK REFLECTION: {task}\n{told or _reflection(turn.text)}", 0.8
            else:
                text = f"SCRIPT: {told or _script(turn.text)}\nTRAJECTORY: {turn.text}"
        meta = {KEY: key, "task": _task(turn), "intent": intent, "failed": failed, "confidence": confidence}
        return Draft(
            text, kind=EXPERIENCE, event_at=turn.event_at, speaker=turn.speaker, sources=whole(turn), meta=meta
        )

    def _table(self) -> Intents:
        records = self.current(self._latest).of(EXPERIENCE)
        intents = [record.meta["intent"] for record in records.values()]
        numbers = {intent: number for number, intent in enumerate(dict.fromkeys(intents))}
        members: list[list[int]] = [[] for _ in numbers]
        for place, intent in enumerate(intents):
            members[numbers[intent]].append(place)
        tasks = [record.meta["task"] for record in records.values()]
        groups = np.array([numbers[intent] for intent in intents], np.intp)
        return Intents([*records], tasks, intents, groups, members, self.vectors_of([*records]))

    def _similarities(self) -> tuple[float, float]:
        """Mean and standard deviation of similarities, over intents spread evenly in order of time."""
        if self.std is not None and self.std <= 0:
            raise InvalidInput(f"std={self.std} must be above 0; leave it out to have it measured")
        table = self.cached("intents", self._table)
        first = [places[0] for places in table.members]
        chosen = [first[i * len(first) // _SAMPLE] for i in range(_SAMPLE)] if len(first) > _SAMPLE else first
        mean, std = spread(table.vectors[chosen])
        return mean if self.mean is None else self.mean, std if self.std is None else self.std


class Intents(NamedTuple):
    """All experiences: ids, tasks, names of their intents and numbers of these, experiences of each number, vectors."""

    ids: list[str]
    tasks: list[str]
    intents: list[str]
    groups: NDArray[np.intp]
    members: list[list[int]]
    vectors: NDArray[np.float32]


def _task(turn: Record) -> str:
    task = turn.meta.get("task")
    return (task if isinstance(task, str) and task.strip() else turn.text)[:_KEY].strip()


def _key(turn: Record) -> str:
    """What an experience is found by: its task, else what was said, by whom."""
    task = _task(turn)
    return f"{turn.speaker}: {task}" if turn.speaker and "task" not in turn.meta else task or turn.text[:_KEY]


def _script(record: str) -> str:
    """The names of the operations of a record, each once, in order."""
    names = [line.split()[0].strip(":.,;>()") for line in re.split(r"[\n.;]+", record) if line.split()]
    return ", ".join([name for name in dict.fromkeys(names) if name][:_STEPS])


def _reflection(record: str) -> str:
    """The last error of a record, else its last line, and the line before."""
    lines = [line.strip() for line in record.splitlines() if line.strip()] or [record]
    last = max((i for i, line in enumerate(lines) if _ERROR.search(line)), default=len(lines) - 1)
    failed = f"\nFailed approach: {lines[last - 1]}" if last else ""
    return f"What went wrong: {lines[last]}{failed}"


def _ids(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
