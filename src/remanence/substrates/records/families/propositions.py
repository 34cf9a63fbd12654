"""A base for memories that decompose what is said into self-contained propositions, and walk over their arguments.

Every proposition (EDU, elementary discourse unit) is a record that rests on the turn that it was said in, and the turn
is found through it; its arguments are the phrases of `phrases.PhraseMemory`. The decomposition loses nothing: where a
model leaves something out, the rules of `kernels.propositions` add it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import ClassVar, Final

from remanence.core.errors import InvalidInput
from remanence.core.scope import Scope
from remanence.kernels import propositions
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.propositions import Unit
from remanence.substrates.chat import ChatModel
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.base import KEY
from remanence.substrates.records.families.phrases import LONGEST, PhraseMemory
from remanence.substrates.records.model import Draft, Record, Source
from remanence.substrates.records.port import RecordStore

__all__ = ["EDU", "Decompose", "PropositionMemory"]

EDU: Final = "edu"
"""Kind of a proposition."""
Decompose = Callable[[Sequence[Record]], Sequence[Sequence[Unit]]]
"""From turns of one session to the units of each."""
_MOST_ARGUMENTS = 100
_UNITS: Final = {
    "type": "object",
    "properties": {
        "edus": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "text": {"type": "string"},
                    "turn": {"type": "integer"},
                    "arguments": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["text", "turn", "arguments"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["edus"],
    "additionalProperties": False,
}
_DECOMPOSE: Final = (
    "Decompose the numbered turns of a conversation into elementary discourse units: atomic statements that can be "
    "understood alone, without pronouns, with the most informative names and with times worked out. Keep all that was "
    "said, each name, number and date. For each unit give its text, the number of its turn, and its arguments: the "
    "people, things, places and times that it is about."
)


class PropositionMemory(PhraseMemory):
    """Turns decomposed by `decompose` (default: the model if there is one, else rules), and the graph of arguments."""

    UNITS: ClassVar[str] = EDU
    ANSWERS: ClassVar[str] = EDU

    def __init__(
        self,
        *,
        store: RecordStore | None = None,
        scope: Scope | None = None,
        embedder: Embedder | None = None,
        analyzer: Analyzer | None = None,
        llm: ChatModel | None = None,
        decompose: Decompose | None = None,
        synonym: float = 0.9,
        most_synonyms: int = 100,
    ) -> None:
        super().__init__(
            store=store,
            scope=scope,
            embedder=embedder,
            analyzer=analyzer,
            llm=llm,
            synonym=synonym,
            most_synonyms=most_synonyms,
        )
        self.decompose = decompose

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        """EDUs of the turns that have none yet, session by session; then a record for each new argument."""
        sessions: dict[str | None, list[Record]] = {}
        for turn in self.open_turns(EDU, now):
            sessions.setdefault(turn.scope.run_id, []).append(turn)
        drafts: dict[str, list[Draft]] = {}
        for turns in sessions.values():
            for turn, found in zip(turns, self.units_of(turns), strict=True):
                drafts[turn.id] = [_draft(turn, unit) for unit in found]
        made = self.keep([draft for id in sorted(drafts) for draft in drafts[id]], now)
        return made + self.complete(now)

    def units_of(self, turns: Sequence[Record]) -> list[list[Unit]]:
        """The units of each turn of a session; together they leave out no name and no number of it."""
        if self.decompose is not None:
            given = [list(found) for found in self.decompose(turns)]
            if len(given) != len(turns) or not all(one.text for found in given for one in found):
                raise InvalidInput(f"{len(given)} lists of units, or units without text, for {len(turns)} turns")
            return given
        people = list(dict.fromkeys(turn.speaker for turn in turns if turn.speaker))
        ruled = []
        for turn in turns:
            others = [name for name in people if name != turn.speaker]
            listener = others[0] if len(others) == 1 else None
            ruled.append(propositions.units(turn.text, turn.speaker, listener))
        answer = None
        if self.llm is not None:
            shown = [
                {"turn": i, "speaker": turn.speaker, "time": turn.event_at.isoformat(), "text": turn.text}
                for i, turn in enumerate(turns)
            ]
            answer = self.ask(_DECOMPOSE, {"turns": shown}, _UNITS)
        if answer is None:
            return ruled
        told: list[list[Unit]] = [[] for _ in turns]
        ground = " ".join(f"{turn.speaker or ''} {turn.event_at.date()} {turn.text}" for turn in turns)
        for one in answer["edus"]:
            if 0 <= one["turn"] < len(turns) and propositions.stands_on(one["text"], ground):
                whole = len(turns[one["turn"]].text)
                told[one["turn"]].append(Unit(one["text"], 0, whole, tuple(one["arguments"])))
        # The rules say again what the model left out: no name, number or turn is lost.
        return [
            ours
            + [unit for unit in rules if not ours or not propositions.covers([one.text for one in ours], unit.text)]
            for ours, rules in zip(told, ruled, strict=True)
        ]


def _draft(turn: Record, unit: Unit) -> Draft:
    speaker = f"{turn.speaker}: " if turn.speaker else ""
    meta = {
        KEY: f"{speaker}{unit.text}",
        "entities": [one for one in unit.arguments if len(one) <= LONGEST][:_MOST_ARGUMENTS],
        "triples": [],
    }
    text = f"[{turn.event_at.date().isoformat()}] {speaker}{unit.text}"
    sources = (Source(turn.id, unit.start, unit.end),)
    return Draft(text, kind=EDU, event_at=turn.event_at, sources=sources, meta=meta)
