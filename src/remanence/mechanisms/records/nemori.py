"""Nemori: a conversation cut into episodes by itself, and facts learnt only where an episode was not to be expected.

    boundary   = (b and c > 0.7) or |buffer| >= 25         b: topic, surprise, silence, a greeting, words that announce
    episode    = (title, narrative) of the buffer;  e = embed(title + " " + narrative)
    prediction = what is known that bears on the episode   Retrieve(e, K, m)
    K          = K + {s in statements(episode): prediction does not hold s}          predict, then calibrate

What an episode repeats was predicted and is not stored again; what it adds or says otherwise is. `_calibrate` is where
that happens. Reading takes k episodes and 2k facts side by side, by cosine.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from remanence.core.card import Card
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.fusion import reciprocal_rank_fusion
from remanence.kernels.novelty import Statement
from remanence.kernels.segmentation import Settings
from remanence.substrates.chat import ChatModel
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.base import Scored, whole
from remanence.substrates.records.families.distilling import (
    NUMBERS,
    TEXT,
    Distiller,
    Lesson,
    fields,
    numbered,
    spoken,
    title_of,
    written,
)
from remanence.substrates.records.mechanism import Hit
from remanence.substrates.records.model import Draft, Record
from remanence.substrates.records.port import RecordStore

CARD = Card(
    slug="nemori",
    substrate="records",
    title="Nemori",
    paper="nemori",
    claim="keeps less than half of the statements that direct extraction keeps, and answers as many questions",
    idea="Cuts the stream into episodes where its subject changes, and learns from each only what the facts known so "
    "far did not predict.",
    equation="K <- K + (statements(episode) - predicted(Retrieve(embed(title + narrative), K, m)))",
    source="nemori-ai/nemori",
    can=frozenset({"update", "forget", "consolidate"}),
    deviations=(
        "without a model, boundaries are those of kernels.segmentation, and an episode tells its messages "
        "with their dates",
        "without a model, all facts predict and not only the m nearest: two statements on one matter of one person are "
        "compared by their values, others by cosine unless a number, name, date or negation differs",
        "a repeated statement becomes a further source of the fact, so that forgetting one of the two turns keeps it",
        "a model may cut further what the rules cut out, and is not asked after every single message",
        "without a model, episodes merge by cosine within the gap, up to the size of one buffer",
        "read() shows one episode for two facts, in the order of their ranks; turns that wait in the buffer rank with "
        "the episodes",
    ),
)

EPISODE: Final = "episode"
GROUPS: Final = fields(episodes={"type": "array", "items": fields(messages=NUMBERS, topic=TEXT)})
NARRATIVE: Final = fields(title=TEXT, content=TEXT)
PREDICTION: Final = fields(content=TEXT)
STATEMENTS: Final = fields(statements={"type": "array", "items": fields(statement=TEXT, messages=NUMBERS)})
MERGE: Final = fields(decision={"type": "string", "enum": ["merge", "new"]}, target=TEXT)

_CUT = (
    "These are numbered messages of one conversation. Group them into episodes, each about one event or subject, of "
    "two to fifteen messages. An episode's messages need not stand together. Every message belongs to one episode. If "
    "in doubt, split."
)
_TELL = (
    "Tell what happens in these messages as a short story in the third person: who, what, when, and why. Turn relative "
    "times into dates. Give it a title of ten to twenty words."
)
_PREDICT = (
    "An episode of a conversation has this title. Given only what is known beforehand, write what you "
    "expect it to tell."
)
_CALIBRATE = (
    "Compare the messages with what was expected of them. List the statements worth remembering for months that the "
    "messages make and the expectation lacks or has wrong. Each statement is specific, stands alone, and has no date. "
    "Name the numbers of the messages that it rests on. List nothing that was expected."
)
_EXTRACT = (
    "List the statements worth remembering for months that these messages make. Each is specific, stands alone, and "
    "has no date. Name the numbers of the messages that it rests on."
)
_SAME = "Does the new episode tell of the same event as one of the candidates? Then name the candidate's id as target."


class Nemori(Distiller):
    """Episodes, and facts that were not to be expected.

    Args:
        longest: messages after which a buffer becomes an episode whatever it is about.
        gap: silence that ends an episode, and hours between episodes that may be one event.
        known: facts that a model predicts an episode from (m).
        least: cosine that a fact needs for that (sigma_s).
        alike: cosine from which two statements in free words may be the same (tau).
        merge: cosine from which episodes within an hour are one; above 1 for never.
        originals: episodes of which `context` shows the messages themselves.
        hybrid: fuse cosine and BM25 rankings when reading.
        calibrate: False stores every statement, predicted or not (direct extraction).

    """

    card: ClassVar[Card] = CARD
    STATED: ClassVar[str] = "fact"

    def __init__(
        self,
        *,
        store: RecordStore | None = None,
        scope: Scope | None = None,
        embedder: Embedder | None = None,
        analyzer: Analyzer | None = None,
        llm: ChatModel | None = None,
        longest: int = 25,
        gap: timedelta = timedelta(minutes=30),
        known: int = 10,
        least: float = 0.0,
        alike: float = 0.85,
        merge: float = 0.9,
        originals: int = 2,
        hybrid: bool = False,
        calibrate: bool = True,
    ) -> None:
        super().__init__(store=store, scope=scope, embedder=embedder, analyzer=analyzer, llm=llm)
        self.settings = Settings(longest=longest, gap=gap)
        self.known = known
        self.least = least
        self.alike = alike
        self.merge = merge
        self.originals = originals
        self.hybrid = hybrid
        self.calibrate = calibrate

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        """Episodes of what is complete, then the facts that they add."""
        buffers = [turns for turns, complete in self.segments(EPISODE, now, self.settings, flush=flush) if complete]
        episodes = self.keep([self._episode(group) for turns in buffers for group in self._groups(turns)], now)
        return self._merged(episodes, now) + self._calibrate(now)

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        """Episodes, each followed by two facts, in the order of their cosines."""
        if not query.strip() or k <= 0:
            return []
        vector = self.embed_query(query)
        episodes = self._ranked(query, vector, EPISODE, now)
        if waiting := [turn.id for turn in self.open_turns(EPISODE, now)]:
            episodes += zip(waiting, (self.vectors_of(waiting) @ vector).tolist(), strict=True)
        episodes.sort(key=lambda one: -one[1])
        placed = [(id, float(rank), cosine) for rank, (id, cosine) in enumerate(episodes)]
        facts = self._ranked(query, vector, self.STATED, now)
        placed += [(id, rank / 2 + 0.25, cosine) for rank, (id, cosine) in enumerate(facts)]
        placed.sort(key=lambda one: one[1])
        shares = {id: {"cosine": cosine} for id, _, cosine in placed}
        return self.hits([(id, 1 / (1 + place)) for id, place, _ in placed], k, now=now, channels=shares)

    def context(self, query: str, k: int = 10, *, now: datetime) -> str:
        """What goes into a prompt: `k` episodes, the first of them with their messages, and twice as many facts."""
        vector = self.embed_query(query)
        parts = []
        for rank, hit in enumerate(self.hits(self._ranked(query, vector, EPISODE, now), k, now=now)):
            turns = [turn for turn in self.get(hit.sources) if turn is not None] if rank < self.originals else []
            parts.append("\n".join([hit.text, *(f"> {turn.speaker or turn.role}: {turn.text}" for turn in turns)]))
        parts += [hit.text for hit in self.hits(self._ranked(query, vector, self.STATED, now), 2 * k, now=now)]
        return "\n\n".join(parts)

    def _ranked(self, query: str, vector: NDArray[np.float32], kind: str, now: datetime) -> list[Scored]:
        count = len(self.current(now).of(kind))
        nearest = self.nearest(vector, count, kinds=(kind,))
        if not self.hybrid:
            return nearest
        order = [id for id, _ in nearest]
        place = {id: at for at, id in enumerate(order)}
        words = [place[id] for id, _ in self.lexical(query, count, kinds=(kind,))]
        return [(order[at], score) for at, score in reciprocal_rank_fusion([list(range(len(order))), words])]

    # Episodes

    def _groups(self, turns: list[Record]) -> list[list[Record]]:
        """The episodes of a buffer: as a model groups them, if every message is in exactly one group; else one."""
        answer = self.ask(_CUT, {"messages": numbered(turns)}, GROUPS) if len(turns) > 1 else None
        if answer is None:
            return [turns]
        groups = [sorted(one["messages"]) for one in answer["episodes"] if one["messages"]]
        if sorted(number for group in groups for number in group) != list(range(1, len(turns) + 1)):
            self.troubles.append(f"a model grouped {len(turns)} messages as {groups}")
            return [turns]
        return [[turns[number - 1] for number in group] for group in sorted(groups)]

    def _episode(self, turns: Sequence[Record]) -> Draft:
        """Title and narrative: by a model, or the messages with their dates."""
        told = self.ask(_TELL, {"messages": numbered(turns)}, NARRATIVE)
        title, content = title_of(self.analyzer, turns), "\n".join(map(spoken, turns))
        if told is not None and told["title"].strip() and told["content"].strip():
            title, content = told["title"].strip(), told["content"].strip()
        until = max(turn.event_at for turn in turns)
        return Draft(
            f"{title}\n{content}",
            kind=EPISODE,
            event_at=min(turn.event_at for turn in turns),
            sources=whole(*turns),
            meta={"title": title, "until": until.isoformat()},
        )

    def _merged(self, made: Sequence[str], now: datetime) -> list[str]:
        """The new episodes, after those that tell of the same event as an earlier one were put together with it."""
        kept: list[str] = []
        for id in made:
            current = self.current(now)
            episode = current.get(id)
            target = None if episode is None else self._twin(episode, now)
            if episode is None or target is None:
                kept.append(id)
                continue
            sources = dict.fromkeys(source.id for source in (*target.sources, *episode.sources))
            turns = [turn for turn in map(current.get, sorted(sources)) if turn is not None]
            draft = self._episode(turns)
            draft = Draft(draft.text, kind=EPISODE, event_at=draft.event_at, sources=draft.sources,
                          meta={**draft.meta, "merged_from": [target.id, id]})  # fmt: skip
            kept = [one for one in kept if one != target.id] + self.keep([draft], now)
            self.close([target.id, id])
        return kept

    def _twin(self, episode: Record, now: datetime) -> Record | None:
        if self.merge > 1:
            return None
        near = []
        for other in self.current(now).of(EPISODE).values():
            apart = max(episode.event_at - _until(other), other.event_at - _until(episode))
            if other.sources[0].id < episode.sources[0].id and apart <= 2 * self.settings.gap:
                near.append(other)
        if not near:
            return None
        episodes = list(self.current(now).of(EPISODE))
        vectors = self.cached("nemori:episodes", lambda: dict(zip(episodes, self.vectors_of(episodes), strict=True)))
        cosines = np.array([vectors[other.id] for other in near]) @ vectors[episode.id]
        order = np.argsort(-cosines, kind="stable")[:5].tolist()
        shown = {near[at].id: near[at] for at in order}
        material = {"new": episode.text, "candidates": {id: other.text for id, other in shown.items()}}
        answer = self.ask(_SAME, material, MERGE)
        if answer is not None:
            return shown.get(answer["target"]) if answer["decision"] == "merge" else None
        best = near[order[0]]
        fits = len(best.sources) + len(episode.sources) <= self.settings.longest
        return best if fits and cosines[order[0]] >= self.merge else None

    # Facts

    def _calibrate(self, now: datetime) -> list[str]:
        """Learn from each episode what was not predicted of it."""
        unread = {turn.id: turn for turn in self.open_turns(self.marker, now)}
        tasks = []
        for episode in self.current(now).of(EPISODE).values():
            turns = [unread[source.id] for source in episode.sources if source.id in unread]
            if turns:
                tasks.append((episode, turns))
        if self.llm is None:
            stated = dict(zip(unread, self.stated_in(list(unread.values()), now), strict=True))
            return self._learn([(turns, [one for turn in turns for one in stated[turn.id]]) for _, turns in tasks], now)
        made: list[str] = []
        for episode, turns in tasks:
            found = self._distilled(episode, turns)
            if found is None:
                found = [one for statements in self.stated_in(turns, now) for one in statements]
            made += self._learn([(turns, found)], now)
        return made

    def _learn(self, lessons: Sequence[Lesson], now: datetime) -> list[str]:
        beside: Any = "earlier" if self.calibrate else "nothing"
        return self.learn(lessons, now, threshold=self.alike, edits=False, beside=beside) if lessons else []

    def _distilled(self, episode: Record, turns: Sequence[Record]) -> list[Statement] | None:
        """Statements by a model: what the messages say and its own prediction from the facts known so far does not."""
        vector = self.vectors_of([episode.id])[0]
        ids = [id for id, _ in self.nearest(vector, self.known, kinds=(self.STATED,), least=self.least)]
        facts = [record.text for record in self.get(ids) if record is not None]
        material: dict[str, Any] = {"messages": numbered(turns)}
        if facts and self.calibrate:
            told = self.ask(_PREDICT, {"title": episode.meta["title"], "known": facts}, PREDICTION)
            material["expected"] = "\n".join(facts) if told is None else told["content"]
        answer = self.ask(_CALIBRATE if "expected" in material else _EXTRACT, material, STATEMENTS)
        return None if answer is None else written(answer["statements"], turns)


def _until(episode: Record) -> datetime:
    return datetime.fromisoformat(episode.meta["until"])
