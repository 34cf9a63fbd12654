"""Do notes that missed things learn to answer what they were asked?

A long conversation in which people change their minds. The extraction that takes the first notes is made to miss two
of five matters (Ana's job, Bo's city), whatever is said of them. All that holds at the end is asked for, twice. In the
second round the notes alone have to answer more than the notes of the same system without repairs, at fewer tokens than
in the first round, and asking must leave no more notes in use that are outdated than there were. Repairs after every
question, needed or not, are measured beside it; and, with `versions`, an extraction that misses single values of a
matter, so that an outdated note stands where the newer one is missing: no question finds that such a note is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from remanence.core.card import Evidence
from remanence.kernels.claims.questions_words import canonical
from remanence.kernels.novelty import Statement
from remanence.kernels.packing import estimate_tokens
from remanence.kernels.truth import matter, value_key
from remanence.mechanisms.records.himem import HiMem
from remanence.scenarios.attributes import ATTRIBUTES
from remanence.scenarios.dialogues import Dialogue, generate
from remanence.scenarios.dice import Dice
from remanence.stores.embedders import StaticEmbedder
from remanence.substrates.records.mechanism import Hit, Item
from remanence.substrates.records.model import Record

SESSIONS = 24
QUESTIONS = 200
MISSED = 0.4
K = 10


class Careless(HiMem):
    """Takes no note of two matters of five (or values, with `versions`), however often they are spoken of."""

    seed = 0
    versions = False

    def extracted(self, turns: Sequence[Record], now: datetime) -> list[list[Statement]]:
        """What is noted."""
        read = super().extracted(turns, now)
        return [[one for one in statements if not self.misses(one)] for statements in read]

    def misses(self, one: Statement) -> bool:
        """Whether a statement is passed over."""
        return Dice(self.seed, one.matter, value_key(one.value) if self.versions else "").chance(MISSED)


def witness(seed: int) -> Evidence:
    """Share of the questions that the notes alone answer in the second round, with and without repairs; 0 where the
    second round took more tokens or a note is outdated."""
    found = measure(seed, arms=("", "no repairs"))
    sound = found["tokens 2"] < found["tokens 1"] and found["outdated"] <= found["no repairs: outdated"]
    return Evidence("note hit rate, second round", found["notes 2"] if sound else 0.0, found["no repairs: notes 2"])


def measure(
    seed: int, *, arms: Sequence[str] = ("", "no repairs", "always"), versions: bool = False
) -> dict[str, float]:
    """For each arm and round: note hit rate, mean tokens shown, changes written; and outdated notes in the end."""
    dialogue = generate(seed, sessions=SESSIONS, people=4, hardness="medium")
    options: dict[str, dict[str, Any]] = {"": {}, "no repairs": {"repairs": False}, "always": {"always": True}}
    out: dict[str, float] = {}
    for arm in arms:
        memory = Careless(embedder=StaticEmbedder(), mode="best_effort", **options[arm])
        memory.seed, memory.versions = seed, versions
        out |= {f"{arm}: {name}" if arm else name: value for name, value in _asked_twice(memory, dialogue).items()}
    return out


def _asked_twice(memory: HiMem, dialogue: Dialogue) -> dict[str, float]:
    sessions: dict[str, list[Item]] = {}
    for turn in dialogue.turns:
        sessions.setdefault(turn.session, []).append(
            Item(turn.text, speaker=turn.speaker, at=turn.at, session=turn.session)
        )
    now = dialogue.turns[-1].at
    memory.write([item for items in sessions.values() for item in items], now=now)
    memory.consolidate(now=now)
    asked = questions(dialogue)
    out: dict[str, float] = {"questions": len(asked)}
    for number in (1, 2):
        hit, tokens, before = 0, 0, memory.store.position()
        for question, subject, value in asked:
            found = memory.recollect(question, K, now=now)
            hit += answers([one for one in found.hits if _is_note(memory, one)], subject, value)
            tokens += sum(estimate_tokens(one.text) for one in found.hits)
        out[f"notes {number}"] = hit / len(asked)
        out[f"tokens {number}"] = tokens / len(asked)
        out[f"writes {number}"] = memory.store.position() - before
    out["outdated"] = len(outdated(memory, dialogue, now))
    return out


def questions(dialogue: Dialogue) -> list[tuple[str, str, str]]:
    """Questions for what holds in the end, whom they are about and the answer: at most `QUESTIONS`."""
    found = []
    for fact in dialogue.facts:
        if fact.valid_to is None and fact.attribute in ATTRIBUTES and not ATTRIBUTES[fact.attribute].many:
            text = ATTRIBUTES[fact.attribute].now[0].format(n=fact.subject)
            found.append((text, fact.subject, fact.value))
    return found[:QUESTIONS]


def answers(hits: Sequence[Hit], subject: str, value: str) -> bool:
    """Whether one of the hits names whom and what."""
    return any(subject in hit.text and value.lower() in hit.text.lower() for hit in hits)


def outdated(memory: HiMem, dialogue: Dialogue, now: datetime) -> list[str]:
    """Notes in use that say of somebody what was so once and is not any more."""
    holds = {
        (matter(fact.subject, canonical(fact.attribute)), value_key(fact.value)): fact.valid_to is None
        for fact in sorted(dialogue.facts, key=lambda fact: fact.valid_to is None)
        if fact.attribute in ATTRIBUTES
    }
    found = []
    for note in memory.current(now).of(memory.STATED).values():
        key = (matter(note.meta["subject"], canonical(note.meta["attribute"])), value_key(note.meta["value"]))
        if not note.hidden and note.meta["holds"] and not holds.get(key, True):
            found.append(note.text)
    return found


def _is_note(memory: HiMem, hit: Hit) -> bool:
    return hit.record is not None and hit.record.kind == memory.STATED
