from __future__ import annotations

import math
import re
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise

import pytest

from remanence.core.errors import InvalidInput
from remanence.scenarios.recipe_tasks import FRAMES
from remanence.scenarios.recipe_world import ROOMS, TOOLS, holes, substitute
from remanence.scenarios.recipes import (
    Experience,
    RecipeWorld,
    Step,
    StreamResult,
    Task,
    Trajectory,
    essential,
    experience_stream,
    families,
    read_experience,
    render_experience,
    solve,
    tasks,
)
from tests.scenarios.ranking import Bm25


class Cases:
    """Experiences by cosine of word sets (k nearest), or the last k where `recent`; `keep` says what is stored."""

    def __init__(
        self, k: int = 4, *, recent: bool = False, keep: Callable[[float], bool] = lambda reward: True
    ) -> None:
        self.rows: list[tuple[Counter[str], Experience]] = []
        self.k = k
        self.recent = recent
        self.keep = keep

    def recall(self, text: str) -> list[Experience]:
        asked = bag(text)
        found = self.rows[::-1] if self.recent else sorted(self.rows, key=lambda row: -likeness(asked, row[0]))
        return [experience for _, experience in found[: self.k]]

    def learn(self, text: str, done: Trajectory, reward: float) -> None:
        if self.keep(reward):
            self.rows.append((bag(text), done.experience))


class Knowing:
    """Gives the last successes of the right family, which only a checker can know."""

    def __init__(self, stream: Sequence[Task]) -> None:
        self.family = {task.text: task.family for task in stream}
        self.rows: list[tuple[str, Experience]] = []

    def recall(self, text: str) -> list[Experience]:
        return [e for family, e in self.rows if family == self.family[text] and e.reward >= 1][-1:]

    def learn(self, text: str, done: Trajectory, reward: float) -> None:
        self.rows.append((self.family[text], done.experience))


@lru_cache(maxsize=4096)
def bag(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text.lower()))


def likeness(one: Counter[str], other: Counter[str]) -> float:
    """Orders texts as the cosine of their sets of words does; the length of the asking text changes no order."""
    return len(one.keys() & other.keys()) / math.sqrt(len(other))


def run(stream: Sequence[Task], memory: Cases | Knowing, seed: int = 0, **knobs: float) -> StreamResult:
    failures, noise = knobs.get("failures", 0.0), knobs.get("noise", 0.0)
    return experience_stream(stream, memory.recall, memory.learn, seed=seed, failures=failures, noise=noise)


def repaired(world: RecipeWorld, task: Task, seed: int = 0) -> Trajectory:
    """The solver, told the recipe."""
    return solve(world, task, [Experience(task.text, task.slots, task.recipe, 1.0)], seed=seed)


# Tasks


def test_streams_are_repeatable_longer_ones_begin_with_shorter_ones_and_seeds_differ() -> None:
    assert tasks(1) == tasks(1)
    assert tasks(1, count=50) == tasks(1)[:50]
    assert tasks(1) != tasks(2)
    assert families(1) == families(1)


@pytest.mark.parametrize("length", [(3, 3), (4, 8), (10, 14), (20, 20)])
def test_recipes_have_the_length_asked_for_and_differ(length: tuple[int, int]) -> None:
    for seed in range(3):
        found = families(seed, count=3, length=length)
        assert all(length[0] <= len(family.recipe) <= length[1] for family in found)
        assert len({family.recipe for family in found}) == 3


def test_decoys_share_goal_and_things_and_differ_in_cue_and_recipe() -> None:
    found = families(0, count=12, decoys=0.5)
    goals = Counter(family.goal for family in found)
    assert sorted(goals.values()) == [1] * 6 + [2] * 3
    for goal, count in goals.items():
        twins = [family for family in found if family.goal == goal]
        assert len({family.cue for family in twins}) == count
        assert (twins[0].cue is None) == (count == 1)
    assert len({family.goal for family in families(0, decoys=0.0)}) == 12
    assert len({family.goal for family in families(0, decoys=1.0)}) == 6


def test_every_family_is_told_in_five_ways_or_more() -> None:
    assert len(FRAMES) >= 5
    stream = tasks(0, count=600)
    told: dict[str, set[str]] = {}
    for task in stream:
        told.setdefault(task.family, set()).add(re.sub(r"\(.*?\)", "", task.text).split()[0])
    assert min(map(len, told.values())) >= 5


def nearest_is_wrong(decoys: float) -> float:
    wrong = total = 0
    for seed in range(3):
        stream = tasks(seed, decoys=decoys)
        index = Bm25([task.text for task in stream])
        for i in range(100, 200):
            nearest = next(j for j in index.rank(stream[i].text) if j < i)
            wrong += stream[nearest].family != stream[i].family
            total += 1
    return wrong / total


def test_the_nearest_task_is_often_of_a_decoy_family_and_rarely_wrong_without_decoys() -> None:
    assert nearest_is_wrong(0.0) < 0.1
    assert nearest_is_wrong(1.0) > 0.35


def test_orders_hold_the_same_families_in_another_sequence() -> None:
    random, clustered, adversarial = (tasks(3, order=order) for order in ("random", "clustered", "adversarial"))
    counts = Counter(task.family for task in random)
    assert counts == Counter(task.family for task in clustered) == Counter(task.family for task in adversarial)
    changes = [sum(a.family != b.family for a, b in pairwise(stream)) for stream in (random, clustered, adversarial)]
    assert changes[1] == 11
    assert changes[2] >= 195
    goal = {family.name: family.goal for family in families(3)}
    twins = [sum(goal[a.family] == goal[b.family] for a, b in pairwise(s) if a.family != b.family)
             for s in (random, adversarial)]  # fmt: skip
    assert twins[1] > 2 * twins[0]


def test_skew_drift_and_shifts_change_what_they_say() -> None:
    plain = tasks(2)
    shares = [Counter(task.family for task in tasks(2, skew=skew)).most_common(1)[0][1] for skew in (0.0, 1.5)]
    assert shares[1] > 2 * shares[0]
    drifted = tasks(2, drift=True)
    assert drifted[:100] == plain[:100]
    assert all(a.recipe != b.recipe and a.text == b.text for a, b in zip(drifted[100:], plain[100:], strict=True))
    shifted = tasks(2, layout_shift=0.5)
    assert [task.shifted for task in shifted] == [False] * 100 + [True] * 100
    assert [task.recipe for task in shifted] == [task.recipe for task in plain]
    news = tasks(2, goal_shift=0.25)
    assert news[:150] == plain[:150]
    assert not {task.family for task in news[150:]} & {task.family for task in plain}
    assert not {family.goal for family in families(2)} & {family.goal for family in families(2, shared=True)}


def test_new_families_begin_like_an_old_one() -> None:
    old = {family.recipe[:2] for family in families(4)}
    assert all(family.recipe[:2] in old for family in families(4, shared=True))


# The world


def test_every_recipe_can_be_done_verbatim_and_earns_one() -> None:
    for seed in range(3):
        stream = (*tasks(seed, count=60), *tasks(seed, count=20, goal_shift=1.0), *tasks(seed, count=20, drift=True))
        for task in (*stream, *tasks(seed, count=10, length=(20, 20), family_count=4)):
            world = RecipeWorld()
            world.reset(seed, task)
            rewards = []
            for action in task.recipe:
                assert action in world.valid_actions()
                _, reward, done, info = world.step(action)
                rewards.append(reward)
            assert info.success
            assert done
            assert math.isclose(sum(rewards), 1.0)
            assert rewards == pytest.approx([1 / len(task.recipe)] * len(task.recipe))


def test_no_shorter_way_exists_for_short_recipes_by_breadth_first_search() -> None:
    checked = 0
    for task in tasks(0, count=12, length=(3, 4), family_count=6):
        start = RecipeWorld(clutter=1)
        start.reset(0, task)
        queue: deque[tuple[RecipeWorld, int]] = deque([(start, 0)])
        found = None
        while queue and found is None:
            world, depth = queue.popleft()
            for action in world.valid_actions():
                branch = world.fork()
                if branch.step(action)[3].success:
                    found = depth + 1
                    break
                if depth + 1 < len(task.recipe):
                    queue.append((branch, depth + 1))
        assert found == len(task.recipe)
        checked += 1
    assert checked == 12


def test_an_order_other_than_the_recipe_earns_less() -> None:
    task = next(task for task in tasks(0) if len(task.recipe) >= 6)
    world = RecipeWorld()
    world.reset(0, task)
    for action in reversed(task.recipe):
        world.step(action)
    assert world.progress < 1


def test_valid_actions_never_fail_and_others_do_nothing_but_cost_a_step() -> None:
    for task in tasks(1, count=10):
        world = RecipeWorld()
        world.reset(1, task)
        for turn in range(20):
            if world.done:
                break
            for action in world.valid_actions():
                assert not world.fork().step(action)[3].failed
            for action in ("fly", "open moon", f"use knife on {task.slots[0][1]}", "take ghost from box"):
                branch = world.fork()
                before = branch.observation()
                text, reward, _, info = branch.step(action)
                assert info.failed
                assert reward == 0
                assert text != before == branch.observation()
                assert branch.steps == world.steps + 1
            world.step(world.valid_actions()[turn % len(world.valid_actions())])


def test_each_missing_precondition_is_named() -> None:
    task = next(t for t in tasks(0) if any(a.startswith("put") for a in t.recipe) and "open" in " ".join(t.recipe))
    names = dict(task.slots)
    box, room, thing = names["C1"], names["R1"], names["O1"]
    shut = Task(**{f: getattr(task, f) for f in ("id", "text", "slots", "family", "site", "recipe", "home")},
                start_open=(), shifted=True)  # fmt: skip
    world = RecipeWorld()
    world.reset(0, shut)
    assert world.step(f"open {box}")[0] == f"the {box} is not in this room but in the {room}"
    if f"open door {room}" in world.valid_actions():
        assert world.step(f"go {room}")[0] == f"the door to the {room} is closed"
        world.step(f"open door {room}")
    world.step(f"go {room}")
    assert world.step(f"take {thing} from {box}")[0] == f"the {box} is closed"
    assert not world.step(f"open {box}")[3].failed
    assert world.step(f"put {thing} in {box}")[0] == f"you are not holding the {thing}"
    assert not world.step(f"take {thing} from {box}")[3].failed
    assert world.step(f"take {thing} from {box}")[0] == f"there is no {thing} in the {box}"


def test_a_fork_has_the_same_luck_and_leaves_the_original_alone() -> None:
    for task in tasks(0, count=10):
        world = RecipeWorld(noise=0.5)
        world.reset(3, task)
        world.step("wait")
        one, two = world.fork(), world.fork()
        seen = world.observation()
        while not one.done:
            action = one.valid_actions()[0]
            assert one.step(action) == two.step(action)
        assert world.observation() == seen
        assert world.steps == 1


def test_noise_replaces_actions_at_its_rate() -> None:
    slips = total = 0
    for task in tasks(0, count=40):
        world = RecipeWorld(noise=0.3)
        world.reset(0, task)
        while not world.done:
            slips += world.step("wait")[3].action != "wait"
            total += 1
    assert 0.2 < slips / total < 0.35


# The solver


def test_the_solver_repairs_a_plan_in_a_closed_house() -> None:
    extra = []
    for seed in range(3):
        for task in tasks(seed, count=40, layout_shift=1.0):
            done = repaired(RecipeWorld(), task, seed)
            assert done.success, task
            extra.append(len(done.steps) - len(task.recipe))
    assert max(extra) > 0
    assert max(extra) < 20


def test_a_plan_moves_to_other_names_by_its_slots() -> None:
    stream = tasks(0)
    one, two = next((a, b) for a in stream for b in stream if a.family == b.family and a.slots != b.slots)
    moved = [substitute(action, one.slots, two.slots) for action in one.recipe]
    assert tuple(moved) == two.recipe
    swapped = (("A", "box"), ("B", "bin")), (("A", "bin"), ("B", "box"))
    assert substitute("put box in bin", *swapped) == "put bin in box"
    assert solve(RecipeWorld(), two, [Experience(one.text, one.slots, one.recipe, 1.0)], seed=0).success
    assert holes("take {O1} from {C1}") == ["O1", "C1"]


def test_what_is_kept_of_a_success_repeats_it_without_detours() -> None:
    checked = shorter = 0
    for seed in range(2):
        for task in tasks(seed, count=60):
            found = solve(RecipeWorld(horizon=150), task, [], seed=seed)
            if found.success:
                again = solve(RecipeWorld(horizon=150), task, [found.experience], seed=seed)
                assert again.success
                assert len(again.steps) <= len(found.experience.actions)
                shorter += len(again.steps) < len(found.steps)
                checked += 1
    assert checked > 60
    assert shorter > 0.9 * checked


def test_dependencies_are_kept_and_detours_dropped() -> None:
    def step(action: str, reward: float = 0.0, failed: bool = False) -> Step:
        return Step(action, "", reward, failed)

    steps = [
        step("go attic"), step("open box"), step("go cellar"), step("open bin", failed=True), step("open door barn"),
        step("go barn"), step("open bin"), step("wait"), step("take knife from bin"), step("go hall"),
        step("take apple from tray", 0.5), step("use knife on apple", 0.5), step("wait"),
    ]  # fmt: skip
    assert essential(steps) == (
        "open door barn", "go barn", "open bin", "take knife from bin", "go hall", "take apple from tray",
        "use knife on apple",
    )  # fmt: skip
    assert essential(steps[:3]) == ("go attic", "open box", "go cellar")


def test_actions_of_failures_are_not_repeated_at_their_step() -> None:
    task = tasks(0)[0]
    world = RecipeWorld()
    world.reset(0, task)
    first = world.valid_actions()
    for spared in first:
        bad = [Experience("", (), (action,), 0.0) for action in first if action != spared]
        assert solve(RecipeWorld(), task, bad, seed=0).steps[0].action == spared


def test_experiences_survive_as_text() -> None:
    for task in tasks(0, count=20):
        kept = solve(RecipeWorld(), task, [], seed=1).experience
        read = read_experience("some words before\n" + render_experience(kept) + "\nand after")
        assert read is not None
        assert (read.text, read.slots, read.actions) == (kept.text, kept.slots, kept.actions)
        assert math.isclose(read.reward, kept.reward, abs_tol=1e-5)
    assert read_experience("nothing here") is None


# The stream


def test_without_memories_every_memory_is_the_same_run() -> None:
    stream = tasks(0, count=60)
    table = run(stream, Cases(0))
    assert table == run(stream, Cases(0, recent=True))
    assert table != run(stream, Cases(4))
    assert {row.retrievals for row in table.rows} == {0} == {row.context_tokens for row in table.rows}


def test_text_and_structure_give_the_same_run() -> None:
    stream = tasks(0, count=60)
    memory, other = Cases(), Cases()
    table = run(stream, memory)
    recalled = experience_stream(
        stream, lambda text: list(map(render_experience, other.recall(text))), other.learn, seed=0
    )
    assert [row.success for row in recalled.rows] == [row.success for row in table.rows]
    assert sum(row.context_tokens for row in recalled.rows) == sum(row.context_tokens for row in table.rows) > 0


def test_the_plan_of_a_decoy_is_no_better_than_none_and_that_of_the_family_solves() -> None:
    won = Counter[str]()
    total = 0
    for seed in range(3):
        stream = tasks(seed, decoys=1.0)
        goal = {family.name: family.goal for family in families(seed, decoys=1.0)}
        for task in stream[:60]:
            twin = next(t for t in stream if goal[t.family] == goal[task.family] and t.family != task.family)
            kin = next(t for t in stream if t.family == task.family and t.id != task.id)
            total += 1
            for name, other in (("none", None), ("twin", twin), ("kin", kin)):
                known = [Experience(other.text, other.slots, other.recipe, 1.0)] if other else []
                won[name] += solve(RecipeWorld(), task, known, seed=seed).success
    assert won["kin"] == total
    assert won["twin"] < 0.5 * total
    assert abs(won["twin"] - won["none"]) < 0.25 * total


def test_memory_helps_and_the_right_family_helps_more() -> None:
    means: dict[str, list[float]] = {"none": [], "near": [], "knowing": []}
    steps: dict[str, list[float]] = {name: [] for name in means}
    for seed in range(3):
        stream = tasks(seed, decoys=1.0)
        for name, memory in (("none", Cases(0)), ("near", Cases()), ("knowing", Knowing(stream))):
            table = run(stream, memory, seed)
            means[name].append(table.mean("success", 100))
            steps[name].append(table.mean("steps", 100))
    mean = {name: sum(found) / 3 for name, found in means.items()}
    assert mean["none"] + 0.2 < mean["near"] < mean["knowing"] - 0.05, mean
    assert sum(steps["near"]) < 0.8 * sum(steps["none"])


def test_the_last_experiences_serve_only_where_families_come_in_clusters() -> None:
    shares = {order: run(tasks(0, order=order), Cases(recent=True)).mean("success")
              for order in ("clustered", "random", "adversarial")}  # fmt: skip
    assert shares["clustered"] > shares["random"] + 0.2
    assert shares["clustered"] > shares["adversarial"] + 0.2


def test_repeated_trials_get_better_with_memory_only() -> None:
    stream = tasks(1, count=24)
    memory, none = Cases(), Cases(0)
    for kept, rise in ((memory, True), (none, False)):
        table = experience_stream(stream, kept.recall, kept.learn, seed=1, epochs=5)
        means = [sum(row.progress for row in table.rows if row.epoch == epoch) / 24 for epoch in range(5)]
        assert (means[-1] > means[0] + 0.1) == rise


def test_failures_are_taught_at_their_rate_and_frozen_teaches_nothing() -> None:
    stream = tasks(0, count=200)
    memory = Cases()
    run(stream, memory, failures=0.3)
    assert 30 < len(memory.rows) - 200 < 90
    learned = Cases()
    experience_stream(stream, learned.recall, learned.learn, seed=0, mislabelled=0.5)
    claimed = [experience for _, experience in learned.rows if experience.reward >= 1]
    assert len(claimed) > 80
    frozen = Cases()
    experience_stream(stream[:5], frozen.recall, frozen.learn, seed=0, failures=1.0, frozen=True)
    assert not frozen.rows


def test_a_thing_is_fetched_from_where_it_was_seen_within_the_window() -> None:
    checked = 0
    for task in tasks(0, count=100):
        at = next((i for i, a in enumerate(task.recipe) if a.startswith("take") and a.split()[1] in TOOLS), None)
        if at is None or not task.recipe[at + 1].startswith("use"):
            continue
        names = dict(task.slots)
        away = next(room for room in ROOMS if f"go {room}" in valid_at_start(task) and room not in names.values())
        plan = (*task.recipe[:at], f"go {away}", *task.recipe[at + 1 :])
        known = [Experience(task.text, task.slots, plan, 1.0)]
        far, near = (solve(RecipeWorld(), task, known, seed=0, obs_window=window) for window in (8, 1))
        actions = [step.action for step in far.steps]
        use = actions.index(task.recipe[at + 1])
        assert far.steps[use].failed
        assert actions[use + 1] == task.recipe[at]
        assert actions[use + 2].startswith("go ")
        assert actions[use + 3] == task.recipe[at]
        assert [step.action for step in near.steps][use + 1 : use + 2] != [task.recipe[at]]
        checked += 1
    assert checked > 5


def valid_at_start(task: Task) -> tuple[str, ...]:
    world = RecipeWorld()
    world.reset(0, task)
    return world.valid_actions()


def test_what_is_out_of_range_is_refused() -> None:
    task = tasks(0, count=1)[0]
    attempts: tuple[Callable[[], object], ...] = (
        lambda: tasks(0, count=0),
        lambda: tasks(0, length=(2, 5)),
        lambda: tasks(0, length=(5, 21)),
        lambda: tasks(0, decoys=1.5),
        lambda: tasks(0, layout_shift=-1),
        lambda: tasks(0, goal_shift=2),
        lambda: tasks(0, skew=-1),
        lambda: tasks(0, order="sorted"),  # type: ignore[arg-type]
        lambda: families(0, count=25),
        lambda: families(0, count=24, length=(3, 3)),
        lambda: RecipeWorld(horizon=0),
        lambda: RecipeWorld(noise=1.1),
        lambda: RecipeWorld().task,
        lambda: solve(RecipeWorld(), task, [], seed=0, epsilon=2),
        lambda: solve(RecipeWorld(), task, [], seed=0, obs_window=0),
        lambda: experience_stream([], lambda text: [], lambda text, done, reward: None, seed=0),
        lambda: experience_stream([task], lambda text: [], lambda text, done, reward: None, seed=0, failures=2),
    )
    for refuse in attempts:
        with pytest.raises(InvalidInput):
            refuse()
    world = RecipeWorld(horizon=1)
    world.reset(0, task)
    world.step("wait")
    with pytest.raises(InvalidInput, match="over"):
        world.step("wait")
