"""Families of household tasks with hidden recipes, and streams of tasks drawn from them.

Families come in paraphrases. Decoy families share the goal of another family, and the things that its tasks name, and
differ in one word and in the recipe. The world in which the tasks are done is in `recipe_world`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from remanence.core.errors import InvalidInput
from remanence.scenarios.dice import Dice
from remanence.scenarios.recipe_world import POOLS, Family, Task, holes

__all__ = ["Order", "families", "tasks"]

Order = Literal["random", "clustered", "adversarial"]
GOALS = (
    "golden harvest tray", "woollen winter bundle", "silver wedding gift", "crowded market stall", "light travel kit",
    "paper lantern parade", "noisy school play", "silent tea ceremony", "green garden party", "fragile museum loan",
    "heavy charity parcel", "windy spring fair", "sweet birthday table", "little puppet show", "cold picnic supper",
    "old chapel fete", "swift regatta prize", "lonely night watch", "warm welcome basket", "proud book launch",
    "tearful farewell dinner", "lucky village raffle", "dusty moving van", "stiff family portrait",
)  # fmt: skip
CUES = ("morning", "evening")
FRAMES = (
    "Prepare {goal} for {cue}, using {thing} ({box}, {room}).",
    "This {cue} {goal} is due; mind {thing} ({room}, {box}).",
    "Arrange {goal} by {cue} and bring {thing} ({box}, {room}).",
    "Please make {goal} ready for {cue}, {thing} ({room}, {box}) included.",
    "Time for {goal}: {thing} ({box}, {room}) is wanted this {cue}.",
    "Get {goal} done by {cue} with {thing} ({room}, {box}).",
)


def families(
    seed: int, *, count: int = 12, decoys: float = 0.5, length: tuple[int, int] = (4, 8), shared: bool = False
) -> tuple[Family, ...]:
    """`count` families with different recipes of `length` actions (3 to 20, both included).

    Of the families, the share `decoys` (rounded down to pairs) share the goal of their neighbour and differ in the
    cue. `shared`: each recipe is the beginning of one that this seed gives without it, followed by the beginning of
    another one (old sub-recipes, and for up to twelve families new goals).

    Errors: `InvalidInput` for what is out of range or cannot be made different.
    """
    low, high = length
    if not 3 <= low <= high <= 20:
        raise InvalidInput(f"length={length} must be a range within 3 to 20")
    if not 0 <= decoys <= 1:
        raise InvalidInput(f"decoys={decoys} must be a share from 0 to 1")
    if not 1 <= count <= len(GOALS):
        raise InvalidInput(f"count={count} must be 1 to {len(GOALS)}, the number of goals")
    dice = Dice(seed, "families", shared)
    goals = Dice(seed, "goals").shuffled(GOALS)[:: -1 if shared else 1]
    paired = 2 * int(count * decoys / 2)
    source = families(seed, count=count, decoys=decoys, length=length) if shared else ()
    known: list[_Recipe] = []
    # Few recipes are short: better to say that there are not enough than to look for ever.
    for _ in range(200 * count):
        recipe = _crossed(dice, source, low, high) if shared else _draft(dice, low, high)
        if recipe is not None and all(recipe.actions != other.actions for other in known):
            known.append(recipe)
        if len(known) == count:
            break
    else:
        raise InvalidInput(f"length={length} does not allow for {count} different recipes; take another range")
    found = []
    for i, recipe in enumerate(known):
        goal = goals[i - i % 2 if i < paired else i]
        cue = CUES[i % 2] if i < paired else None
        found.append(Family(f"f{'n' if shared else ''}{i:02}", goal, cue, recipe.actions, recipe.home, recipe.open))
    return tuple(found)


@dataclass(slots=True)
class _Recipe:
    actions: tuple[str, ...] = ()
    home: tuple[tuple[str, str], ...] = ()
    open: tuple[str, ...] = ()


class _Writer:
    """Writes a recipe segment by segment; every segment can be done where the one before it ends."""

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.actions: list[str] = []
        self.home: dict[str, str] = {}
        self.open: list[str] = []
        self.counts: Counter[str] = Counter()
        self.room = ""
        self.held: list[str] = []
        self.tools: list[str] = []

    def slot(self, kind: str) -> str:
        self.counts[kind] += 1
        return f"{kind}{self.counts[kind]}"

    def move(self, thing: str) -> None:
        """Go to a room, mostly another one, where `thing` then has its place."""
        if not self.room or self.dice.chance(0.75):
            self.room = self.slot("R")
            self.actions.append(f"go {{{self.room}}}")
        self.home[thing] = self.room

    def container(self) -> str:
        box = self.slot("C")
        self.move(box)
        if self.dice.chance(0.6):
            self.actions.append(f"open {{{box}}}")
        else:
            self.open.append(box)
        return box

    def fetch(self, kind: str) -> str:
        box = self.container()
        thing = self.slot(kind)
        self.home[thing] = box
        self.actions.append(f"take {{{thing}}} from {{{box}}}")
        return thing

    def segment(self) -> None:
        kind = self.dice.below(7)
        if not self.held or kind == 0:
            self.held.append(self.fetch("O"))
        elif kind <= 2:
            self.tools.append(self.fetch("T"))
            self.actions.append(f"use {{{self.tools[-1]}}} on {{{self.held[-1]}}}")
        elif kind == 3:
            self.actions.append("wait")
        elif kind <= 5:
            device = self.slot("D")
            self.move(device)
            self.actions += [f"switch {{{device}}}", f"use {{{device}}} on {{{self.held[-1]}}}"]
        else:
            box = self.container()
            self.actions.append(f"put {{{self.held.pop()}}} in {{{box}}}")

    def recipe(self) -> _Recipe:
        return _Recipe(tuple(self.actions), tuple(self.home.items()), tuple(self.open))


def _draft(dice: Dice, low: int, high: int) -> _Recipe:
    """A recipe of `low` to `high` actions; slots that stay unused when it is cut to length are dropped."""
    while True:
        target = dice.between(low, high)
        writer = _Writer(dice)
        while len(writer.actions) < target:
            writer.segment()
        if low <= len(writer.actions) <= high and all(
            writer.counts[kind] <= most for kind, most in (("R", 8), ("C", 10), ("O", 10), ("T", 6), ("D", 4))
        ):
            return writer.recipe()


def _crossed(dice: Dice, source: Sequence[Family], low: int, high: int) -> _Recipe | None:
    """The beginning of one family's recipe and then that of another's, over slots of its own; None if they are alike.

    A beginning of a recipe can be done wherever the recipe can.
    """
    one, other = dice.pick(source), dice.pick(source)
    length = dice.between(max(low, 4), max(high, 4))
    first = min(length // 2, len(one.recipe))
    second = min(length - first, len(other.recipe))
    if one is other or first + second < low:
        return None
    highest: Counter[str] = Counter()
    for slot in _slots(one):
        highest[slot[0]] = max(highest[slot[0]], int(slot[1:]))
    renamed = {slot: f"{slot[0]}{int(slot[1:]) + highest[slot[0]]}" for slot in _slots(other)}
    later = [re.sub(r"\w+", lambda m: renamed.get(m[0], m[0]), action) for action in other.recipe[:second]]
    home = (*one.home, *((renamed[inner], renamed[outer]) for inner, outer in other.home))
    return _Recipe((*one.recipe[:first], *later), home, (*one.start_open, *(renamed[box] for box in other.start_open)))


def _slots(family: Family) -> list[str]:
    """All slots of a family, by kind and number."""
    used = {slot for text in family.recipe for slot in holes(text)} | {slot for pair in family.home for slot in pair}
    return sorted(used, key=lambda slot: (slot[0], int(slot[1:])))


def tasks(
    seed: int,
    *,
    count: int = 200,
    family_count: int = 12,
    decoys: float = 0.5,
    length: tuple[int, int] = (4, 8),
    layout_shift: float = 0.0,
    goal_shift: float = 0.0,
    order: Order = "random",
    skew: float = 0.0,
    drift: bool = False,
) -> tuple[Task, ...]:
    """A stream of `count` tasks. In the order "random", and without shifts, a longer one begins with the shorter one.

    Args:
        seed: of everything.
        count: how many tasks.
        family_count: how many families.
        decoys: the share of families that share their wording with another one.
        length: range of recipe lengths.
        layout_shift: the share of the stream, at its end, with new names, closed containers and shut doors.
        goal_shift: the share of the stream, at its end, with new families put together from the old recipes.
        order: "random"; "clustered" (family after family); "adversarial" (no two neighbours of one family, and decoys
            next to each other where there are any).
        skew: exponent of a Zipf law over families; 0 for equal shares.
        drift: from the middle of the stream on, one action of each recipe is another one.

    Raises:
        InvalidInput: something is out of range.

    """
    if count < 1:
        raise InvalidInput(f"count={count} must be at least 1")
    for name, share in (("layout_shift", layout_shift), ("goal_shift", goal_shift)):
        if not 0 <= share <= 1:
            raise InvalidInput(f"{name}={share} must be a share from 0 to 1")
    if order not in get_args(Order):
        raise InvalidInput(f"order must be one of {', '.join(get_args(Order))}, not {order!r}")
    if skew < 0:
        raise InvalidInput(f"skew={skew} must be at least 0")
    old = families(seed, count=family_count, decoys=decoys, length=length)
    new = families(seed, count=family_count, decoys=decoys, length=length, shared=True) if goal_shift else ()
    weights = [1 / (rank + 1) ** skew for rank in range(family_count)]
    drawn = []
    for i in range(count):
        dice = Dice(seed, "task", i)
        which = _weighted(dice, weights)
        drawn.append((i, which, dice))
    drawn = _arranged(drawn, order)
    stream = []
    sites: dict[str, Counter[str]] = {}
    for position, (_, which, dice) in enumerate(drawn):
        late = position / count
        family = new[which] if goal_shift and late >= 1 - goal_shift else old[which]
        # Each site serves each family of a goal once: the second to come finds its decoy's task nearest.
        site = sites.setdefault(family.goal, Counter())
        site[family.name] += 1
        if drift and late >= 0.5:
            family = _drifted(family)
        shifted = bool(layout_shift) and late >= 1 - layout_shift
        stream.append(_task(seed, position, family, dice, site[family.name], shifted))
    return tuple(stream)


def _weighted(dice: Dice, weights: Sequence[float]) -> int:
    point = dice.random() * sum(weights)
    for i, weight in enumerate(weights):
        point -= weight
        if point < 0:
            return i
    return len(weights) - 1


def _arranged(drawn: list[tuple[int, int, Dice]], order: Order) -> list[tuple[int, int, Dice]]:
    if order == "clustered":
        return sorted(drawn, key=lambda task: task[1])
    if order == "random":
        return drawn
    waiting: dict[int, list[tuple[int, int, Dice]]] = {}
    for task in drawn:
        waiting.setdefault(task[1], []).append(task)
    found: list[tuple[int, int, Dice]] = []
    while any(waiting.values()):
        last = found[-1][1] if found else -1
        twin = last ^ 1
        # The family with most tasks left goes first, or the end of the stream would be all of one family.
        ranked = sorted((which for which in waiting if waiting[which]), key=lambda w: (-len(waiting[w]), w))
        others = [which for which in ranked if which != last] or ranked
        longest = len(waiting[others[0]])
        take = twin if waiting.get(twin) and len(waiting[twin]) >= longest - 1 and twin != last else others[0]
        found.append(waiting[take].pop(0))
    return found


def _drifted(family: Family) -> Family:
    """The family with one action replaced: its last "use" or "take" becomes a wait, or a wait is added."""
    for i in reversed(range(len(family.recipe))):
        if family.recipe[i].startswith("use "):
            return replace(family, recipe=(*family.recipe[:i], "wait", *family.recipe[i + 1 :]))
    return replace(family, recipe=(*family.recipe, "wait"))


def _task(seed: int, position: int, family: Family, dice: Dice, site: int, shifted: bool) -> Task:
    slots = tuple((slot, _name(seed, family.goal, site, slot)) for slot in _slots(family))
    names = dict(slots)
    words = {"goal": family.goal, "cue": family.cue or dice.pick(CUES)}
    text = dice.pick(FRAMES).format(thing=names["O1"], box=names["C1"], room=names["R1"], **words)
    recipe = tuple(action.format(**names) for action in family.recipe)
    return Task(f"t{position:04}", text, slots, family.name, site, recipe, family.home, family.start_open, shifted)


def _name(seed: int, goal: str, site: int, slot: str) -> str:
    """What fills a slot at a site: the same for all families of a goal, so that decoys name the same things."""
    kind, number = slot[0], int(slot[1:])
    return Dice(seed, "site", goal, site, kind).shuffled(POOLS[kind])[number - 1]
