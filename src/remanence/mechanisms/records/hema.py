"""HEMA: a gist that is always in sight, verbatim turns that are found by cosine, and an index that sheds what is idle.

    S_t = Summarizer(S_{t-1}, u_t), in at most `budget` tokens; after each `period` turns a new one is begun, and a
    summary of the finished summaries is made
    w_i = lambda * exp(-gamma * (t - t_i)) + beta * d_i      d_i = 1 if turn i was retrieved within `recent` turns

After each `period` turns the `fraction` with the lowest w leaves the index. Ages are counted in turns. A prompt holds
the summaries, what a query retrieves and the last turns, within a budget of tokens.
"""

from __future__ import annotations

import json
from bisect import bisect, bisect_right
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from itertools import filterfalse
from typing import ClassVar, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer, is_stopword
from remanence.kernels.names import name_key
from remanence.kernels.packing import estimate_tokens
from remanence.kernels.summaries import Passage, bounded, passages
from remanence.substrates.chat import ChatModel
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.base import GONE, TURN, RecordMemory, whole
from remanence.substrates.records.mechanism import Hit
from remanence.substrates.records.model import Draft, Record
from remanence.substrates.records.port import RecordStore

CARD = Card(
    slug="hema",
    substrate="records",
    title="HEMA",
    paper="hema",
    claim="in one token budget shows more of the turns that answer than the last turns or a running summary do",
    idea="A running summary for the gist and a vector index of verbatim turns for the detail, pruned by salience.",
    equation="w_i = lambda*exp(-gamma*(t - t_i)) + beta*d_i;  S_t = Summarizer(S_{t-1}, u_t)",
    source="",
    can=frozenset({"update", "forget", "consolidate", "reinforce"}),
    deviations=(
        "the formula as printed gives beta to turns that were not retrieved lately, the text to those that were; the "
        "text is followed, and bonus='idle' is the formula",
        "pruned turns are put away (state expired) and not deleted",
        "without a model a summary is sentences that were said, chosen by coverage; a model is asked once per write",
        "the summary of summaries is made of all finished ones, the first level starts anew; exact search",
    ),
)

COMPACT: Final = "compact"
OVERVIEW: Final = "overview"
TAIL: Final = 2
"""Last turns that a prompt repeats."""
_SECTIONS: Final = ("system", "compact", "retrieved", "dialogue_tail", "user")
_FRAME: Final = "\n".join(f"<{name}>\n{{{name}}}\n</{name}>" for name in _SECTIONS)
_SCHEMA: Final = {
    "type": "object",
    "additionalProperties": False,
    "required": ["summary"],
    "properties": {"summary": {"type": "string"}},
}
_TASK: Final = (
    "Bring the summary of a conversation up to date with its new turns. Keep names, numbers, decisions and what is "
    "still open; drop what no longer matters. Write at most {budget} tokens."
)
_TASK_OVER: Final = (
    "You are given summaries of consecutive parts of one conversation. Write one summary of them all: what runs "
    "through it, and facts that may be needed later. Write at most {budget} tokens."
)


class Hema(RecordMemory):
    """A compact memory and a vector memory. `budget`: tokens of a summary; `prompt`: tokens of what `context` returns.

    `scale`, `decay` and `boost` are lambda, gamma (per turn) and beta. `bonus`: who gets beta, turns retrieved within
    the last `recent` ones ("recent") or all others ("idle", the formula as printed).
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
        budget: int = 60,
        period: int = 100,
        prompt: int = 3500,
        scale: float = 1.0,
        decay: float = 0.002,
        boost: float = 0.5,
        recent: int = 100,
        fraction: float = 0.005,
        bonus: str = "recent",
    ) -> None:
        super().__init__(store=store, scope=scope, embedder=embedder, analyzer=analyzer, llm=llm)
        if budget < 1 or period < 1 or not 0 <= fraction < 1 or bonus not in ("recent", "idle"):
            raise InvalidInput(
                f"budget={budget} and period={period} must be at least 1, fraction={fraction} at least 0 and below 1, "
                f"bonus={bonus!r} 'recent' or 'idle'"
            )
        self.budget, self.period, self.prompt = budget, period, prompt
        self.scale, self.decay, self.boost = scale, decay, boost
        self.recent, self.fraction, self.bonus = recent, fraction, bonus

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        """Sum up at once, prune after each full period."""
        waiting = self.open_turns(COMPACT, now)
        made = [*self._prune(len(waiting), now), *self._compact(waiting, now)] if waiting else []
        return [*made, *self._overview(now)]

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        """The turns nearest to the query. When they were retrieved, in turns, is kept as their utility."""
        if not query.strip():
            return []
        hits = self.hits(self.nearest(query, k, kinds=(TURN,)), k, now=now)
        self.touch([hit.id for hit in hits], now, utility=float(len(self.current(now).of(TURN))))
        return hits

    def salience(self, age: ArrayLike, retrieved: ArrayLike) -> NDArray[np.float64]:
        """[n] w = lambda * exp(-gamma * age) + beta * d, of ages in turns [n] and whether retrieved lately [n]."""
        lately = np.asarray(retrieved, bool)
        bonus = lately if self.bonus == "recent" else ~lately
        found: NDArray[np.float64] = self.scale * np.exp(-self.decay * np.asarray(age, np.float64)) + self.boost * bonus
        return found

    def gist(self, now: datetime) -> str:
        """The summary of the finished summaries, and the running one."""
        current = self.current(now)
        running = _in_order(current.of(COMPACT))[-1:]
        return "\n".join(record.text for record in (*current.of(OVERVIEW).values(), *running))

    def context(self, query: str, k: int = 50, *, now: datetime, system: str = "") -> str:
        """A prompt of at most `prompt` tokens, however long its parts are. First the query has room, then `system`, the
        gist, the last turns, and what is retrieved; of that the last found goes first. Errors: `InvalidInput`."""
        left = self.prompt - estimate_tokens(_FRAME.format(**dict.fromkeys(_SECTIONS, "")))
        if left < 0:
            raise InvalidInput(f"prompt={self.prompt} tokens are {-left} too few for the frame of a prompt alone")
        parts: dict[str, str] = {}
        for name, text in (("user", query), ("system", system), ("compact", self.gist(now))):
            parts[name] = _cut(text, left)
            left -= estimate_tokens(parts[name])
        tail = list(self.current(now).of(TURN).values())[-TAIL:]
        last = [turn.id for turn in tail]
        found = [hit.record for hit in self.read(query, k, now=now) if hit.record is not None and hit.id not in last]
        for name, records in (("dialogue_tail", tail[::-1]), ("retrieved", found)):
            lines: list[str] = []
            for record in records:
                left -= estimate_tokens(_said(record))
                if left < 0:
                    left += estimate_tokens(_said(record))
                    break
                lines.append(_said(record))
            parts[name] = "\n".join(lines[::-1] if name == "dialogue_tail" else lines)
        return _FRAME.format(**parts)

    def _compact(self, waiting: Sequence[Record], now: datetime) -> list[str]:
        windows = _in_order(self.current(now).of(COMPACT))
        ends = [window.sources[-1].id for window in windows]
        gaps: dict[int, list[Record]] = defaultdict(list)
        for turn in waiting:
            gaps[bisect(ends, turn.id)].append(turn)
        new: list[Draft] = []
        changed: dict[str, Draft] = {}
        for gap, turns in gaps.items():
            room = self.period - len(windows[-1].sources) if windows and gap == len(windows) else 0
            if room > 0:
                changed[windows[-1].id] = self._summary(windows[-1], turns[:room], now)
            starts = range(max(room, 0), len(turns), self.period)
            new += [self._summary(None, turns[start : start + self.period], now) for start in starts]
        self.revise(changed, now)
        return [*changed, *self.keep(new, now)]

    def _summary(self, before: Record | None, turns: Sequence[Record], now: datetime) -> Draft:
        """S_t after some turns, from the summary before them."""
        current = self.current(now)
        sources = () if before is None else before.sources
        speakers = {_key(turn) for source in sources if (turn := current.get(source.id)) is not None}
        items = () if before is None else self._resumed(before)
        asked = {"summary": "" if before is None else before.text, "turns": [_said(turn) for turn in turns]}
        text = self._asked(_TASK, asked)
        if text:
            items = self._lines(text)
        else:
            for turn in turns:
                speakers.add(_key(turn))
                items = bounded([*items, *self._lines(turn.text, turn.speaker or "", speakers)], self.budget)
            text = "\n".join(item.text for item in items)
        return Draft(
            text or _cut(turns[-1].text, self.budget) or turns[-1].text[0],
            kind=COMPACT,
            event_at=turns[0].event_at if before is None else before.event_at,
            sources=(*sources, *whole(*turns)),
            meta={"lines": [[item.text, sorted(item.terms), sorted(item.details), item.cost] for item in items]},
        )

    def _resumed(self, window: Record) -> tuple[Passage, ...]:
        """The sentences of a summary as they were chosen, or as they read if it was rewritten since."""
        lines = window.meta.get("lines", [])
        if window.text == "\n".join(line[0] for line in lines):
            return tuple(Passage(text, "", 0, len(text), frozenset(terms), frozenset(names), cost)
                         for text, terms, names, cost in lines)  # fmt: skip
        return self._lines(window.text)

    def _overview(self, now: datetime) -> list[str]:
        current = self.current(now)
        older = _in_order(current.of(COMPACT))[:-1]
        texts = [record.text for record in older]
        mark = blake2b(json.dumps(texts).encode(), digest_size=8).hexdigest()
        old = next(iter(current.of(OVERVIEW).values()), None)
        ids = {record.id for record in older}
        refused = any(ids <= {source.id for source in gone.sources} for gone in current.of(GONE).values())
        if not older or refused or (old is not None and old.meta["of"] == mark):
            return []
        items = [item for record in older for item in self._resumed(record)]
        text = self._asked(_TASK_OVER, {"summaries": texts}) or "\n".join(i.text for i in bounded(items, self.budget))
        draft = Draft(text or texts[-1], kind=OVERVIEW, event_at=older[-1].event_at, sources=whole(*older),
                      meta={"of": mark})  # fmt: skip
        if old is None:
            return self.keep([draft], now)
        self.revise({old.id: draft}, now)
        return [old.id]

    def _prune(self, fresh: int, now: datetime) -> list[str]:
        """Put away what is least salient at each full period that the last `fresh` turns complete."""
        ids = list(self.current(now).of(TURN))
        first = (len(ids) - fresh) // self.period + 1
        if first * self.period > len(ids):
            return []
        turns = [turn for turn in self.get(ids) if turn is not None]
        numbers = np.arange(1, len(turns) + 1)
        used = np.array([turn.utility for turn in turns])
        alive = np.array([turn.state != "expired" for turn in turns])
        was = alive.copy()
        due = 0
        for count in range(1, len(ids) // self.period + 1):
            t = count * self.period
            due += int(self.fraction * (t - due))
            if count >= first and (more := due - int((~alive).sum())) > 0:
                weights = self.salience(t - numbers, (used > 0) & (t - used <= self.recent))
                candidates = np.flatnonzero(alive & (numbers <= t))
                alive[candidates[np.argsort(weights[candidates], kind="stable")[:more]]] = False
        pruned = [turns[i] for i in np.flatnonzero(was & ~alive)]
        self.revise({turn.id: replace(self.redrafted(turn), state="expired") for turn in pruned}, now)
        return [turn.id for turn in pruned]

    def _asked(self, task: str, material: Mapping[str, object]) -> str:
        """A model's summary, as much of it as the budget takes; empty without a model or when it fails."""
        answer = self.ask(task.format(budget=self.budget), material, _SCHEMA, max_tokens=4 * self.budget)
        return _cut(answer["summary"].strip(), self.budget) if answer else ""

    def _lines(self, text: str, speaker: str = "", people: Collection[str] = ()) -> tuple[Passage, ...]:
        """The sentences of a text, each with who said it; names of `people` are no news."""
        voice = f"{speaker}: " if speaker else ""
        items = passages("", text, lambda line: filterfalse(is_stopword, self.analyzer.terms(line)), people, voice)
        return tuple(replace(item, text=voice + item.text) for item in items)


def _in_order(windows: Mapping[str, Record]) -> list[Record]:
    """Summaries of the first level, by the turns that they are of."""
    return sorted(windows.values(), key=lambda window: window.sources[0].id)


def _said(turn: Record) -> str:
    return f"{turn.speaker}: {turn.text}" if turn.speaker else turn.text


def _key(turn: Record) -> str:
    return name_key(turn.speaker or "")


def _cut(text: str, tokens: int) -> str:
    """The longest beginning of a text that takes at most so many tokens."""
    if estimate_tokens(text) <= tokens:
        return text
    return text[: bisect_right(range(len(text)), tokens, key=lambda end: estimate_tokens(text[: end + 1]))]
