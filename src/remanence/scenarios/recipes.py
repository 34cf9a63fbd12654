"""RecipeWorld: a stream of household tasks with hidden recipes, a solver driven by remembered experience, and a runner.

Families of tasks come in paraphrases; decoy families share the wording of another family but for a word or two, and
the things that its tasks name, yet have another recipe: the most similar experience is often a wrong one. The solver
needs no language model: it copies the best recalled plan into the slots of the task at hand, reads diagnostics to
insert what is missing, and else tries valid actions. The memory is any pair of functions.

The bench of the experience memories (catalogue family f2, `RecipeWorld` and `experience_stream`); the world itself is
in `recipe_world`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from remanence.core.errors import InvalidInput
from remanence.kernels.packing import estimate_tokens
from remanence.scenarios.dice import Dice
from remanence.scenarios.recipe_tasks import Order, families, tasks
from remanence.scenarios.recipe_world import (
    DIAGNOSTICS,
    Family,
    Info,
    RecipeWorld,
    Task,
    substitute,
)

__all__ = [
    "DIAGNOSTICS", "Experience", "Family", "Info", "Order", "RecipeWorld", "Step", "StreamResult", "StreamRow",
    "Task", "Trajectory", "essential", "experience_stream", "families", "read_experience", "render_experience", "solve",
    "tasks",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an episode: the action really done, what was seen then, and the reward."""

    action: str
    observation: str
    reward: float
    failed: bool


@dataclass(frozen=True, slots=True)
class Experience:
    """A plan with the slots of the task that it was used on, and the reward (0 to 1) that it earned."""

    text: str
    slots: tuple[tuple[str, str], ...]
    actions: tuple[str, ...]
    reward: float


@dataclass(frozen=True, slots=True)
class Trajectory:
    """What happened in one episode. `retrieved` is how many memories were handed over, `plan` which one was copied."""

    task: Task
    steps: tuple[Step, ...]
    success: bool
    progress: float
    retrieved: int = 0
    plan: Experience | None = None

    @property
    def experience(self) -> Experience:
        """What is worth keeping: what brought progress, and what that depended on (`essential`)."""
        return Experience(self.task.text, self.task.slots, essential(self.steps), self.progress)


Recalled = Experience | str
Recall = Callable[[str], Sequence[Recalled]]
"""From a task's text to experiences, best first: structured, or as text of `render_experience`."""
Learn = Callable[[str, Trajectory, float], None]
"""Takes a task's text, what happened, and the reward."""


def essential(steps: Sequence[Step]) -> tuple[str, ...]:
    """The actions with a reward and, backwards, the last ones that made each of them possible.

    That is what was gone to, opened, switched on and taken for it. A reward above the usual one also pays for
    something done before, nobody says what: then everything up to there that did something stays. Without any reward,
    everything that did something stays.
    """
    done = [step for step in steps if not step.failed]
    paid = [i for i, step in enumerate(done) if step.reward > 0]
    if not paid:
        return tuple(step.action for step in done)
    usual = min(done[i].reward for i in paid)
    kept: set[int] = set()
    last: dict[str, int] = {}
    needs: list[set[int]] = []
    for i, step in enumerate(done):
        verb, *words = step.action.split()
        facts = {"go": [f"door {words[-1]}"]}.get(verb, ["room"]) if words else []
        facts = [] if words[:1] == ["door"] else facts
        if verb in ("take", "put"):
            facts += [f"open {words[-1]}"]
        if verb == "take":
            facts += [f"moved {words[0]}"]
        if verb in ("put", "use"):
            facts += [f"held {words[0]}", f"held {words[-1]}", f"on {words[0]}"]
        needs.append({last[fact] for fact in facts if fact in last})
        effects = {"take": "held", "put": "moved", "switch": "on", "open": "open"}
        if verb == "go":
            last["room"] = i
        elif words[:1] == ["door"]:
            last[f"door {words[1]}"] = i
        elif verb in effects:
            last[f"{effects[verb]} {words[0]}"] = i
    for i in reversed(range(paid[-1] + 1)):
        if i in paid or any(i in needs[j] for j in kept):
            kept.add(i)
    dear = [i for i in paid if done[i].reward > 1.5 * usual]
    kept |= set(range(dear[-1])) if dear else set()
    return tuple(done[i].action for i in sorted(kept))


def render_experience(experience: Experience) -> str:
    """An experience as text, for memories that keep text; `read_experience` reads it back."""
    slots = ", ".join(f"{slot}={name}" for slot, name in experience.slots)
    return (
        f"TASK: {experience.text}\nSLOTS: {slots}\nACTIONS: {'; '.join(experience.actions)}\n"
        f"REWARD: {experience.reward:.6g}"
    )


def read_experience(text: str) -> Experience | None:
    """The experience in a text, wherever it stands; None where there is none."""
    found = re.search(r"TASK: (.*)\nSLOTS: (.*)\nACTIONS: (.*)\nREWARD: ([\d.e-]+)", text)
    if not found:
        return None
    pairs = [pair.split("=", 1) for pair in found[2].split(", ") if "=" in pair]
    actions = tuple(action for action in found[3].split("; ") if action)
    return Experience(found[1], tuple((slot, name) for slot, name in pairs), actions, float(found[4]))


def solve(
    world: RecipeWorld,
    task: Task,
    recalled: Sequence[Recalled],
    *,
    seed: int,
    epsilon: float = 0.2,
    obs_window: int = 8,
) -> Trajectory:
    """One episode of the solver.

    The plan is the first recalled experience of reward 1, or else the one that earned most, with the task's names in
    its slots. Where an action of the plan fails, the missing one is read off the diagnostic and done first (at most
    three times per action); what was seen in the last `obs_window` observations tells where a thing lies. Without a
    plan, or after it, a valid action is tried that was not tried since the last progress and that no recalled
    experience of reward 0 has at this step: with probability 1 - `epsilon` one about something that the text names.

    Errors: `InvalidInput` for an `epsilon` outside [0, 1] or an `obs_window` below 1.
    """
    if not 0 <= epsilon <= 1 or obs_window < 1:
        raise InvalidInput(f"epsilon={epsilon} must be from 0 to 1, and obs_window={obs_window} at least 1")
    known = [item for item in map(_structured, recalled) if item is not None]
    avoided = {
        (i, substitute(action, item.slots, task.slots))
        for item in known
        if item.reward <= 0
        for i, action in enumerate(item.actions)
    }
    useful = [item for item in known if item.reward > 0]
    chosen = next((item for item in useful if item.reward >= 1), max(useful, key=lambda e: e.reward, default=None))
    plan = [substitute(action, chosen.slots, task.slots) for action in chosen.actions] if chosen else []
    dice = Dice(seed, "solve", task.id)
    named = set(re.findall(r"\w+", task.text.lower()))
    seen = [world.reset(seed, task)]
    valid = world.valid_actions()
    steps: list[Step] = []
    tried: set[str] = set()
    repairs: Counter[str] = Counter()
    while not world.done:
        action = plan[0] if plan else _explored(dice, valid, tried, avoided, len(steps), named, epsilon)
        text, reward, _, info = world.step(action)
        steps.append(Step(info.action, text, reward, info.failed))
        valid = info.valid_actions
        tried = set() if reward > 0 else tried | {info.action}
        if not info.failed:
            seen = [*seen, text][-obs_window:]
        if plan and info.action == action:
            missing = _missing(text, seen) if info.failed else None
            if missing and repairs[action] < 3:
                repairs[action] += 1
                plan.insert(0, missing)
            else:
                plan.pop(0)
    return Trajectory(task, tuple(steps), world.progress == 1, world.progress, len(recalled), chosen)


def _structured(recalled: Recalled) -> Experience | None:
    return read_experience(recalled) if isinstance(recalled, str) else recalled


def _explored(
    dice: Dice,
    valid: Sequence[str],
    tried: set[str],
    avoided: set[tuple[int, str]],
    step: int,
    words: set[str],
    epsilon: float,
) -> str:
    fresh = [action for action in valid if action not in tried and (step, action) not in avoided] or list(valid)
    named = [action for action in fresh if not words.isdisjoint(action.split()[1:])]
    return dice.pick(named if named and not dice.chance(epsilon) else fresh)


def _missing(diagnostic: str, seen: Sequence[str]) -> str | None:
    """The action that a diagnostic asks for, or None."""
    for kind, form in DIAGNOSTICS.items():
        match = re.fullmatch(form.format(x=r"(?P<x>\w+)", y=r"(?P<y>\w+)"), diagnostic)
        if match is None:
            continue
        if kind == "unheld":
            for text in reversed(seen):
                place = re.search(rf"(\w+) \(holding [^)]*\b{match['x']}\b", text)
                if place:
                    return f"take {match['x']} from {place[1]}"
            return None
        answers = {"closed": "open {x}", "door": "open door {x}", "elsewhere": "go {y}", "off": "switch {x}"}
        return answers[kind].format(**match.groupdict()) if kind in answers else None
    return None


@dataclass(frozen=True, slots=True)
class StreamRow:
    """What one task of a stream gave and cost. `retrievals` are the experiences handed over."""

    epoch: int
    position: int
    task: str
    family: str
    success: bool
    progress: float
    steps: int
    retrievals: int
    context_tokens: int


@dataclass(frozen=True, slots=True)
class StreamResult:
    """The table of a stream, one row per task and epoch."""

    rows: tuple[StreamRow, ...]

    def mean(
        self, column: Literal["success", "progress", "steps", "retrievals", "context_tokens"], last: int = 0
    ) -> float:
        """The mean of a column over all rows, or over the `last` ones."""
        rows = self.rows[-last:]
        return sum(float(getattr(row, column)) for row in rows) / len(rows)


def experience_stream(
    stream: Sequence[Task],
    recall: Recall,
    learn: Learn,
    *,
    seed: int,
    horizon: int = 40,
    noise: float = 0.0,
    epsilon: float = 0.2,
    obs_window: int = 8,
    failures: float = 0.0,
    mislabelled: float = 0.0,
    epochs: int = 1,
    frozen: bool = False,
) -> StreamResult:
    """For each task: recall by its text, act, take the reward, learn. `frozen`: nothing is learnt.

    After a task, with probability `failures`, the memory is also taught a failed attempt at it (the recipe of another
    family, reward 0), and with probability `mislabelled` such an attempt that claims reward 1. All chance comes from
    `seed` and the tasks, none from the memory: two memories that recall the same see the same episodes.

    Errors: `InvalidInput` for an empty stream or what is out of range.
    """
    if not stream or epochs < 1:
        raise InvalidInput(f"a stream of {len(stream)} tasks over epochs={epochs}: both need at least 1")
    for name, share in (("failures", failures), ("mislabelled", mislabelled)):
        if not 0 <= share <= 1:
            raise InvalidInput(f"{name}={share} must be a probability from 0 to 1")
    world = RecipeWorld(horizon=horizon, noise=noise)
    rows = []
    for epoch in range(epochs):
        luck = seed + 1_000_003 * epoch
        for position, task in enumerate(stream):
            recalled = recall(task.text)
            texts = [item if isinstance(item, str) else render_experience(item) for item in recalled]
            done = solve(world, task, recalled, seed=luck, epsilon=epsilon, obs_window=obs_window)
            rows.append(
                StreamRow(
                    epoch, position, task.id, task.family, done.success, done.progress, len(done.steps), len(recalled),
                    sum(map(estimate_tokens, texts)),
                )
            )  # fmt: skip
            if frozen:
                continue
            learn(task.text, done, done.progress)
            dice = Dice(luck, "misfits", task.id)
            for share, claimed in ((failures, 0.0), (mislabelled, 1.0)):
                if dice.chance(share):
                    misfit = _misfit(dice, task, stream, claimed)
                    learn(task.text, misfit, claimed)
    return StreamResult(tuple(rows))


def _misfit(dice: Dice, task: Task, stream: Sequence[Task], claimed: float) -> Trajectory:
    """An attempt at a task by the recipe of another family, with the reward that it claims."""
    other = dice.pick([other for other in stream if other.family != task.family] or [task])
    actions = [substitute(action, other.slots, task.slots) for action in other.recipe]
    steps = [Step(action, "", 0.0, False) for action in actions]
    steps[-1] = replace(steps[-1], reward=claimed)
    return Trajectory(task, tuple(steps), claimed >= 1, claimed)
