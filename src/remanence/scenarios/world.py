"""The simulated world: who exists, what is true of them when, and the sessions in which they talk about it.

State comes first and text second: each session decides what happens, renders it, and writes down which turn said
what. Session i is drawn from its own seed and from the state that sessions before i left, so a longer conversation
begins with the shorter one, turn for turn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from remanence.scenarios import smalltalk
from remanence.scenarios.attributes import PERSONAL, RELATIONS, SHARED
from remanence.scenarios.chat import Chat
from remanence.scenarios.dates import future_phrase, midnight, past_phrase, spell
from remanence.scenarios.dice import Dice
from remanence.scenarios.happenings import AHEAD, PAST
from remanence.scenarios.model import Hardness, Turn
from remanence.scenarios.phrases import (
    Attribute,
    Happening,
    Lines,
    Person,
    inflect,
    names_subject,
    person,
    render,
    value_fields,
    value_pronouns,
    with_article,
)
from remanence.scenarios.values import KINDS, MEN, POOLS, WOMEN

DAY = timedelta(days=1)
COOL_DOWN = 10 * DAY
LAST_YEAR = 9000
RELATIONS_KNOWN = 3
SHARE_KNOWN = 0.7
KNOWN_OF_OTHERS = 4


@dataclass(frozen=True, slots=True)
class Temper:
    """What a hardness level changes besides the choice of sentences; rates per session or per statement."""

    level: int
    ask: float
    short: float
    near: tuple[int, int]
    shadow: float


TEMPERS: dict[Hardness, Temper] = {
    "easy": Temper(level=0, ask=0.0, short=0.0, near=(0, 1), shadow=0.0),
    "medium": Temper(level=1, ask=0.35, short=0.12, near=(1, 2), shadow=0.35),
    "hard": Temper(level=2, ask=0.4, short=0.3, near=(2, 4), shadow=0.9),
}


@dataclass(slots=True)
class Entry:
    """One statement of a value and how long it holds; becomes a `Fact`."""

    subject: str
    attribute: str
    value: str
    valid_from: datetime
    turn: str
    heard: tuple[str, ...]
    valid_to: datetime | None = None
    restated: list[str] = field(default_factory=list)
    ended_by: str | None = None
    marked: bool = True

    @property
    def turns(self) -> tuple[str, ...]:
        """All turns that state it, in order of time."""
        return (self.turn, *self.restated)

    @property
    def slip(self) -> bool:
        """Whether it was never true."""
        return self.valid_to == self.valid_from


@dataclass(slots=True)
class Slot:
    """One attribute of one person over time. `open` are the entries that hold now."""

    who: Person
    attribute: Attribute
    entries: list[Entry] = field(default_factory=list)
    open: list[Entry] = field(default_factory=list)
    last: datetime = datetime(1, 1, 1, tzinfo=UTC)
    locked: bool = False


@dataclass(slots=True)
class Slip:
    """A wrong statement that waits for its correction."""

    slot: Slot
    entry: Entry
    right: str


class Simulation(Chat):
    """A world that talks. `session(i)` must be called for i = 0, 1, 2, … in order.

    `people` speak; `gap` is the shortest and longest pause between sessions in minutes.
    """

    def __init__(self, seed: int, people: int, hardness: Hardness, gap: tuple[int, int] = (1440, 9 * 1440)) -> None:
        dice = Dice(seed, "world")
        super().__init__(datetime(2024, 1, 8, 9, tzinfo=UTC) + timedelta(days=dice.below(28)))
        self.seed = seed
        self.temper = TEMPERS[hardness]
        self.gap = gap
        self.women = dice.shuffled(WOMEN)
        self.men = dice.shuffled(MEN)
        self.pools = {name: dice.shuffled(pool) for name, pool in sorted(POOLS.items())}
        self.cursors = dict.fromkeys(self.pools, 0)
        self.persons: dict[str, Person] = {}
        self.speakers = [self._meet(dice, None) for _ in range(people)]
        self.slots: dict[tuple[str, str], Slot] = {}
        self.queues: dict[str, list[Slot]] = {}
        self.stated: dict[str, list[Slot]] = {}
        self.silent: dict[str, list[tuple[Person, Attribute]]] = {}
        self.entries: list[Entry] = []
        self.near: dict[tuple[str, str], list[str]] = {}
        self.happened: dict[tuple[str, str, str], Entry] = {}
        self.plans: dict[tuple[str, str], list[Entry]] = {}
        self.slips: list[Slip] = []
        self.extra: list[tuple[Person, Attribute | Happening, str | None]] = []
        for speaker in self.speakers:
            self._imagine(speaker, dice)

    def forget(self) -> None:
        """Drop the record of what was said but keep the state of the world, so that an endless run stays small."""
        self.entries.clear()
        self.near.clear()
        self.happened.clear()
        for slot in self.slots.values():
            slot.entries[:] = slot.open

    # People and what may be known of them

    def _meet(self, dice: Dice, owner: str | None, pool: str = "person") -> Person:
        female = pool == "woman" or (pool == "person" and dice.chance(0.5))
        names = self.women if (female and self.women) or not self.men else self.men
        someone = person(names.pop(), names is self.women, owner)
        self.persons[someone.name] = someone
        return someone

    def _imagine(self, speaker: Person, dice: Dice) -> None:
        relations = dice.shuffled(RELATIONS)
        known = [*relations[:RELATIONS_KNOWN]]
        unknown = [*relations[RELATIONS_KNOWN:]]
        for attribute in dice.shuffled(PERSONAL):
            (known if dice.chance(SHARE_KNOWN) else unknown).append(attribute)
        slots = [self._slot(speaker, attribute) for attribute in dice.shuffled(known)]
        # Relations come early, because nobody can be talked about before being introduced.
        self.queues[speaker.name] = [*slots[4:], *slots[:4]]
        self.queues[speaker.name].sort(key=lambda slot: not slot.attribute.person)
        mixed = self.queues[speaker.name]
        for i in range(RELATIONS_KNOWN):
            j = i + dice.below(6)
            mixed[i], mixed[j] = mixed[j], mixed[i]
        self.stated[speaker.name] = []
        self.silent[speaker.name] = [(speaker, attribute) for attribute in unknown]

    def _slot(self, who: Person, attribute: Attribute) -> Slot:
        slot = Slot(who, attribute)
        self.slots[who.name, attribute.key] = slot
        return slot

    def _introduce(self, other: Person, dice: Dice) -> None:
        assert other.owner is not None
        attributes = dice.shuffled(SHARED)
        queue = self.queues[other.owner]
        for attribute in attributes[:KNOWN_OF_OTHERS]:
            queue.insert(dice.below(min(len(queue), 8) + 1), self._slot(other, attribute))
        self.silent[other.owner].extend((other, attribute) for attribute in attributes[KNOWN_OF_OTHERS:])

    def _draw(self, pool: str, avoid: tuple[str, ...] = ()) -> str:
        values = self.pools[pool]
        while True:
            value = values[self.cursors[pool] % len(values)]
            self.cursors[pool] += 1
            if value not in avoid:
                return value

    def _value(self, slot: Slot) -> str | None:
        """A new value for the slot; None when there is none left."""
        attribute = slot.attribute
        if attribute.person:
            names = {"woman": self.women, "man": self.men}.get(attribute.pool, self.women + self.men)
            return self._meet(self.dice, slot.who.name, attribute.pool).name if names else None
        held = tuple(entry.value for entry in slot.open)
        if attribute.trend:
            pool = POOLS[attribute.pool]
            if not held:
                start = self.dice.below(len(pool) // 2)
                return pool[start if attribute.trend > 0 else len(pool) - 1 - start]
            at = pool.index(held[0]) + attribute.trend * self.dice.between(1, 6)
            return pool[at] if 0 <= at < len(pool) else None
        former = [entry.value for entry in slot.entries if entry.value not in held and not entry.slip]
        if former and not attribute.many and self.dice.chance(0.1):
            return self.dice.pick(former)
        return self._draw(attribute.pool, held)

    # One session

    def session(self, index: int) -> list[Turn]:
        """The turns of session `index`."""
        dice = Dice(self.seed, "session", index)
        pause = timedelta(minutes=dice.between(*self.gap))
        self.clock += pause
        if self.clock.year >= LAST_YEAR:
            self.clock = self.clock.replace(year=2024, day=1)
        if self.clock.hour < 7:
            self.clock += timedelta(hours=7)
        elif self.clock.hour >= 22:
            self.clock += timedelta(hours=10)
        count = 3 if len(self.speakers) > 2 and dice.chance(0.2) else 2
        self.begin(dice, f"s{index:04d}", dice.shuffled(self.speakers)[:count])
        self.present_names = tuple(someone.name for someone in self.present)

        self.pair(smalltalk.GREETINGS)
        beats = ["new"] * dice.between(2, 4) + ["change"] * dice.between(0, 3)
        beats += ["near"] * dice.between(*self.temper.near) + ["talk"] * dice.between(1, 3)
        beats += [kind for kind, odds in (("event", 0.6), ("plan", 0.25), ("restate", 0.25)) if dice.chance(odds)]
        pending = dice.shuffled(beats)
        if self.slips:
            pending.insert(dice.below(len(pending) + 1), "correct")
        play = {
            "new": self._beat_new,
            "change": self._beat_change,
            "near": self._beat_near,
            "talk": self.small_talk,
            "event": self._beat_event,
            "plan": self._beat_plan,
            "restate": self._beat_restate,
            "correct": self._beat_correct,
        }
        for beat in pending:
            play[beat]()
            if self.extra and dice.chance(0.6):
                self._shadow()
        while self.extra:
            self._shadow()
        if self.slips and dice.chance(0.7):
            self._beat_correct()
        self.pair(smalltalk.CLOSINGS)
        return self.turns

    # Statements

    def _owner(self, who: Person) -> Person:
        return who if who.owner is None else self.persons[who.owner]

    def _fields(self, attribute: Attribute, value: str, old: str = "") -> dict[str, str]:
        fields = value_fields(attribute.article, value)
        if value in KINDS:
            fields["x"] = KINDS[value]
            fields["ax"] = with_article("a", KINDS[value])
        if old:
            fields["old"] = old
            fields["nold"] = value_fields(attribute.article, old)["nv"]
        if attribute.person:
            fields |= value_pronouns(self.persons[value].voice)
        return fields

    def _dated(self, lines: Lines, fields: dict[str, str]) -> tuple[str, datetime | None]:
        """Choose one line and, if it says when, the day, whose wording goes into `fields`."""
        template = self.fresh(lines)
        if "{w}" not in template and "{w_}" not in template:
            return template, None
        ago = self.dice.between(1, 8)
        phrase = past_phrase(self.clock.date(), ago, self.dice)
        if "ince {w}" in template:
            phrase = phrase.removeprefix("on ")
        fields["w"] = phrase
        fields["w_"] = phrase[0].upper() + phrase[1:]
        return template, midnight(self.clock.date() - ago * DAY)

    def _state(self, slot: Slot, value: str, lines: Lines, *, plain: bool, marked: bool = True) -> Entry:
        """Say that the slot now has `value`, and write it down. `plain`: like a first mention, not like news."""
        attribute, who = slot.attribute, slot.who
        speaker = self._owner(who)
        former = slot.open[-1] if slot.open else None
        fields = self._fields(attribute, value, former.value if former else "")
        if plain and who is speaker and self.dice.chance(self.temper.short):
            since, turn = None, self.answer(speaker, attribute.ask, fields)
        else:
            template, since = self._dated(lines, fields)
            turn = self.tell(speaker, who, template, fields, attribute.ask if plain else (), self.temper.ask)
        at = self.said_at(turn)
        entry = Entry(who.name, attribute.key, value, since or at, turn, self.present_names, marked=marked)
        if former and not attribute.many:
            former.valid_to = entry.valid_from
            former.ended_by = turn
            slot.open.clear()
        self._enter(slot, entry, at)
        return entry

    def _enter(self, slot: Slot, entry: Entry, at: datetime) -> None:
        slot.entries.append(entry)
        slot.open.append(entry)
        slot.last = at
        self.entries.append(entry)
        if self.dice.chance(self.temper.shadow):
            self.extra.append((slot.who, slot.attribute, None))

    def _beat_new(self) -> None:
        dice = self.dice
        owner = next((p for p in dice.shuffled(self.present) if self.queues[p.name]), None)
        if owner is None:
            self._beat_change()
            return
        slot = self.queues[owner.name].pop(0)
        value = self._value(slot)
        if value is None:
            return
        attribute = slot.attribute
        self.stated[owner.name].append(slot)
        slips = not (attribute.person or attribute.many or attribute.trend) and dice.chance(0.07)
        right = self._draw(attribute.pool, (value,)) if slips else value
        entry = self._state(slot, value, attribute.say[self.temper.level], plain=True)
        if slips:
            slot.locked = True
            self.slips.append(Slip(slot, entry, right))
        if attribute.person:
            self._introduce(self.persons[value], dice)

    def _beat_correct(self) -> None:
        due = next((slip for slip in self.slips if self._owner(slip.slot.who) in self.present), None)
        if due is None:
            return
        self.slips.remove(due)
        slot, wrong = due.slot, due.entry
        speaker = self._owner(slot.who)
        fields = self._fields(slot.attribute, due.right, wrong.value)
        fields["label"] = slot.attribute.label
        lines = smalltalk.CORRECTIONS[self.temper.level]
        if slot.who is not speaker:
            lines = smalltalk.CORRECTIONS[0]
        listener = self.other(speaker)
        turn = self.say(speaker, render(self.dice.pick(lines), slot.who, slot.who is speaker, fields))
        self.react(listener)
        wrong.valid_to = wrong.valid_from
        wrong.ended_by = turn
        slot.open.clear()
        slot.locked = False
        entry = Entry(wrong.subject, wrong.attribute, due.right, wrong.valid_from, turn, self.present_names)
        self._enter(slot, entry, self.said_at(turn))

    def _beat_change(self) -> None:
        dice = self.dice
        owner = dice.pick(self.present)
        known = self.stated[owner.name]
        for _ in range(6 if known else 0):
            slot = dice.pick(known)
            attribute = slot.attribute
            rest = 3 * COOL_DOWN if attribute.person else COOL_DOWN
            if attribute.change[0] and not slot.locked and self.clock - slot.last >= rest:
                self._change(slot)
                return

    def _change(self, slot: Slot) -> None:
        dice = self.dice
        attribute = slot.attribute
        level = self.temper.level
        fate = dice.random()
        if attribute.many:
            if len(slot.open) > 4 or (len(slot.open) > 1 and fate < 0.45):
                self._end(slot)
                return
            value = self._value(slot)
            if value is not None:
                self._state(slot, value, (attribute.change if slot.open else attribute.say)[level], plain=False)
            return
        if slot.open and attribute.end[0] and fate < 0.16:
            self._end(slot)
            return
        value = self._value(slot)
        if value is None:
            return
        unmarked = fate > 0.6 and attribute.exclusive
        if unmarked or not slot.open:
            self._state(slot, value, attribute.say[level], plain=True, marked=not unmarked)
        else:
            self._state(slot, value, attribute.change[level], plain=False)
        if attribute.person:
            self._introduce(self.persons[value], dice)

    def _end(self, slot: Slot) -> None:
        entry = self.dice.pick(slot.open)
        fields = self._fields(slot.attribute, entry.value, entry.value)
        template, since = self._dated(slot.attribute.end[self.temper.level], fields)
        turn = self.tell(self._owner(slot.who), slot.who, template, fields)
        at = self.said_at(turn)
        entry.valid_to = since or at
        entry.ended_by = turn
        slot.open.remove(entry)
        slot.last = at

    def _beat_restate(self) -> None:
        dice = self.dice
        slot = dice.pick(self.stated[self.dice.pick(self.speakers).name] or [None])
        if slot is None or not slot.open or slot.locked:
            return
        entry = dice.pick(slot.open)
        owner = self._owner(slot.who)
        attribute = slot.attribute
        lines = attribute.say[self.temper.level]
        fields = self._fields(attribute, entry.value)
        if owner in self.present:
            if not all(name in entry.heard for name in self.present_names):
                template = self.fresh(lines)
                entry.restated.append(self.tell(owner, slot.who, template, fields, attribute.ask, self.temper.ask))
        else:
            told = [someone for someone in self.present if someone.name in entry.heard]
            lines = tuple(line for line in lines if names_subject(line))
            if told and lines:
                news = render(dice.pick(lines), slot.who, False, fields)
                news = dice.pick(smalltalk.RESTATED).format(say=news[0].upper() + news[1:])
                entry.restated.append(self.say(told[0], news))
                self.react(self.other(told[0]))

    def _beat_event(self) -> None:
        dice = self.dice
        speaker = dice.pick(self.present)
        kind = dice.pick(PAST)
        value = self._draw(kind.pool)
        if (speaker.name, kind.key, value) in self.happened:
            return
        fields = value_fields("", value)
        template, day = self._dated(kind.say[self.temper.level], fields)
        assert day is not None
        turn = self.tell(speaker, speaker, template, fields)
        entry = Entry(speaker.name, kind.key, value, day, turn, self.present_names, valid_to=day + DAY)
        self.happened[speaker.name, kind.key, value] = entry
        self.entries.append(entry)
        if dice.chance(self.temper.shadow):
            self.extra.append((speaker, kind, value))

    def _beat_plan(self) -> None:
        dice = self.dice
        speaker = dice.pick(self.present)
        kind = dice.pick(AHEAD)
        plan = self.plans.setdefault((speaker.name, kind.key), [])
        today = self.clock.date()
        lines = kind.say[self.temper.level]
        if plan:
            passed = len(plan) > 2 or plan[-1].value in {spell(today + i * DAY) for i in range(-1, 2)}
            if passed or self.clock - plan[-1].valid_from > 20 * DAY:
                return
            lines = kind.moved[self.temper.level]
        ahead = dice.between(2, 35) if not plan else dice.between(21, 40)
        value = spell(today + ahead * DAY)
        if plan and plan[-1].value == value:
            return
        fields = {"f": future_phrase(today, ahead, dice)}
        turn = self.tell(speaker, speaker, self.fresh(lines), fields)
        entry = Entry(speaker.name, kind.key, value, self.said_at(turn), turn, self.present_names)
        if plan:
            plan[-1].valid_to = entry.valid_from
            plan[-1].ended_by = turn
        plan.append(entry)
        self.entries.append(entry)
        if dice.chance(self.temper.shadow):
            self.extra.append((speaker, kind, None))

    # Near misses: what sounds like evidence and is none

    def _beat_near(self) -> None:
        dice = self.dice
        name = dice.pick(self.speakers).name
        if self.silent[name] and (dice.chance(0.4) or not self.stated[name]):
            who, attribute = dice.pick(self.silent[name])
        elif self.stated[name]:
            slot = dice.pick(self.stated[name])
            who, attribute = slot.who, slot.attribute
        else:
            return
        self._near_miss(who, attribute, None)

    def _shadow(self) -> None:
        self._near_miss(*self.extra.pop(self.dice.below(len(self.extra))))

    def _near_miss(self, who: Person, about: Attribute | Happening, value: str | None) -> None:
        dice = self.dice
        owner = self._owner(who)
        kinds = [self._near_gossip]
        if owner in self.present:
            kinds.append(self._near_tease)
        if isinstance(about, Attribute):
            kinds.append(self._near_echo)
        turn = dice.pick(kinds)(who, owner, about, value)
        self.near.setdefault((who.name, about.key), []).append(turn)

    def _decoy(self, who: Person, about: Attribute | Happening) -> dict[str, str]:
        if isinstance(about, Happening):
            return value_fields("", self._draw(about.pool)) if about.pool else {}
        if about.person:
            someone = person(*self._stranger(about.pool))
            return value_fields("", someone.name) | value_pronouns(someone.voice)
        slot = self.slots.get((who.name, about.key))
        held = tuple(entry.value for entry in slot.open) if slot else ()
        return value_fields(about.article, self._draw(about.pool, held))

    def _stranger(self, pool: str) -> tuple[str, bool]:
        """The name of somebody who has no part in this world, while names last."""
        female = pool == "woman" or (pool == "person" and self.dice.chance(0.5))
        names = (self.women if female else self.men) or (WOMEN if female else MEN)
        name = names[self.dice.below((len(names) + 1) // 2)]
        return name, female

    def _near_tease(self, who: Person, owner: Person, about: Attribute | Happening, value: str | None) -> str:
        turn = self.say(owner, render(self.fresh(about.tease), who, who is owner, self._decoy(who, about)))
        self.react(self.other(owner))
        return turn

    def _near_gossip(self, who: Person, owner: Person, about: Attribute | Happening, value: str | None) -> str:
        speaker = self.other(owner)
        listener = self.other(speaker)
        fields = self._decoy(who, about) if value is None else value_fields("", value)
        template = inflect(self.fresh(about.gossip), who is not listener)
        text = template.format(n=who.name, **fields)
        if who is listener and self.dice.chance(0.6):
            gentle = text.startswith(("My ", "A ", "The "))
            text = f"{who.name}, {text[0].lower()}{text[1:]}" if gentle else f"Hey {who.name}. {text}"
        turn = self.say(speaker, text)
        self.react(listener)
        return turn

    def _near_echo(self, who: Person, owner: Person, about: Attribute | Happening, value: str | None) -> str:
        assert isinstance(about, Attribute)
        dice = self.dice
        if who in self.present:
            asker = self.other(who)
            turn = self.say(asker, dice.pick(about.ask).format(A=who.name))
            self.say(who, self.fresh(smalltalk.EVASIONS))
            return turn
        asker = self.other(owner)
        question = dice.pick(about.now).format(n=who.name)
        turn = self.say(asker, dice.pick(smalltalk.ECHOES).format(q=question[0].lower() + question[1:], Q=question))
        self.say(self.other(asker), self.fresh(smalltalk.EVASIONS_OTHER))
        return turn
