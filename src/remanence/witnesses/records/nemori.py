"""Does predicting what an episode will say keep the memory small without losing what is new?

Forty sessions of a few people, in which seven of ten statements say again, in other words, what was said before, and
three say something new or that something has changed. The baseline stores every statement that the same rules find
(direct extraction). Both answer the same questions from the twenty facts nearest to each, by the newest one on the
matter. To count, predict-calibrate has to answer at least as many questions, to know every value that came in place of
another, and to keep less than half as many statements.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from remanence.core.card import Evidence
from remanence.kernels.claims.questions import read_question
from remanence.kernels.truth import matter, value_key
from remanence.mechanisms.records.nemori import Nemori
from remanence.scenarios import smalltalk
from remanence.scenarios.attributes import ATTRIBUTES
from remanence.scenarios.dice import Dice
from remanence.scenarios.phrases import Attribute, Person, person, render, value_fields
from remanence.scenarios.values import MEN, POOLS, WOMEN
from remanence.stores.embedders import StaticEmbedder
from remanence.substrates.records.mechanism import Item

SESSIONS = 40
SPEAKERS = 4
STATEMENTS = 10
REPEATED = 0.7
CHANGED = 0.5
"""Share of what is not repeated that says that something has changed."""
FACTS = 20
KEYS = (
    "home_city", "job", "employer", "car", "commute", "school", "food", "drink", "language", "book", "series", "phone",
)  # fmt: skip
START = datetime(2024, 3, 4, 18, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Stream:
    """Sessions of items, who is what now as (person, attribute) -> value, what replaced something, and how many
    statements were made and repeated."""

    sessions: tuple[tuple[Item, ...], ...]
    now: dict[tuple[str, str], str]
    changed: tuple[tuple[str, str, str], ...]
    statements: int
    repeated: int


def witness(seed: int) -> Evidence:
    """Statements kept, beside half of what direct extraction keeps; infinite if an answer or a change was lost."""
    found = measure(seed)
    lost = found["answered"] < found["direct answered"] or found["changes known"] < 1
    kept = math.inf if lost else found["kept"]
    return Evidence("statements kept (half of direct extraction)", kept, found["direct kept"] / 2, False)


def measure(seed: int) -> dict[str, float]:
    """Statements kept, share of questions answered and of changed values known, for both; and the repeated share."""
    stream = generate(seed)
    out: dict[str, float] = {"repeated": stream.repeated / stream.statements}
    for prefix, calibrate in (("", True), ("direct ", False)):
        memory = Nemori(embedder=StaticEmbedder(), calibrate=calibrate)
        end = remember(memory, stream)
        facts = memory.current(end).of(memory.STATED).values()
        known = {(matter(one.meta["subject"], one.meta["attribute"]), value_key(one.meta["value"])) for one in facts}
        wanted = [(matter(who, key), value_key(value)) for who, key, value in stream.changed]
        right = [answer(memory, who, key, end) == value_key(value) for (who, key), value in stream.now.items()]
        out[f"{prefix}kept"] = len(facts)
        out[f"{prefix}answered"] = sum(right) / len(right)
        out[f"{prefix}changes known"] = sum(one in known for one in wanted) / len(wanted)
    return out


def remember(memory: Nemori, stream: Stream) -> datetime:
    """Write a stream session by session; a moment after its end."""
    for items in stream.sessions:
        last = items[-1].at or START
        memory.write(items, now=last)
    end = last + timedelta(days=1)
    memory.consolidate(now=end)
    return end


def answer(memory: Nemori, who: str, key: str, now: datetime) -> str:
    """The value of the newest fact on what a question asks among the facts nearest to it; empty for none."""
    question = ATTRIBUTES[key].now[0].format(n=who)
    asked = {matter(ask.path[0], ask.attribute) for ask in read_question(question, now, (who,)) if len(ask.path) == 1}
    hits = [hit.record for hit in memory.read(question, 3 * FACTS, now=now)]
    facts = [record for record in hits if record is not None and record.kind == memory.STATED][:FACTS]
    fitting = [
        one for one in facts if matter(one.meta["subject"], one.meta["attribute"]) in asked and one.meta["holds"]
    ]
    newest = max(fitting, key=lambda one: (one.meta["last"], one.id), default=None)
    return "" if newest is None else value_key(newest.meta["value"])


def generate(seed: int) -> Stream:
    """A stream of statements in the first person, with small talk around them."""
    dice = Dice(seed, "nemori")
    people = [person(name, female) for name, female in zip(
        (*dice.shuffled(WOMEN)[: SPEAKERS // 2], *dice.shuffled(MEN)[: SPEAKERS // 2]),
        (True,) * (SPEAKERS // 2) + (False,) * (SPEAKERS // 2), strict=True)]  # fmt: skip
    pools = {key: dice.shuffled(POOLS[ATTRIBUTES[key].pool]) for key in KEYS}
    now: dict[tuple[str, str], str] = {}
    changed: list[tuple[str, str, str]] = []
    sessions: list[tuple[Item, ...]] = []
    open_slots = dice.shuffled([(who, key) for who in people for key in KEYS])
    clock, made, repeated = START, 0, 0
    for number in range(SESSIONS):
        items: list[Item] = []
        for _ in range(STATEMENTS):
            made += 1
            if len(now) > SPEAKERS and dice.chance(REPEATED):
                repeated += 1
                (name, key), value = dice.pick(list(now.items()))
                who = next(one for one in people if one.name == name)
                text = _say(dice, who, ATTRIBUTES[key], value)
            elif now and (not open_slots or dice.chance(CHANGED)):
                name, key = dice.pick(list(now))
                who = next(one for one in people if one.name == name)
                value, old = pools[key].pop(), now[name, key]
                text = _change(dice, who, ATTRIBUTES[key], value, old)
                changed.append((name, key, value))
            else:
                who, key = open_slots.pop()
                value = pools[key].pop()
                text = _say(dice, who, ATTRIBUTES[key], value)
            now[who.name, key] = value
            clock += timedelta(seconds=dice.between(15, 90))
            items.append(Item(text, speaker=who.name, at=clock, session=f"s{number}"))
            other = dice.pick([one for one in people if one is not who])
            clock += timedelta(seconds=dice.between(15, 90))
            items.append(Item(dice.pick(smalltalk.REACTIONS), speaker=other.name, at=clock, session=f"s{number}"))
        sessions.append(tuple(items))
        clock += timedelta(hours=dice.between(20, 60))
    return Stream(tuple(sessions), now, tuple(changed), made, repeated)


def _say(dice: Dice, who: Person, attribute: Attribute, value: str) -> str:
    lines = [line for level in attribute.say[:2] for line in level if "{w" not in line]
    return render(dice.pick(lines), who, True, value_fields(attribute.article, value))


def _change(dice: Dice, who: Person, attribute: Attribute, value: str, old: str) -> str:
    lines = [line for level in attribute.change[:2] for line in level if "{w" not in line]
    fields = {
        **value_fields(attribute.article, value),
        "old": old,
        "nold": value_fields(attribute.article, old)["nv"],
    }
    return render(dice.pick(lines or [line for level in attribute.say[:2] for line in level]), who, True, fields)
