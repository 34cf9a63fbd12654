"""Conversations in which people say what they can eat, pay and bear, and a team says how things are done; both change.

Two kinds of questions. `preference_apply`: four dinners, of which exactly one breaks none of the constraints that the
person had stated by then and not taken back; each of the others breaks exactly one. `procedure`: the steps of a
procedure, in order, after the revisions made by then. Constraints that were lifted or replaced set traps: the right
dinner may break one, and a wrong one may have been right before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Literal

from remanence.core.errors import InvalidInput
from remanence.scenarios.dates import spell
from remanence.scenarios.dice import Dice
from remanence.scenarios.model import HARDNESS, Hardness, Turn
from remanence.scenarios.phrases import says
from remanence.scenarios.preferences_text import (
    ALLERGENS,
    ASK,
    ASK_THEN,
    CHANGE,
    CHATTER,
    DIETS,
    DISHES,
    DROPPED,
    END,
    FIRST_STEP,
    FORBIDDEN,
    INSERTED,
    NEAR,
    NEXT_STEP,
    NUMBERS,
    PLACES,
    PLAIN_GARNISHES,
    PLAIN_PLACES,
    REPLACED,
    SAY,
    TASTES,
    WORKS,
    Work,
)
from remanence.scenarios.values import MEN, WOMEN

__all__ = ["Constraint", "Option", "PreferenceDialogue", "PreferenceQuestion", "Procedure", "breaks", "preferences"]

ConstraintKind = Literal["diet", "allergy", "taste", "budget", "place"]
START = datetime(2024, 1, 8, 17, tzinfo=UTC)
NEAR_MISSES = {"easy": 1, "medium": 4, "hard": 9}
"""Lines per session that use the words of menus and questions and say nothing about the speaker."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """What a person cannot have, from the turn that says so to the turn that ends it (None: still so).

    `value` is a diet (key of `preferences_text.DIETS`), a garnish, a number of euros, or a hindrance (key of `PLACES`).
    """

    person: str
    kind: ConstraintKind
    value: str
    valid_from: datetime
    turn: str
    valid_to: datetime | None = None
    ended_by: str | None = None

    def holds(self, at: datetime) -> bool:
        """Whether it was stated by then, and not ended."""
        return self.valid_from <= at and (self.valid_to is None or at < self.valid_to)


@dataclass(frozen=True, slots=True)
class Procedure:
    """One version of a procedure: its steps in order, since when, and the turns that state all of it, in order."""

    key: str
    steps: tuple[str, ...]
    valid_from: datetime
    turns: tuple[str, ...]
    superseded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Option:
    """One dinner in parts. `kind` is the kind of dish: meat, pork, fish, dairy or plant."""

    kind: str
    dish: str
    garnish: str
    price: int
    place: str

    @property
    def text(self) -> str:
        """The dinner in words."""
        return f"{self.dish} with {self.garnish} for {self.price} euros, {self.place}"


@dataclass(frozen=True, slots=True)
class PreferenceQuestion:
    """One question. `answer` is the text of the right option, or the steps joined by "; ".

    `gold` are the turns that rule out the wrong options (one each), or state the steps. `forbidden` are turns that
    look like evidence: what was replaced or taken back, hearsay, hypotheticals. `broken` says per option which
    constraint it breaks (None: the right one). `as_of` is set where the question names a day in the past.
    """

    id: str
    text: str
    category: Literal["preference_apply", "procedure"]
    subject: str
    answer: str
    gold: tuple[str, ...]
    forbidden: tuple[str, ...]
    as_of: datetime | None
    now: datetime
    options: tuple[Option, ...] = ()
    broken: tuple[Constraint | None, ...] = ()
    steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PreferenceDialogue:
    """The conversation, all that was ever true of its people and procedures, and the questions."""

    people: tuple[str, ...]
    turns: tuple[Turn, ...]
    constraints: tuple[Constraint, ...]
    procedures: tuple[Procedure, ...]
    questions: tuple[PreferenceQuestion, ...]
    seed: int
    hardness: Hardness


def breaks(option: Option, constraint: Constraint) -> bool:
    """Whether a dinner breaks a constraint."""
    if constraint.kind == "diet":
        return option.kind in FORBIDDEN[constraint.value]
    if constraint.kind == "budget":
        return option.price > int(constraint.value)
    if constraint.kind == "place":
        return option.place in PLACES[constraint.value][2]
    return option.garnish == constraint.value


def preferences(seed: int, *, sessions: int = 12, people: int = 3, hardness: Hardness = "medium") -> PreferenceDialogue:
    """A conversation of `sessions` sessions among `people` speakers (2 to 6), and its questions.

    "easy": statements use the words of menus and questions; "medium": other words; "hard": descriptions, steps out of
    order, and nine near misses per session. The same arguments give the same conversation; a longer one begins with the
    turns of the shorter one (its questions differ).

    Errors: `InvalidInput` for a number out of range or an unknown hardness.
    """
    if not 2 <= people <= 6:
        raise InvalidInput(f"people={people} must be 2 to 6")
    if sessions < 3:
        raise InvalidInput(f"sessions={sessions} must be at least 3: people need that many to say everything once")
    if hardness not in HARDNESS:
        raise InvalidInput(f"hardness must be one of {', '.join(HARDNESS)}, not {hardness!r}")
    world = _World(seed, people, hardness)
    for number in range(sessions):
        world.session(number)
    return PreferenceDialogue(
        people=world.people,
        turns=tuple(world.turns),
        constraints=tuple(world.constraints),
        procedures=tuple(world.procedures),
        questions=_Asker(world, sessions).questions(),
        seed=seed,
        hardness=hardness,
    )


@dataclass(slots=True)
class _Line:
    speaker: str
    text: str
    constraint: Constraint | None = None
    ends: int | None = None
    work: str | None = None
    steps: tuple[str, ...] | None = None
    drops: str | None = None
    near: bool = False


class _World:
    def __init__(self, seed: int, people: int, hardness: Hardness) -> None:
        self.seed = seed
        self.hardness = hardness
        self.level = HARDNESS.index(hardness)
        dice = Dice(seed, "preferences", people)
        self.people = tuple(dice.shuffled(WOMEN + MEN)[:people])
        self.agenda: dict[str, list[ConstraintKind]] = {
            person: dice.shuffled(("diet", "allergy", "taste", "budget", "place", "taste")) for person in self.people
        }
        self.works = dice.shuffled(WORKS)
        self.turns: list[Turn] = []
        self.constraints: list[Constraint] = []
        self.procedures: list[Procedure] = []
        self.near: list[Turn] = []
        self.at = START

    def open(self, person: str) -> list[int]:
        """Indexes of the constraints of a person that still hold."""
        return [i for i, c in enumerate(self.constraints) if c.person == person and c.valid_to is None]

    def session(self, number: int) -> None:
        """Write one session and take note of what it states."""
        dice = Dice(self.seed, self.hardness, len(self.people), "session", number)
        lines: list[_Line] = []
        for person in self.people:
            agenda = self.agenda[person]
            for _ in range(min(2, len(agenda))):
                lines.append(self._state(dice, person, agenda.pop(), lines))
            if number >= 3 and dice.chance(0.6):
                lines.append(self._revise(dice, person))
        if number % 2 == 0 and len(self.procedures_begun()) < len(self.works):
            lines += self._introduce(dice, self.works[len(self.procedures_begun())])
        for key in self.procedures_begun():
            versions = [p for p in self.procedures if p.key == key]
            if len(versions) == 1 and self.at - versions[0].valid_from > timedelta(days=8) and dice.chance(0.5):
                lines.append(self._revise_work(dice, versions[0]))
        lines += [self._near_miss(dice) for _ in range(NEAR_MISSES[self.hardness])]
        lines += [_Line(dice.pick(self.people), text) for text in dice.shuffled(CHATTER)[:6]]
        self._write(number, self._ordered(dice.shuffled(lines)))
        self.at += timedelta(days=dice.between(4, 9))

    def procedures_begun(self) -> list[str]:
        """Keys of the procedures that were stated, in order."""
        return list(dict.fromkeys(procedure.key for procedure in self.procedures))

    def _ordered(self, lines: list[_Line]) -> list[_Line]:
        # Steps come in order except at the hard level, where "after" and "before" alone tell it.
        places = [i for i, line in enumerate(lines) if line.work and line.steps and len(line.steps) <= 2]
        if self.level < 2:
            told = sorted((lines[i] for i in places), key=lambda line: self._rank(line))
            for i, line in zip(places, told, strict=True):
                lines[i] = line
        return lines

    def _rank(self, line: _Line) -> int:
        assert line.steps is not None
        work = next(work for work in WORKS if work.key == line.work)
        return work.steps.index(line.steps[-1])

    def _state(self, dice: Dice, person: str, kind: ConstraintKind, planned: list[_Line]) -> _Line:
        taken = {c.value for c in self.constraints if c.person == person}
        taken |= {line.constraint.value for line in planned if line.constraint and line.speaker == person}
        value = dice.pick([value for value in _values(kind) if value not in taken])
        template = dice.pick(SAY[kind][self.level])
        text = template.format(**self._words(kind, value))
        return _Line(person, text, constraint=Constraint(person, kind, value, self.at, ""))

    def _words(self, kind: ConstraintKind, value: str) -> dict[str, str]:
        if kind == "budget":
            return {"v": value, "w": NUMBERS[int(value)]}
        table = {"diet": DIETS, "allergy": ALLERGENS, "taste": TASTES}
        wording = PLACES[value][0] if kind == "place" else table[kind][value]
        return {"v": wording[self.level]}

    def _revise(self, dice: Dice, person: str) -> _Line:
        held = self.open(person)
        kinds = [self.constraints[i].kind for i in held]
        # Somebody with few constraints left gets a new one: a question needs three to break.
        if len(held) < 5 and dice.chance(0.7):
            free: list[ConstraintKind] = [kind for kind in ("allergy", "taste") if self._left(person, kind)]
            if free:
                return self._state(dice, person, dice.pick(free), [])
        index = dice.pick([i for i in held if self.constraints[i].kind in ("diet", "budget") or len(kinds) > 4])
        old = self.constraints[index]
        if old.kind in ("diet", "budget"):
            value = dice.pick([value for value in _values(old.kind) if value != old.value])
            words = self._words(old.kind, value) | {"old": self._words(old.kind, old.value)["v"]}
            text = dice.pick(CHANGE[old.kind][self.level]).format(**words)
            return _Line(person, text, constraint=Constraint(person, old.kind, value, self.at, ""), ends=index)
        if old.kind == "place":
            return _Line(person, PLACES[old.value][1], ends=index)
        text = dice.pick(END[old.kind][self.level]).format(**self._words(old.kind, old.value))
        return _Line(person, text, ends=index)

    def _left(self, person: str, kind: ConstraintKind) -> bool:
        return not set(_values(kind)) <= {c.value for c in self.constraints if c.person == person}

    def _introduce(self, dice: Dice, work: Work) -> list[_Line]:
        speaker = dice.pick(self.people)
        first, *rest = work.steps
        left_out = dice.pick(rest)
        steps = [first, *(step for step in rest if step != left_out)]
        text = dice.pick(FIRST_STEP[self.level]).format(key=work.key, b=first)
        lines = [_Line(speaker, text, work=work.key, steps=(first,))]
        for before, step in pairwise(steps):
            text = dice.pick(NEXT_STEP[self.level]).format(key=work.key, a=before, b=step)
            lines.append(_Line(speaker, text, work=work.key, steps=(before, step)))
        return lines

    def _revise_work(self, dice: Dice, current: Procedure) -> _Line:
        work = next(work for work in WORKS if work.key == current.key)
        new = dice.pick(work.spares)
        at = dice.between(1, len(current.steps) - 1)
        old = current.steps[at]
        fate = dice.below(3)
        steps: tuple[str, ...]
        if fate == 0:
            text = dice.pick(REPLACED[self.level]).format(key=work.key, old=old, new=new)
            steps = (*current.steps[:at], new, *current.steps[at + 1 :])
        elif fate == 1:
            text = dice.pick(INSERTED[self.level]).format(key=work.key, a=old, new=new)
            steps = (*current.steps[: at + 1], new, *current.steps[at + 1 :])
        else:
            text = dice.pick(DROPPED[self.level]).format(key=work.key, old=old)
            steps = (*current.steps[:at], *current.steps[at + 1 :])
        return _Line(dice.pick(self.people), text, work=work.key, steps=steps, drops=old if fate != 1 else None)

    def _near_miss(self, dice: Dice) -> _Line:
        place = dice.pick([where for _, _, bad in PLACES.values() for where in bad])
        words = {
            "allergen": dice.pick(tuple(ALLERGENS)),
            "taste": dice.pick(tuple(TASTES)),
            "dish": dice.pick([dish for dishes in DISHES.values() for dish in dishes]),
            "garnish": dice.pick((*PLAIN_GARNISHES, *ALLERGENS, *TASTES)),
            "price": str(dice.between(9, 70)),
            "diet": dice.pick(tuple(DIETS.values()))[0],
            "place": place,
        }
        return _Line(dice.pick(self.people), dice.pick(NEAR).format(**words), near=True)

    def _write(self, number: int, lines: list[_Line]) -> None:
        told: dict[str, list[str]] = {}
        for place, line in enumerate(lines):
            at = self.at + timedelta(minutes=place)
            turn = Turn(f"s{number:03}-t{place:03}", f"s{number:03}", line.speaker, line.text, at)
            self.turns.append(turn)
            if line.near:
                self.near.append(turn)
            if line.ends is not None:
                self.constraints[line.ends] = replace(self.constraints[line.ends], valid_to=at, ended_by=turn.id)
            if line.constraint is not None:
                self.constraints.append(replace(line.constraint, valid_from=at, turn=turn.id))
            if line.work is not None and line.steps is not None:
                told.setdefault(line.work, []).append(turn.id)
        for key, ids in told.items():
            new = [line for line in lines if line.work == key]
            at = next(turn.at for turn in self.turns if turn.id == ids[-1])
            before = next((p for p in self.procedures if p.key == key), None)
            if before is None:
                work = next(work for work in WORKS if work.key == key)
                named = {line.steps[-1] for line in new if line.steps}
                steps = tuple(step for step in work.steps if step in named)
                self.procedures.append(Procedure(key, steps, at, tuple(ids)))
            else:
                # A turn that states a dropped step still links its neighbours, so all of them remain evidence.
                assert new[0].steps is not None
                self.procedures.append(Procedure(key, new[0].steps, at, (*before.turns, *ids), before.steps))


def _values(kind: ConstraintKind) -> tuple[str, ...]:
    if kind == "budget":
        return tuple(str(amount) for amount in NUMBERS)
    if kind == "place":
        return tuple(PLACES)
    return tuple({"diet": DIETS, "allergy": ALLERGENS, "taste": TASTES}[kind])


class _Asker:
    def __init__(self, world: _World, sessions: int) -> None:
        self.world = world
        self.dice = Dice(world.seed, world.hardness, "ask", sessions)
        self.now = world.turns[-1].at + timedelta(days=1)
        last = {turn.session: turn.at for turn in world.turns}
        self.ends = list(last.values())

    def questions(self) -> tuple[PreferenceQuestion, ...]:
        asked: list[PreferenceQuestion] = []
        for person in self.world.people:
            asked += [self._dinner(person, None) for _ in range(3)]
            asked += [self._dinner(person, at) for at in self.dice.shuffled(self.ends[2:-1])[:3]]
        for procedure in self.world.procedures:
            later = [p for p in self.world.procedures if p.key == procedure.key and p.valid_from > procedure.valid_from]
            asked.append(self._steps(procedure, later[0] if later else None))
        return tuple(replace(question, id=f"q{i:03}") for i, question in enumerate(self.dice.shuffled(asked)))

    def _dinner(self, person: str, at: datetime | None) -> PreferenceQuestion:
        dice, world = self.dice, self.world
        when = at or self.now
        known = [c for c in world.constraints if c.person == person and c.valid_from <= when]
        active = [c for c in known if c.holds(when)]
        former = [c for c in known if not c.holds(when)]
        changed = {c.kind for c in former}
        # What replaced something is asked about first, for there the old state gives another answer.
        ranked = sorted(dice.shuffled(active), key=lambda c: c.kind not in changed)
        broken: list[Constraint | None] = [None, *ranked[:3]]
        options: list[Option] = []
        for constraint in broken:
            while True:
                option = self._option(active, former, constraint)
                if [c for c in active if breaks(option, c)] == ([constraint] if constraint else []) and (
                    option.dish not in {other.dish for other in options}
                ):
                    options.append(option)
                    break
        right = options[0].text
        pairs = dice.shuffled(list(zip(options, broken, strict=True)))
        day = spell(when.date())
        template = dice.pick(ASK[world.level] if at is None else ASK_THEN[world.level])
        parts = {part for option in options for part in (option.dish, option.garnish, option.place)}
        traps = [c.turn for c in former] + [t.id for t in world.near if any(says(t.text, part) for part in parts)]
        return PreferenceQuestion(
            id="",
            text=template.format(n=person, t=day),
            category="preference_apply",
            subject=person,
            answer=right,
            gold=tuple(sorted(c.turn for c in broken if c)),
            forbidden=tuple(sorted(traps)),
            as_of=at,
            now=self.now,
            options=tuple(option for option, _ in pairs),
            broken=tuple(constraint for _, constraint in pairs),
        )

    def _option(self, active: list[Constraint], former: list[Constraint], broken: Constraint | None) -> Option:
        """A dinner that breaks `broken` and, mostly, no other constraint; values of former constraints are welcome."""
        dice = self.dice
        held = {c.kind: c for c in active}
        past = {c.kind: c for c in former}
        bans: frozenset[str] = FORBIDDEN[held["diet"].value] if "diet" in held else frozenset()
        old_bans: frozenset[str] = FORBIDDEN[past["diet"].value] if "diet" in past else frozenset()
        if broken and broken.kind == "diet":
            kinds = sorted(bans - old_bans if "diet" in past and bans - old_bans else bans)
        else:
            kinds = [kind for kind in DISHES if kind not in bans]
        kind = dice.pick(kinds)
        mine = {c.value for c in active}
        # What others cannot have, and what this person could not have before, must not give a dinner away.
        past_garnishes = [c.value for c in former if c.kind in ("allergy", "taste")]
        other_garnishes = [value for value in (*ALLERGENS, *TASTES) if value not in mine]
        garnish = self._mixed(past_garnishes, other_garnishes, PLAIN_GARNISHES)
        past_places = [where for c in former if c.kind == "place" for where in PLACES[c.value][2]]
        other_places = [where for key, (_, _, bad) in PLACES.items() if key not in mine for where in bad]
        place = self._mixed(past_places, other_places, PLAIN_PLACES)
        limit = int(held["budget"].value) if "budget" in held else 40
        old_limit = int(past["budget"].value) if "budget" in past else limit
        low, high = (old_limit + 1, limit) if old_limit < limit else (max(8, limit - 12), limit)
        if broken and broken.kind == "budget":
            low, high = (limit + 1, old_limit) if old_limit > limit else (limit + 1, limit + 12)
        if broken and broken.kind in ("allergy", "taste"):
            garnish = broken.value
        if broken and broken.kind == "place":
            place = dice.pick(PLACES[broken.value][2])
        return Option(kind, dice.pick(DISHES[kind]), garnish, dice.between(low, high), place)

    def _mixed(self, past: Sequence[str], others: Sequence[str], plain: Sequence[str]) -> str:
        if past and self.dice.chance(0.3):
            return self.dice.pick(past)
        return self.dice.pick(others if self.dice.chance(0.65) else plain)

    def _steps(self, procedure: Procedure, successor: Procedure | None) -> PreferenceQuestion:
        world = self.world
        work = next(work for work in WORKS if work.key == procedure.key)
        text = work.ask[world.level]
        at: datetime | None = None
        if successor is not None:
            at = max(end for end in self.ends if procedure.valid_from <= end < successor.valid_from)
            text = f"{text.rstrip('?')}, as things stood on {spell(at.date())}?"
        return PreferenceQuestion(
            id="",
            text=text,
            category="procedure",
            subject=procedure.key,
            answer="; ".join(procedure.steps),
            gold=procedure.turns,
            forbidden=(),
            as_of=at,
            now=self.now,
            steps=procedure.steps,
        )
