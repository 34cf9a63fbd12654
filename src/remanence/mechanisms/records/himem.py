"""HiMem: immutable episodes below, editable notes above; notes answer first, and are repaired when they could not.

    boundary    = topic(t) or surprise(t)
    answer(q)   : N = notes(q);  sufficient(q, N) -> N
                  E = episodes(q);  sufficient(q, E) -> N + E, and N is repaired
    repair when   not sufficient(q, N) and sufficient(q, E):
                  for each fact s in extract(E | q):  independent -> add, extends -> update, contradicts -> replace

`recollect` is where that happens. What the extraction of notes missed costs one slow question, and then no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar, Final, Literal

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.answerability import RELEVANT, Asked, Passage, ask, look, stated_values, sufficient
from remanence.kernels.claims.ontology import attribute
from remanence.kernels.novelty import Statement
from remanence.kernels.segmentation import Settings
from remanence.substrates.chat import ChatModel
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.base import TURN, Scored, whole
from remanence.substrates.records.families.distilling import (
    NUMBERS,
    TEXT,
    Distiller,
    fields,
    numbered,
    spoken,
    summary_of,
    title_of,
    written,
)
from remanence.substrates.records.mechanism import Hit
from remanence.substrates.records.model import Draft, Record
from remanence.substrates.records.port import RecordStore

CARD = Card(
    slug="himem",
    substrate="records",
    title="HiMem",
    paper="himem",
    claim="asked again what its notes could not answer, its notes answer it, at fewer tokens, and none is outdated",
    idea="Keeps immutable episodes below editable notes; where the notes do not answer a question and the episodes do, "
    "the notes are repaired from what the episodes say of it.",
    equation="repair(q) if not sufficient(q, notes) and sufficient(q, episodes)",
    source="jojopdq/HiMem",
    can=frozenset({"update", "forget", "consolidate"}),
    deviations=(
        "read() leaves no trace; recollect() is the whole cycle with its repairs and counts what is used",
        "without a model, boundaries are those of kernels.segmentation and notes are claims read by rules",
        "without a model, evidence suffices if it states the matter of a question that can be read as one; else by "
        "kind, names and cosine",
        "how a new statement relates to a note is told by rules, also with a model",
        "notes beyond a capacity are put away by uses / (1 + age in days); the paper gives no formula",
        "a repair also looks at the turns whose words are nearest to what it is about to note, and notes what holds",
        "the three stages of extraction are one request to the model",
    ),
)

EPISODE: Final = "episode"
SUMMARY: Final = 60
RELATED: Final = 20
_TASTES: Final = frozenset("likes dislikes fears eats diet goal hobby food drink band book series allergy".split())
Category = Literal["fact", "pref", "profile"]
STARTS: Final = fields(starts=NUMBERS)
TOPIC: Final = fields(topic=TEXT, summary=TEXT)
NOTES: Final = fields(notes={"type": "array", "items": fields(statement=TEXT, messages=NUMBERS)})
VERDICT: Final = fields(sufficient={"type": "boolean"})

_CUT = (
    "These are the numbered messages of one conversation. Name the numbers of those with which another episode begins: "
    "the subject changes, or somebody's intent or mood turns abruptly. The first message begins one."
)
_TOPIC = "Name the topic of these messages in a few words and sum them up in two sentences."
_NOTE = (
    "Take notes of these messages: each fact or circumstance by itself, then preferences and traits that can be "
    "inferred with confidence and add no new facts. Resolve pronouns and relative dates, and say nothing twice. Name "
    "the numbers of the messages that each note rests on."
)
_FOCUS = " Note only what bears on the question."
_JUDGE = "Can the question be answered from the evidence alone? Judge only that."


@dataclass(frozen=True, slots=True)
class Recollection:
    """What was found for a question, whether it suffices, whether notes alone did, and ids of repaired notes."""

    hits: list[Hit]
    sufficient: bool
    by_notes: bool
    repaired: list[str]


class HiMem(Distiller):
    """Episodes and notes.

    Args:
        settings: what decides about boundaries: topic or surprise.
        mode: "hybrid" reads both stores side by side, "best_effort" notes first and episodes where they do not suffice.
        enough: cosine from which evidence may suffice.
        always: repair the notes after every question (for comparison), and not only where they failed.
        repairs: False never repairs (for comparison).
        capacity: notes that are kept in use; None for all.

    """

    card: ClassVar[Card] = CARD
    STATED: ClassVar[str] = "note"

    def __init__(
        self,
        *,
        store: RecordStore | None = None,
        scope: Scope | None = None,
        embedder: Embedder | None = None,
        analyzer: Analyzer | None = None,
        llm: ChatModel | None = None,
        settings: Settings | None = None,
        mode: Literal["hybrid", "best_effort"] = "hybrid",
        enough: float = RELEVANT,
        always: bool = False,
        repairs: bool = True,
        capacity: int | None = None,
    ) -> None:
        super().__init__(store=store, scope=scope, embedder=embedder, analyzer=analyzer, llm=llm)
        if mode not in ("hybrid", "best_effort"):
            raise InvalidInput(f"mode {mode!r} must be 'hybrid' or 'best_effort'")
        self.settings = Settings() if settings is None else settings
        self.mode = mode
        self.enough = enough
        self.always = always
        self.repairs = repairs
        self.capacity = capacity

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        """Episodes of what is complete, and notes of what is new in them."""
        stretches = [turns for turns, done in self.segments(EPISODE, now, self.settings, flush=flush) if done]
        made = self.keep([self._episode(part) for turns in stretches for part in self._parts(turns)], now)
        unread = {turn.id: turn for turn in self.open_turns(self.marker, now)}
        lessons = []
        for episode in self.current(now).of(EPISODE).values():
            turns = [unread[source.id] for source in episode.sources if source.id in unread]
            if turns:
                lessons.append((turns, self._noted(turns, now)))
        made += self.learn(lessons, now) if lessons else []
        return made + self._put_away(now) if flush else made

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        """Both stores by cosine; with "best_effort" the episodes only where the notes do not suffice."""
        if not query.strip() or k <= 0:
            return []
        notes, episodes = self._notes(query, now), self._episodes(query, now)
        if self.mode == "hybrid":
            return self.hits(sorted([*notes, *episodes], key=lambda one: -one[1]), k, now=now)
        hits = self.hits(notes, len(notes), now=now)
        if not self._suffices(self._asked(query, now), [_passage(hit) for hit in hits[:10]]):
            # Notes go first, whatever the cosines: the episodes' lie below the least of the notes.
            floor = min((score for _, score in notes), default=1.0)
            hits += self.hits([(id, floor + score - 2) for id, score in episodes], len(episodes), now=now)
        return hits[:k]

    def recollect(self, query: str, k: int = 10, *, now: datetime) -> Recollection:
        """Answer from notes, or from episodes and then repair the notes; counts the notes and episodes as used."""
        if not query.strip() or k <= 0:
            return Recollection([], False, False, [])
        asked = self._asked(query, now)
        notes = self.hits(self._notes(query, now), k, now=now)
        enough = self._suffices(asked, [_passage(hit) for hit in notes])
        self.touch([hit.id for hit in notes], now)
        if enough and not self.always:
            return Recollection(notes, True, True, [])
        episodes = self.hits(self._episodes(query, now), k, now=now)
        turns = [turn for turn in self.get([id for hit in episodes for id in hit.sources]) if turn is not None]
        focused = self._focused(asked, turns, now)
        cosines = self.vectors_of([turn.id for turn in turns]) @ self.embed_query(query) if turns else ()
        evidence = [Passage(spoken(turn), float(cosine)) for turn, cosine in zip(turns, cosines, strict=True)]
        evidence += [Passage(one.text, 0.0, stated_values(one)) for one in focused]
        found = self._suffices(asked, evidence)
        self.touch([hit.id for hit in episodes], now)
        repaired: list[str] = []
        if self.repairs and focused and (self.always or (found and not enough)):
            # What is found may be over by now: nothing is noted before what else is said of it was looked at.
            said = [id for one in focused for id, _ in self.lexical(one.text, RELATED, kinds=(TURN,))]
            known = {turn.id for turn in turns}
            more = [turn for turn in self.get(list(dict.fromkeys(said))) if turn is not None and turn.id not in known]
            focused += self._focused(asked, more, now)
            supporting = {span[0] for one in focused for span in one.spans}
            repaired = self.learn([([turn for turn in (*turns, *more) if turn.id in supporting], focused)], now)
        return Recollection([*notes, *episodes], enough or found, enough, repaired)

    def details(self, statement: Statement) -> Mapping[str, Any]:
        """The category of a note: a preference, part of a profile, or an objective fact."""
        return {"category": category(statement)}

    # Episodes

    def _parts(self, turns: list[Record]) -> list[list[Record]]:
        """The episodes of a stretch: as a model cuts it, or the whole."""
        answer = self.ask(_CUT, {"messages": numbered(turns)}, STARTS) if len(turns) > 1 else None
        if answer is None or not answer["starts"]:
            return [turns]
        starts = sorted({1, *answer["starts"]})
        if starts[0] < 1 or starts[-1] > len(turns):
            self.troubles.append(f"a model cut {len(turns)} messages at {starts}")
            return [turns]
        return [turns[start - 1 : stop - 1] for start, stop in zip(starts, [*starts[1:], len(turns) + 1], strict=True)]

    def _episode(self, turns: Sequence[Record]) -> Draft:
        told = self.ask(_TOPIC, {"messages": numbered(turns)}, TOPIC)
        topic, summary = title_of(self.analyzer, turns), summary_of(self.analyzer, turns, SUMMARY)
        if told is not None and told["topic"].strip() and told["summary"].strip():
            topic, summary = told["topic"].strip(), told["summary"].strip()
        text = "\n".join([topic, *map(spoken, turns)])
        meta = {"topic": topic, "summary": summary}
        return Draft(text, kind=EPISODE, event_at=turns[0].event_at, sources=whole(*turns), meta=meta)

    # Notes

    def _noted(self, turns: Sequence[Record], now: datetime, question: str = "") -> list[Statement]:
        """Notes by a model, or the claims of the turns."""
        material: dict[str, Any] = {"messages": numbered(turns), **({"question": question} if question else {})}
        answer = self.ask(_NOTE + _FOCUS * bool(question), material, NOTES)
        if answer is None:
            read = self.stated_in(turns, now) if question else self.extracted(turns, now)
            return [one for statements in read for one in statements]
        return written(answer["notes"], turns)

    def _focused(self, asked: Asked, turns: Sequence[Record], now: datetime) -> list[Statement]:
        """What turns state that bears on a question: its matter, or else whatever shares its names and a word."""
        if not turns:
            return []
        found = self._noted(turns, now, asked.text)
        if asked.matters:
            return [one for one in found if not one.attribute or one.matter in asked.matters]
        return [
            one for one in found if look(replace(asked, kind="any"), [Passage(one.text, 0)], self.analyzer).named == 1
        ]

    def _put_away(self, now: datetime) -> list[str]:
        """Put the notes away that are used least for their age, beyond the capacity."""
        live = [record.id for record in self.current(now).of(self.STATED).values() if not record.hidden]
        if self.capacity is None or len(live) <= self.capacity:
            return []
        worth = {
            note.id: (note.hits + 1) / (1 + max(0.0, (now - note.event_at).total_seconds() / 86400))
            for note in self.get(live)
            if note is not None
        }
        least = sorted(worth, key=lambda id: (worth[id], id))[: len(worth) - self.capacity]
        notes = [note for note in self.get(least) if note is not None]
        self.revise({note.id: replace(self.redrafted(note), state="archived") for note in notes}, now)
        return least

    # Looking

    def _notes(self, query: str, now: datetime) -> list[Scored]:
        return self.nearest(query, len(self.current(now).of(self.STATED)), kinds=(self.STATED,))

    def _episodes(self, query: str, now: datetime) -> list[Scored]:
        """Episodes, and the turns that are in none yet, by cosine."""
        found = self.nearest(query, len(self.current(now).of(EPISODE)), kinds=(EPISODE,))
        if waiting := [turn.id for turn in self.open_turns(EPISODE, now)]:
            cosines = (self.vectors_of(waiting) @ self.embed_query(query)).tolist()
            found = sorted([*found, *zip(waiting, cosines, strict=True)], key=lambda one: -one[1])
        return found

    def _asked(self, query: str, now: datetime) -> Asked:
        people = {turn.speaker for turn in self.current(now).of(TURN).values() if turn.speaker}
        return ask(query, now, self.analyzer, people)

    def _suffices(self, asked: Asked, evidence: Sequence[Passage]) -> bool:
        material = {"question": asked.text, "evidence": [passage.text for passage in evidence]}
        verdict = self.ask(_JUDGE, material, VERDICT) if evidence else None
        if verdict is not None:
            return bool(verdict["sufficient"])
        return sufficient(look(asked, evidence, self.analyzer), self.enough)


def category(statement: Statement) -> Category:
    """What kind of note a statement makes: a taste, what somebody is, or something that was so or done."""
    if statement.free or attribute(statement.attribute).dated:
        return "fact"
    return "pref" if statement.attribute in _TASTES or statement.attribute.startswith("favourite") else "profile"


def _passage(hit: Hit) -> Passage:
    return Passage(hit.text, hit.score, stated_values(hit.record.meta) if hit.record else ())
