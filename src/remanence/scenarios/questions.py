"""Questions with exact answers, drawn from the state that the simulation kept."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import chain, zip_longest

from remanence.scenarios.attributes import ATTRIBUTES, HAPPENINGS, SHARED
from remanence.scenarios.dates import spell
from remanence.scenarios.dice import Dice
from remanence.scenarios.happenings import AHEAD
from remanence.scenarios.model import UNKNOWN, Category, Probe, Question, Turn
from remanence.scenarios.phrases import says, value_fields
from remanence.scenarios.world import DAY, Entry, Simulation, Slot

SHARES: dict[Category, float] = {
    "single": 0.16,
    "update": 0.12,
    "contradiction": 0.03,
    "correction": 0.04,
    "previous": 0.06,
    "as_of": 0.09,
    "multi_hop": 0.10,
    "temporal": 0.08,
    "interval": 0.03,
    "negation": 0.06,
    "multi_value": 0.04,
    "count": 0.03,
    "unanswerable": 0.16,
}
PER_SESSION = 4
MOST = 400


class Asker:
    """Collects candidates per category and keeps those that pass the gates."""

    def __init__(self, world: Simulation, turns: tuple[Turn, ...]) -> None:
        self.world = world
        self.dice = Dice(world.seed, "questions")
        self.now = turns[-1].at + DAY
        self.order = {turn.id: i for i, turn in enumerate(turns)}
        self.text = "\n".join([turn.text.lower() for turn in turns])
        self.starts: list[int] = []
        at = 0
        for turn in turns:
            self.starts.append(at)
            at += len(turn.text.lower()) + 1
        self.ids = [turn.id for turn in turns]
        self.slots = [slot for slot in world.slots.values() if slot.entries]
        self.taken: set[str] = set()
        self.found: list[Question] = []

    def ask(self, limit: int) -> tuple[Question, ...]:
        """Up to `limit` questions, each category up to its share."""
        makers: dict[Category, Iterator[Question | None]] = {
            "single": self._single(),
            "update": self._update("update"),
            "contradiction": self._update("contradiction"),
            "correction": self._update("correction"),
            "previous": self._previous(),
            "as_of": self._as_of(),
            "multi_hop": self._multi_hop(),
            "temporal": self._temporal(),
            "interval": self._interval(),
            "negation": self._negation(),
            "multi_value": self._multi_value(),
            "count": self._count(),
            "unanswerable": self._unanswerable(),
        }
        for category, maker in makers.items():
            wanted = max(1, round(limit * SHARES[category]))
            for question in maker:
                if question is not None:
                    self.found.append(question)
                    wanted -= 1
                    if wanted == 0:
                        break
        found = self.dice.shuffled(self.found)
        return tuple(_with_id(question, f"q{i:04d}") for i, question in enumerate(found))

    # Gates

    def _make(
        self,
        category: Category,
        text: str,
        answer: str,
        gold: Iterable[str],
        forbidden: Iterable[str],
        probe: Probe,
        as_of: datetime | None = None,
    ) -> Question | None:
        """The question, or None if its text was used before or gives the answer away."""
        text = text[0].upper() + text[1:]
        if text in self.taken or says(text, answer):
            return None
        self.taken.add(text)
        proof = tuple(sorted(set(gold), key=self.order.__getitem__))
        misleading = tuple(sorted(set(forbidden).difference(proof), key=self.order.__getitem__))
        return Question("", text, answer, proof, category, as_of, self.now, misleading, probe)

    def _only_in(self, phrase: str, turns: tuple[str, ...]) -> bool:
        """Whether the phrase occurs in no other turn."""
        phrase = phrase.lower()
        text, size = self.text, len(phrase)
        at = text.find(phrase)
        while at >= 0:
            bounded = not text[at - 1 : at].isalnum() and not text[at + size : at + size + 1].isalnum()
            if bounded and self.ids[bisect_right(self.starts, at) - 1] not in turns:
                return False
            at = text.find(phrase, at + 1)
        return True

    def _near(self, slot: Slot) -> list[str]:
        return self.world.near.get((slot.who.name, slot.attribute.key), [])

    def _stale(self, slot: Slot, *used: Entry) -> Iterator[str]:
        """Turns that mislead about the slot: near misses and statements of other values."""
        yield from self._near(slot)
        for entry in slot.entries:
            if entry not in used:
                yield from entry.turns

    def _shuffled(self) -> list[Slot]:
        return self.dice.shuffled(self.slots)

    def _fields(self, slot: Slot, value: str) -> dict[str, str]:
        return value_fields(slot.attribute.article, value) | {"n": slot.who.name}

    # Categories

    def _single(self) -> Iterator[Question | None]:
        for slot in self._shuffled():
            if len(slot.entries) != 1 or not slot.open or slot.attribute.many or slot.locked:
                continue
            entry = slot.entries[0]
            if self._only_in(entry.value, entry.turns):
                yield self._current("single", slot)

    def _current(self, category: Category, slot: Slot) -> Question | None:
        entry = slot.open[0]
        return self._make(
            category,
            self.dice.pick(slot.attribute.now).format(n=slot.who.name),
            entry.value,
            entry.turns,
            self._stale(slot, entry),
            Probe((slot.who.name,), slot.attribute.key, "now"),
        )

    def _update(self, category: Category) -> Iterator[Question | None]:
        for slot in self._shuffled():
            if slot.attribute.many or not slot.open or len(slot.entries) < 2:
                continue
            former, entry = slot.entries[-2], slot.entries[-1]
            kind = "correction" if former.slip else "update" if entry.marked else "contradiction"
            if kind == category:
                yield self._current(category, slot)

    def _previous(self) -> Iterator[Question | None]:
        for slot in self._shuffled():
            true = [entry for entry in slot.entries if not entry.slip]
            if slot.attribute.many or len(true) < 2 or not slot.attribute.before:
                continue
            i = self.dice.below(len(true) - 1)
            former, later = true[i], true[i + 1]
            if former.value == later.value or [entry.value for entry in true].count(later.value) > 1:
                continue
            yield self._make(
                "previous",
                self.dice.pick(slot.attribute.before).format(**self._fields(slot, later.value)),
                former.value,
                (*former.turns, *later.turns),
                self._stale(slot, former, later),
                Probe((slot.who.name,), slot.attribute.key, "before", (later.value,)),
            )

    def _as_of(self) -> Iterator[Question | None]:
        for slot in chain.from_iterable(self._shuffled() for _ in range(3)):
            if slot.attribute.many or not slot.attribute.then:
                continue
            past = [entry for entry in slot.entries if entry.valid_to and entry.valid_to - entry.valid_from >= 4 * DAY]
            if not past:
                continue
            entry = self.dice.pick(past)
            assert entry.valid_to is not None
            room = (entry.valid_to - entry.valid_from).days - 2
            day = (entry.valid_from + timedelta(days=1 + self.dice.below(room))).replace(hour=12, minute=0, second=0)
            yield self._make(
                "as_of",
                self.dice.pick(slot.attribute.then).format(n=slot.who.name, t=spell(day.date())),
                entry.value,
                entry.turns,
                self._stale(slot, entry),
                Probe((slot.who.name,), slot.attribute.key, "then"),
                as_of=day,
            )

    def _multi_hop(self) -> Iterator[Question | None]:
        known: defaultdict[str, list[Slot]] = defaultdict(list)
        for slot in self.slots:
            if slot.open and not slot.attribute.many:
                known[slot.who.name].append(slot)
        for link in chain.from_iterable(self._shuffled() for _ in range(3)):
            if not link.attribute.person or not link.open:
                continue
            friend = link.open[0]
            if not known[friend.value]:
                continue
            slot = self.dice.pick(known[friend.value])
            entry = slot.open[0]
            yield self._make(
                "multi_hop",
                self.dice.pick(slot.attribute.now).format(n=f"{link.who.name}'s {link.attribute.label}"),
                entry.value,
                (*friend.turns, *entry.turns),
                (*self._stale(link, friend), *self._stale(slot, entry)),
                Probe((link.who.name, link.attribute.key), slot.attribute.key, "now"),
            )

    def _temporal(self) -> Iterator[Question | None]:
        for entry in self.dice.shuffled(list(self.world.happened.values())):
            kind = HAPPENINGS[entry.attribute]
            same = [other for other in self._happenings(entry.subject) if other.attribute == kind.key]
            lines = kind.vague if kind.vague and len(same) == 1 and self.world.temper.level else kind.when
            yield self._make(
                "temporal",
                self.dice.pick(lines).format(n=entry.subject, v=entry.value),
                spell(entry.valid_from.date()),
                entry.turns,
                self.world.near.get((entry.subject, entry.attribute), ()),
                Probe((entry.subject,), entry.attribute, "when", (entry.value,)),
            )
        for plan in self.dice.shuffled(list(self.world.plans.values())):
            if not plan:
                continue
            entry = plan[-1]
            yield self._make(
                "temporal",
                self.dice.pick(HAPPENINGS[entry.attribute].when).format(n=entry.subject),
                entry.value,
                entry.turns,
                (
                    *self.world.near.get((entry.subject, entry.attribute), ()),
                    *(turn for former in plan[:-1] for turn in former.turns),
                ),
                Probe((entry.subject,), entry.attribute, "now"),
            )

    def _happenings(self, subject: str) -> list[Entry]:
        return [entry for (who, _, _), entry in self.world.happened.items() if who == subject]

    def _interval(self) -> Iterator[Question | None]:
        for speaker in chain.from_iterable(self.dice.shuffled(self.world.speakers) for _ in range(8)):
            entries = self.dice.shuffled(self._happenings(speaker.name))[:2]
            if len(entries) < 2:
                continue
            one, two = sorted(entries, key=lambda entry: entry.valid_from)
            days = (two.valid_from - one.valid_from).days
            if days == 0:
                continue
            names = [HAPPENINGS[entry.attribute].noun.format(v=entry.value) for entry in (one, two)]
            yield self._make(
                "interval",
                f"Thinking of {speaker.name}: how many days passed between {names[0]} and {names[1]}?",
                str(days),
                (*one.turns, *two.turns),
                chain.from_iterable(self.world.near.get((e.subject, e.attribute), ()) for e in (one, two)),
                Probe((speaker.name,), "", "days", pairs=((one.attribute, one.value), (two.attribute, two.value))),
            )

    def _negation(self) -> Iterator[Question | None]:
        # Alternating answers: always saying no must not pay.
        gone, here = self._gone(), self._here()
        makers = (gone, here) if self.dice.chance(0.5) else (here, gone)
        while True:
            for maker in makers:
                question = next((found for found in maker if found is not None), None)
                if question is None:
                    return
                yield question

    def _gone(self) -> Iterator[Question | None]:
        slots = self._shuffled()
        ended = [slot for slot in slots if not slot.open or slot.attribute.many]
        for slot in chain(ended, slots):
            held = {entry.value for entry in slot.open}
            over = [entry for entry in slot.entries if not entry.slip and entry.ended_by and entry.value not in held]
            if not over or not slot.attribute.still:
                continue
            entry = over[-1]
            assert entry.ended_by is not None
            current = () if slot.attribute.many else tuple(slot.open)
            gold = (entry.ended_by, *chain.from_iterable(other.turns for other in current))
            yield self._still(slot, entry, "no", gold, (entry, *current))

    def _here(self) -> Iterator[Question | None]:
        for slot in self._shuffled():
            if slot.open and slot.attribute.still and not slot.locked:
                entry = self.dice.pick(slot.open)
                yield self._still(slot, entry, "yes", entry.turns, (entry,))

    def _still(
        self, slot: Slot, entry: Entry, answer: str, gold: tuple[str, ...], used: tuple[Entry, ...]
    ) -> Question | None:
        misleading = self._near(slot) if slot.attribute.many else self._stale(slot, *used)
        stale = entry.turns if answer == "no" else ()
        return self._make(
            "negation",
            self.dice.pick(slot.attribute.still).format(**self._fields(slot, entry.value)),
            answer,
            gold,
            (*misleading, *stale),
            Probe((slot.who.name,), slot.attribute.key, "still", (entry.value,)),
        )

    def _multi_value(self) -> Iterator[Question | None]:
        for slot in self._shuffled():
            if slot.attribute.many and len(slot.open) > 1:
                yield self._make(
                    "multi_value",
                    self.dice.pick(slot.attribute.now).format(n=slot.who.name),
                    ", ".join(sorted(entry.value for entry in slot.open)),
                    chain.from_iterable(entry.turns for entry in slot.open),
                    self._stale(slot, *slot.open),
                    Probe((slot.who.name,), slot.attribute.key, "values"),
                )

    def _count(self) -> Iterator[Question | None]:
        for slot in self._shuffled():
            true = [entry for entry in slot.entries if not entry.slip]
            used = slot.open if slot.attribute.many else true
            values = {entry.value for entry in used}
            if not slot.attribute.count or len(values) < 2:
                continue
            yield self._make(
                "count",
                self.dice.pick(slot.attribute.count).format(n=slot.who.name),
                str(len(values)),
                chain.from_iterable(entry.turns for entry in used),
                self._stale(slot, *used),
                Probe((slot.who.name,), slot.attribute.key, "count" if slot.attribute.many else "count_ever"),
            )

    def _unanswerable(self) -> Iterator[Question | None]:
        known = {(slot.who.name, slot.attribute.key) for slot in self.slots}
        planned = {key for key, plan in self.world.plans.items() if plan}
        speakers = [speaker.name for speaker in self.world.speakers]
        others = [slot.open[0].value for slot in self.slots if slot.attribute.person and slot.open]
        wanted = [(name, attribute.key, attribute.now) for name in speakers for attribute in ATTRIBUTES.values()]
        wanted += [(name, attribute.key, attribute.now) for name in others for attribute in SHARED]
        wanted += [(name, kind.key, kind.when) for name in speakers for kind in AHEAD]
        wanted = [row for row in self.dice.shuffled(wanted) if row[:2] not in known and row[:2] not in planned]
        # Bait first in every other question: absence must not be told by the absence of look-alikes.
        baited = [row for row in wanted if row[:2] in self.world.near]
        plain = [row for row in wanted if row[:2] not in self.world.near]
        for name, key, lines in chain.from_iterable(zip_longest(baited, plain, fillvalue=("", "", ()))):
            if name:
                near = self.world.near.get((name, key), ())
                text = self.dice.pick(lines).format(n=name)
                yield self._make("unanswerable", text, UNKNOWN, (), near, Probe((name,), key, "unknown"))


def _with_id(question: Question, name: str) -> Question:
    return Question(
        name, question.text, question.answer, question.gold, question.category, question.as_of, question.now,
        question.forbidden, question.probe,
    )  # fmt: skip
