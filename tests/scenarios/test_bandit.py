from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import pytest

from remanence.core.errors import InvalidInput, NotFound
from remanence.scenarios.bandit import OTHER_WORDS, SUCCESS, TASK_WORDS, Bandit, BanditTask, bandit
from remanence.scenarios.dice import Dice
from remanence.stores.embedders.static import StaticEmbedder
from remanence.substrates.embedding import HashEmbedder
from tests.scenarios.ranking import Bm25


def cosine(one: str, other: str) -> float:
    a, b = Counter(one.split()), Counter(other.split())
    return sum(a[word] * b[word] for word in a) / math.sqrt(
        sum(n * n for n in a.values()) * sum(n * n for n in b.values())
    )


def by_cosine(one: Bandit, task: BanditTask) -> list[str]:
    return [m.id for m in sorted(one.memories, key=lambda m: -cosine(task.text, m.intent))]


def greedy(one: Bandit, shortlist: int, epochs: int, rate: float) -> list[float]:
    """Success per epoch of ranking a similarity shortlist by learned utility alone, exploring in a tenth of cases."""
    utility = dict.fromkeys((m.id for m in one.memories), 0.0)
    dice = Dice("greedy", one.seed)
    near = {task.id: by_cosine(one, task)[:shortlist] for task in one.tasks}
    means = []
    for epoch in range(epochs):
        solved = 0
        for task in one.epoch(epoch):
            shown = near[task.id]
            best = max(shown, key=lambda id: utility[id])
            chosen = dice.pick(shown) if dice.chance(0.1) else best
            reward = one.reward(task, chosen, epoch)
            utility[chosen] += rate * ((1 if reward else -1) - utility[chosen])
            solved += reward
        means.append(solved / len(one.tasks))
    return means


def test_a_bandit_is_repeatable_and_seeds_differ() -> None:
    assert bandit(3) == bandit(3)
    assert bandit(3) != bandit(4)
    assert bandit(3).epoch(2) == bandit(3).epoch(2)
    assert bandit(3).epoch(2) != bandit(3).epoch(3)


def test_words_are_distinct() -> None:
    assert len(set(TASK_WORDS)) == len(TASK_WORDS)
    assert not set(TASK_WORDS) & set(OTHER_WORDS)


@pytest.mark.parametrize("success", [SUCCESS, (0.9, 0.1), tuple(i / 12 for i in range(12))])
def test_similarity_falls_with_the_rank_as_promised(success: tuple[float, ...]) -> None:
    for seed in range(3):
        one = bandit(seed, success=success, extra_words=2)
        size = len(success) + 2
        for task in one.tasks:
            own = one.of(task)
            assert [memory.success for memory in own] == list(success)
            found = [cosine(task.text, memory.intent) for memory in own]
            assert found == pytest.approx([(size - 1 - rank) / size for rank in range(len(success))])
            assert by_cosine(one, task)[: len(own)] == [memory.id for memory in own]
            assert all(cosine(task.text, m.intent) == 0 for m in one.memories if m.family != task.family)


def test_embedders_and_bm25_see_the_same_order() -> None:
    one = bandit(1)
    intents = [memory.intent for memory in one.memories]
    index = Bm25(intents)
    for task in one.tasks:
        assert [one.memories[i].id for i in index.rank(task.text)[:6]] == [memory.id for memory in one.of(task)]
    for embedder, least in ((HashEmbedder(dim=4096), 0.99), (StaticEmbedder(), 0.85)):
        vectors = embedder.embed(intents)
        right = total = 0
        for task, query in zip(one.tasks, embedder.embed([t.text for t in one.tasks], kind="query"), strict=True):
            scores = dict(zip([m.id for m in one.memories], (vectors @ query).tolist(), strict=True))
            own = [scores[memory.id] for memory in one.of(task)]
            right += sum(a > b for a, b in pairwise(own))
            total += len(own) - 1
        assert right / total >= least, (embedder.space, right / total)


def test_rewards_come_at_the_promised_rates_and_are_nested() -> None:
    one = bandit(0)
    hits: Counter[int] = Counter()
    for epoch in range(100):
        for task in one.tasks:
            drawn = [one.reward(task, memory.id, epoch) for memory in one.of(task)]
            assert drawn == sorted(drawn)
            hits.update(dict(enumerate(drawn)))
    for rank, rate in enumerate(SUCCESS):
        assert abs(hits[rank] / 2000 - rate) < 4 * math.sqrt(rate * (1 - rate) / 2000)


def test_memories_of_other_families_and_no_memory_never_help() -> None:
    one = bandit(0)
    task = one.tasks[0]
    foreign = next(memory for memory in one.memories if memory.family != task.family)
    assert not any(one.reward(task, foreign.id, epoch) or one.reward(task, None, epoch) for epoch in range(50))


def test_the_nearest_memory_is_the_worst_choice() -> None:
    nearest = chance = 0.0
    for seed in range(5):
        one = bandit(seed)
        for task in one.tasks:
            rates = [one.rate(task, id) for id in by_cosine(one, task)[:6]]
            nearest += rates[0] / 100
            chance += sum(rates) / 600
    assert nearest == pytest.approx(0.05)
    assert chance == pytest.approx(sum(SUCCESS) / 6)


def test_learned_utility_wins_up_to_what_the_shortlist_shows() -> None:
    runs = {k: [greedy(bandit(seed), k, 20, 0.3) for seed in range(5)] for k in (1, 5, 6)}
    late = {k: sum(sum(run[-5:]) for run in found) / 25 for k, found in runs.items()}
    assert late[1] < 0.12
    assert 0.3 < late[5] <= 0.55
    assert late[6] > 0.7


def test_an_order_by_anything_but_the_words_fails_the_promise() -> None:
    one = bandit(0)
    task = one.tasks[0]
    by_length = sorted(one.of(task), key=lambda memory: len(memory.intent))
    assert [memory.rank for memory in by_length] != list(range(6))
    assert [memory.rank for memory in one.memories[:6]] != list(range(6))


def test_what_cannot_be_built_is_refused() -> None:
    for families, success, extra in ((0, SUCCESS, 2), (20, (), 2), (20, SUCCESS, 0), (80, SUCCESS, 2), (2, (1.2,), 2)):
        with pytest.raises(InvalidInput):
            bandit(0, families=families, success=success, extra_words=extra)
    with pytest.raises(NotFound, match="m9999"):
        bandit(0).memory("m9999")
