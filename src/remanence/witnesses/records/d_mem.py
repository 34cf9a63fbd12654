"""Does a gate know when a fast answer is wrong, and is it worth its price?

A conversation with its facts, and with details that no extractor keeps: the colour of a teapot, what a note said word
for word, what somebody did first. One question in four asks for such a detail; a few ask over two steps, which neither
way of answering can do, so that the gate pays for nothing there. Of other facts, too, the extractor drops some, and an
older value may then seem to answer. Fast answers come from memories, slow ones from the whole dialogue, read for that
question. The baseline asks further by chance, as often as the gate does: what it would get right on average. To count,
the gate has to recover four fifths of what reading everything gains, at no more than half of its cost.

The gate was fitted (`calibrated`) on other dialogues than those that witness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from remanence.core.card import Evidence
from remanence.kernels.answerability import Answerable, Gate, array, auc, fitted
from remanence.kernels.novelty import Statement
from remanence.kernels.truth import value_key
from remanence.mechanisms.records.d_mem import GATE, DMem
from remanence.scenarios.attributes import ATTRIBUTES
from remanence.scenarios.dialogues import generate
from remanence.scenarios.dice import Dice
from remanence.stores.embedders import StaticEmbedder
from remanence.substrates.records.mechanism import Item
from remanence.substrates.records.model import Record

SESSIONS = 12
QUESTIONS = 30
DETAILS = 12
HOPS = 3
MISSED = 1 / 8
FITTED_ON = tuple(range(1000, 1008))
RECOVERED = 0.8
PRICE = 0.5

COLOURS = ("teal", "crimson", "mustard", "lilac", "turquoise", "beige", "maroon", "ivory", "khaki", "magenta")
THINGS = ("teapot", "umbrella", "suitcase", "armchair", "scarf", "lampshade", "bathtub", "doormat", "mailbox", "kettle")
PLACES = ("on the shelf by the window", "in the hall", "under the stairs", "next to the radiator")
MOTTOS = (
    "measure twice and cut once", "no soup after midnight", "every goat wants a roof", "slow feet find the path",
    "butter first and ask later", "a wet cat knows the rain", "the moon pays no rent", "two knots beat one prayer",
)  # fmt: skip
SIGNS = ("fridge magnet", "doorbell sticker", "coffee mug", "fortune cookie", "keyring tag", "garden sign")
CHORES = (
    "descale the boiler", "feed the sourdough", "bleed the radiators", "repot the ficus", "defrost the freezer",
    "oil the hinges", "sweep the chimney", "wind the grandfather clock",
)  # fmt: skip
_COLOUR = (
    "You should have seen it, the {thing} {place}, all {value} and chipped at the rim.",
    "Somebody sat on my {thing} again. There it lies {place}, {value} and squashed.",
    "Dust everywhere {place}, even over the {thing}, {value} as it is.",
)
_MOTTO = ("Ha, the {thing} says it best: {value}.", "I read it off the {thing} every morning: {value}.")
_ORDER = (
    "Busy morning: up early to {value}, and only then to {other}.",
    "Had to {value} before getting round to {other}.",
)


class Careless(DMem):
    """Drops one value of a matter in eight, however often it is said."""

    seed = 0

    def extracted(self, turns: Sequence[Record], now: datetime) -> list[list[Statement]]:
        """What is remembered."""
        read = super().extracted(turns, now)
        return [[one for one in statements if not self.misses(one)] for statements in read]

    def misses(self, one: Statement) -> bool:
        """Whether a statement is passed over."""
        return Dice(self.seed, one.matter, value_key(one.value)).chance(MISSED)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, its answer, and whether it asks for a detail."""

    text: str
    answer: str
    detail: bool


@dataclass(frozen=True, slots=True)
class Talk:
    """Turns as items, and what is asked of them."""

    items: tuple[Item, ...]
    questions: tuple[Asked, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one question: whether the fast and the slow answer are right, how likely the gate held the fast one to be
    wrong, whether it asked further, tokens of both paths, and what the gate saw."""

    fast: bool
    slow: bool
    wrong: float
    asked: bool
    fast_cost: int
    slow_cost: int
    seen: Answerable


def witness(seed: int) -> Evidence:
    """Share of right answers with the gate, and with as many further questions by chance; 0 where the gate recovers too
    little or costs too much."""
    found = measure(seed)
    worth = found["recovered"] >= RECOVERED and found["price"] <= PRICE and found["fast"] < found["slow"]
    return Evidence("right answers", found["gated"] if worth else 0.0, found["by chance"])


def measure(seed: int, *, gate: Gate | None = None) -> dict[str, float]:
    """Shares of right answers: fast, slow, gated, gated by chance at the same rate (its mean), and by an oracle; the
    share asked further, the price in parts of reading all, the share of the gain recovered, and the gate's AUC."""
    outcomes = trial(seed, gate)
    size = len(outcomes)
    fast, slow = sum(one.fast for one in outcomes) / size, sum(one.slow for one in outcomes) / size
    rate = sum(one.asked for one in outcomes) / size
    gated = sum(one.slow if one.asked else one.fast for one in outcomes) / size
    cost = sum(one.fast_cost + one.asked * one.slow_cost for one in outcomes)
    return {
        "fast": fast,
        "slow": slow,
        "gated": gated,
        "by chance": fast + rate * (slow - fast),
        "oracle": sum(one.fast or one.slow for one in outcomes) / size,
        "rate": rate,
        "price": cost / sum(one.slow_cost for one in outcomes),
        "recovered": (gated - fast) / (slow - fast) if slow > fast else 1.0,
        "auc": auc([one.wrong for one in outcomes], [not one.fast for one in outcomes]),
    }


def trial(seed: int, gate: Gate | None = None) -> list[Outcome]:
    """Both answers to all questions on one talk."""
    made = talk(seed)
    memory = Careless(embedder=StaticEmbedder(), gate=GATE if gate is None else gate)
    memory.seed = seed
    end = made.items[-1].at
    assert end is not None
    memory.write(made.items, now=end)
    now = end + timedelta(days=1)
    outcomes = []
    for question in made.questions:
        asked = memory.asked(question.text, now)
        fast, hits, wrong, seen = memory.fast(asked, now)
        slow, _ = memory.slow(asked, now)
        cost = memory.cost_of(hits), memory.cost(now)
        outcomes.append(
            Outcome(
                right(fast, question.answer),
                right(slow, question.answer),
                wrong,
                memory.gate.distrusts(wrong),
                *cost,
                seen,
            )
        )
    return outcomes


def calibrated(seeds: Sequence[int] = FITTED_ON, recall: float = 0.9) -> Gate:
    """The gate of all questions on some talks."""
    outcomes = [one for seed in seeds for one in trial(seed)]
    return fitted(array(one.seen for one in outcomes), [not one.fast for one in outcomes], recall=recall)


def right(said: str, answer: str) -> bool:
    """Whether an answer, a value or a sentence, holds the true one."""
    return answer.lower() in said.lower()


def talk(seed: int) -> Talk:
    """A generated dialogue with details put in between its turns, and questions on both."""
    dice = Dice(seed, "d_mem")
    dialogue = generate(seed, sessions=SESSIONS, people=3, hardness="hard")
    items = [Item(turn.text, speaker=turn.speaker, at=turn.at, session=turn.session) for turn in dialogue.turns]
    facts = [
        Asked(ATTRIBUTES[fact.attribute].now[0].format(n=fact.subject), fact.value, False)
        for fact in dialogue.facts
        if fact.valid_to is None and fact.attribute in ATTRIBUTES and not ATTRIBUTES[fact.attribute].many
    ]
    details = []
    places = dice.shuffled(range(1, len(items)))
    things, signs, chores = dice.shuffled(THINGS), dice.shuffled(SIGNS), dice.shuffled(CHORES)
    colours, mottos = dice.shuffled(COLOURS), dice.shuffled(MOTTOS)
    put: list[tuple[int, Item]] = []
    for number in range(DETAILS):
        at = places[number]
        before = items[at - 1]
        who = str(before.speaker)
        if number % 3 == 0:
            thing, value = things.pop(), colours.pop()
            text = dice.pick(_COLOUR).format(thing=thing, place=dice.pick(PLACES), value=value)
            asked = f"What colour is {who}'s {thing}?"
        elif number % 3 == 1:
            thing, value = signs.pop(), mottos.pop()
            text = dice.pick(_MOTTO).format(thing=thing, value=value)
            asked = f"What exactly does the {thing} of {who} say?"
        else:
            value, other = chores.pop(), chores.pop()
            text = dice.pick(_ORDER).format(value=value, other=other)
            asked = f"What did {who} have to do before getting round to {other}?"
        put.append((at, Item(text, speaker=who, at=before.at, session=before.session)))
        details.append(Asked(asked, value, True))
    for at, item in sorted(put, key=lambda one: -one[0]):
        items.insert(at, item)
    hops = [Asked(one.text, one.answer, False) for one in dialogue.questions if one.category == "multi_hop"]
    return Talk(tuple(items), (*dice.shuffled(facts)[:QUESTIONS], *details, *dice.shuffled(hops)[:HOPS]))
