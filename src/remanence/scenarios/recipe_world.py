"""A small house in which things are opened, taken, put, switched on and used, and tasks with hidden recipes.

A family's recipe is a sequence of actions over slots (room R1, container C1, object O1, tool T1, device D1, …); a task
fills the slots. The world rewards the share of the recipe that is newly done: actions count in order, by their effect,
and whatever else is done costs steps only. An action whose precondition is missing does nothing, costs a step, and
says what is missing. Nothing here needs a language model; `recipes` holds a solver and the stream of tasks.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from remanence.core.errors import InvalidInput
from remanence.scenarios.dice import Dice

__all__ = ["DIAGNOSTICS", "Family", "Info", "RecipeWorld", "Task", "holes", "substitute"]

ROOMS = (
    "kitchen pantry cellar garage attic workshop library nursery laundry conservatory study parlour dairy forge "
    "scullery boathouse greenhouse stable"
).split()
CONTAINERS = (
    "box drawer cupboard chest basket crate locker cabinet trunk barrel hamper wardrobe suitcase sideboard bin casket "
    "pouch case shelf tin sack bucket"
).split()
OBJECTS = (
    "apple lantern violin blanket pumpkin kettle doll clock rope candle jar helmet scarf melon vase ladder carpet drum "
    "boot mirror pillow loaf cheese saddle statue kite ring book fan sledge"
).split()
TOOLS = "knife brush sponge hammer needle file saw iron ruler chisel cloth plane".split()
DEVICES = "oven press grinder freezer furnace mixer dryer polisher".split()
POOLS = {"R": ROOMS, "C": CONTAINERS, "O": OBJECTS, "T": TOOLS, "D": DEVICES}
START = "hall"
"""Where every episode begins; no recipe names it."""

DIAGNOSTICS = {
    "closed": "the {x} is closed",
    "door": "the door to the {x} is closed",
    "elsewhere": "the {x} is not in this room but in the {y}",
    "unheld": "you are not holding the {x}",
    "off": "the {x} is off",
    "absent": "there is no {x} in the {y}",
    "done": "nothing changes",
    "unknown": "you cannot do that",
}
"""What a failed action says; each names the missing precondition. "absent" and "done" have none."""

_VERBS = (
    ("go", re.compile(r"go (?P<x>\w+)")),
    ("door", re.compile(r"open door (?P<x>\w+)")),
    ("open", re.compile(r"open (?P<x>\w+)")),
    ("take", re.compile(r"take (?P<x>\w+) from (?P<y>\w+)")),
    ("put", re.compile(r"put (?P<x>\w+) in (?P<y>\w+)")),
    ("switch", re.compile(r"switch (?P<x>\w+)")),
    ("use", re.compile(r"use (?P<x>\w+) on (?P<y>\w+)")),
    ("wait", re.compile(r"wait")),
)


@dataclass(frozen=True, slots=True)
class Family:
    """Tasks of one kind. `recipe` are actions over slots, `home` says which slot lies in which ("O1" in "C1").

    `goal` and `cue` are the words of the task texts; two families of one goal and different cues are decoys of each
    other. `start_open` are the containers that the recipe does not open.
    """

    name: str
    goal: str
    cue: str | None
    recipe: tuple[str, ...]
    home: tuple[tuple[str, str], ...]
    start_open: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """One instance: a text, the slots that it fills, and (for the world and checkers only) family and recipe.

    `shifted`: containers that the recipe does not open, and some doors, are closed.
    """

    id: str
    text: str
    slots: tuple[tuple[str, str], ...]
    family: str
    site: int
    recipe: tuple[str, ...]
    home: tuple[tuple[str, str], ...]
    start_open: tuple[str, ...]
    shifted: bool = False


@dataclass(frozen=True, slots=True)
class Info:
    """What comes with a step: `progress` is the share of the recipe done, `failed` whether the action did nothing.

    `action` is what was really done: with noise, not always what was asked.
    """

    success: bool
    progress: float
    valid_actions: tuple[str, ...]
    failed: bool
    action: str


@dataclass(slots=True)
class _State:
    room: str = START
    place: dict[str, str] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    doors: set[str] = field(default_factory=set)
    on: set[str] = field(default_factory=set)
    marks: set[tuple[str, str]] = field(default_factory=set)
    waited: bool = False
    done: int = 0
    steps: int = 0


HAND = "hand"


class RecipeWorld:
    """An episode at a time: `reset`, then `step` until done; `fork` for a second branch from the same point.

    Args:
        horizon: steps after which an episode ends.
        noise: probability that a valid action, drawn at random, is done instead of the one asked. Drawn per (seed,
            task, step), so two branches from one fork meet the same slips.
        clutter: rooms, containers and objects beyond those of the task.

    """

    def __init__(self, *, horizon: int = 40, noise: float = 0.0, clutter: int = 3) -> None:
        if horizon < 1 or clutter < 0:
            raise InvalidInput(f"horizon={horizon} must be at least 1 and clutter={clutter} at least 0")
        if not 0 <= noise <= 1:
            raise InvalidInput(f"noise={noise} must be a probability from 0 to 1")
        self.horizon = horizon
        self.noise = noise
        self.clutter = clutter
        self._task: Task | None = None
        self._rooms: tuple[str, ...] = ()
        self._seed = 0
        self._state = _State()

    def reset(self, seed: int, task: Task) -> str:
        """Begin an episode; returns the first observation. The layout is the same for the same seed and task."""
        dice = Dice(seed, "layout", task.id)
        state = _State()
        names = dict(task.slots)
        for inner, outer in task.home:
            state.place[names[inner]] = names[outer]
        used = set(names.values())
        rooms = [names[slot] for slot in names if slot[0] == "R"]
        spare = {kind: [name for name in dice.shuffled(pool) if name not in used] for kind, pool in POOLS.items()}
        for _ in range(min(self.clutter, *(len(spare[kind]) for kind in "RCO"))):
            rooms.append(spare["R"].pop())
            box = spare["C"].pop()
            state.place[box] = dice.pick(rooms)
            state.place[spare["O"].pop()] = box
            if dice.chance(0.5):
                state.open.add(box)
        state.doors = set(rooms)
        needed = [names[slot] for slot in names if slot[0] == "R"]
        for slot in task.start_open:
            if not task.shifted:
                state.open.add(names[slot])
        if task.shifted:
            state.doors -= {room for room in needed if dice.chance(0.5)}
        self._rooms = tuple(sorted(rooms))
        self._task, self._seed, self._state = task, seed, state
        self._advance()
        return self.observation()

    def fork(self) -> RecipeWorld:
        """An independent copy in the same state, with the same luck ahead."""
        other = RecipeWorld(horizon=self.horizon, noise=self.noise, clutter=self.clutter)
        other._task, other._seed, other._rooms = self._task, self._seed, self._rooms
        other._state = copy.deepcopy(self._state)
        return other

    @property
    def task(self) -> Task:
        """The task of the running episode. Raises `InvalidInput` before the first `reset`."""
        if self._task is None:
            raise InvalidInput("no episode is running; call reset(seed, task) first")
        return self._task

    @property
    def steps(self) -> int:
        """Steps taken in this episode."""
        return self._state.steps

    @property
    def progress(self) -> float:
        """The share of the recipe that is done."""
        return self._state.done / len(self.task.recipe)

    @property
    def done(self) -> bool:
        """Whether the episode is over: recipe complete or horizon reached."""
        return self._state.done == len(self.task.recipe) or self._state.steps >= self.horizon

    def observation(self) -> str:
        """What can be seen: this room with its containers, contents of open ones, what is held, closed doors."""
        state = self._state
        seen = []
        for name in sorted(name for name, place in state.place.items() if place == state.room):
            if name in CONTAINERS:
                inside = " ".join(sorted(x for x, place in state.place.items() if place == name)) or "nothing"
                seen.append(f"{name} (holding {inside})" if name in state.open else f"{name} (closed)")
            elif name in DEVICES:
                seen.append(f"{name} ({'on' if name in state.on else 'off'})")
            else:
                seen.append(name)
        held = " ".join(sorted(self._held())) or "nothing"
        shut = " ".join(room for room in self._rooms if room not in state.doors) or "none"
        return f"You are in the {state.room}. You see: {', '.join(seen) or 'nothing'}. In hand: {held}. Shut: {shut}."

    def valid_actions(self) -> tuple[str, ...]:
        """All actions that would change something now, in alphabetical order."""
        state = self._state
        here = [name for name, place in state.place.items() if place == state.room]
        boxes = [name for name in here if name in CONTAINERS]
        held = sorted(self._held())
        found = [f"go {room}" for room in self._rooms if room in state.doors and room != state.room]
        found += [f"open door {room}" for room in self._rooms if room not in state.doors]
        found += [f"open {name}" for name in boxes if name not in state.open]
        found += [f"take {x} from {y}" for x, y in state.place.items() if y in boxes and y in state.open]
        found += [f"put {x} in {y}" for x in held for y in boxes if y in state.open]
        found += [f"switch {name}" for name in here if name in DEVICES and name not in state.on]
        means = [x for x in held if x in TOOLS] + [name for name in here if name in DEVICES and name in state.on]
        found += [f"use {x} on {y}" for x in means for y in held if y in OBJECTS and (x, y) not in state.marks]
        return (*sorted(found), "wait")

    def step(self, action: str) -> tuple[str, float, bool, Info]:
        """Do an action: (observation or diagnostic, reward, done, info).

        The reward is the share of the recipe newly done; over an episode the rewards add up to `progress`. Raises
        `InvalidInput` when the episode is over.
        """
        if self.done:
            raise InvalidInput("the episode is over; call reset(seed, task) for another one")
        state = self._state
        state.steps += 1
        dice = Dice(self._seed, "slip", self.task.id, state.steps)
        if dice.chance(self.noise):
            action = dice.pick(self.valid_actions())
        before = state.done
        problem = self._apply(action)
        self._advance()
        reward = (state.done - before) / len(self.task.recipe)
        info = Info(
            success=state.done == len(self.task.recipe),
            progress=self.progress,
            valid_actions=self.valid_actions(),
            failed=problem is not None,
            action=action,
        )
        return problem or self.observation(), reward, self.done, info

    def _held(self) -> list[str]:
        return [name for name, place in self._state.place.items() if place == HAND]

    def _apply(self, action: str) -> str | None:
        """Do the action, or say which precondition is missing."""
        state = self._state
        state.waited = False
        verb, match = next(((verb, m) for verb, form in _VERBS if (m := form.fullmatch(action))), ("", None))
        if match is None:
            return DIAGNOSTICS["unknown"]
        groups = match.groupdict()
        x, y = groups.get("x", ""), groups.get("y", "")
        problem = self._missing(verb, x, y)
        if problem is not None:
            kind, about, where = problem
            return DIAGNOSTICS[kind].format(x=about, y=where)
        if verb == "go":
            state.room = x
        elif verb == "door":
            state.doors.add(x)
        elif verb == "open":
            state.open.add(x)
        elif verb == "take":
            state.place[x] = HAND
        elif verb == "put":
            state.place[x] = y
        elif verb == "switch":
            state.on.add(x)
        elif verb == "use":
            state.marks.add((x, y))
        else:
            state.waited = True
        return None

    def _missing(self, verb: str, x: str, y: str) -> tuple[str, str, str] | None:
        state = self._state
        if verb in ("go", "door"):
            if x not in self._rooms:
                return "unknown", "", ""
            if verb == "door":
                return ("done", "", "") if x in state.doors else None
            if x == state.room:
                return "done", "", ""
            return None if x in state.doors else ("door", x, "")
        if verb == "open":
            return self._reach(x, CONTAINERS) or (("done", "", "") if x in state.open else None)
        if verb == "switch":
            return self._reach(x, DEVICES) or (("done", "", "") if x in state.on else None)
        if verb in ("take", "put"):
            problem = self._reach(y, CONTAINERS)
            if problem or (verb == "put" and state.place.get(x) != HAND):
                return problem or ("unheld", x, "")
            if y not in state.open:
                return "closed", y, ""
            return ("absent", x, y) if verb == "take" and state.place.get(x) != y else None
        if verb == "use":
            return self._unusable(x, y)
        return None

    def _unusable(self, x: str, y: str) -> tuple[str, str, str] | None:
        state = self._state
        if y not in OBJECTS:
            return "unknown", "", ""
        if x in DEVICES:
            problem = self._reach(x, DEVICES)
            if problem or x not in state.on:
                return problem or ("off", x, "")
        elif x not in TOOLS:
            return "unknown", "", ""
        elif state.place.get(x) != HAND:
            return "unheld", x, ""
        if state.place.get(y) != HAND:
            return "unheld", y, ""
        return ("done", "", "") if (x, y) in state.marks else None

    def _reach(self, name: str, kind: Sequence[str]) -> tuple[str, str, str] | None:
        where = self._state.place.get(name)
        if name not in kind or where is None:
            return "unknown", "", ""
        return None if where == self._state.room else ("elsewhere", name, where)

    def _advance(self) -> None:
        recipe = self.task.recipe
        while self._state.done < len(recipe) and self._holds(recipe[self._state.done]):
            self._state.done += 1

    def _holds(self, action: str) -> bool:
        """Whether the effect of a recipe's action is there."""
        state = self._state
        verb, match = next((verb, m) for verb, form in _VERBS if (m := form.fullmatch(action)))
        groups = match.groupdict()
        x, y = groups.get("x", ""), groups.get("y", "")
        if verb == "go":
            return state.room == x
        if verb == "open":
            return x in state.open
        if verb in ("take", "put"):
            return state.place[x] == (HAND if verb == "take" else y)
        if verb == "switch":
            return x in state.on
        if verb == "use":
            return (x, y) in state.marks
        # A wait is used up by the sub-goal that it fulfils; two of them in a row need two.
        waited, state.waited = state.waited, False
        return waited


def holes(action: str) -> list[str]:
    """The slots of an action template, as in "take {O1} from {C1}"."""
    return re.findall(r"{(\w+)}", action)


def substitute(action: str, old: Sequence[tuple[str, str]], new: Sequence[tuple[str, str]]) -> str:
    """An action of one task with the names of another one in the same slots; names of no slot stay."""
    target = dict(new)
    names = {name: target.get(slot, name) for slot, name in old}
    return re.sub(r"\w+", lambda word: names.get(word.group(), word.group()), action)
