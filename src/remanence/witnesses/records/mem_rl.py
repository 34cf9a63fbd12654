"""Does a memory learn from rewards which of many similar experiences helps?

Twenty families of tasks with six experiences each; the more similar an experience is to its task, the less it helps
(success rates .05 to .9). Each task is done once an epoch with one experience, and the reward is fed back. The best
experience is the least similar one, so a shortlist of five never shows it: whatever phase A leaves out is lost.
Intents are compared by words, as the scenario is made: the order of similarity is then what it says.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from remanence.core.card import Evidence
from remanence.mechanisms.records.mem_rl import MemRL
from remanence.scenarios.bandit import Bandit, bandit
from remanence.scenarios.dice import Dice
from remanence.substrates.embedding import HashEmbedder
from remanence.substrates.records.mechanism import Item

EPOCHS = 20
LAST = 3
"""Epochs at the end that are averaged."""
WORDS = 10
"""Extra words of an intent: similarities then range over two of their standard deviations, not six."""
START = datetime(2026, 1, 1, tzinfo=UTC)


def witness(seed: int) -> Evidence:
    """Success in the last epochs, beside the better of "nearest" and "random"."""
    found = measure(seed)
    return Evidence(
        "success in the last epochs", found["mem_rl"][1], max(found[name][1] for name in ("nearest", "random"))
    )


def measure(seed: int, *, epochs: int = EPOCHS, words: int = WORDS) -> dict[str, tuple[float, float]]:
    """Success in the first epoch and in the last three: "mem_rl" (six intents in the shortlist), "short" (five),
    "similarity" (lambda 0), "utility" (lambda 1), "random" of the six, "nearest"."""
    world = bandit(seed, extra_words=words)
    arms = {
        "mem_rl": MemRL(k1=6, epsilon=0.1, delta=0.2, seed=seed, embedder=HashEmbedder(2048)),
        "short": MemRL(k1=5, epsilon=0.1, delta=0.2, seed=seed, embedder=HashEmbedder(2048)),
        "similarity": MemRL(k1=6, epsilon=0.1, delta=0.2, weight=0.0, seed=seed, embedder=HashEmbedder(2048)),
        "utility": MemRL(k1=6, epsilon=0.1, delta=0.2, weight=1.0, seed=seed, embedder=HashEmbedder(2048)),
    }
    found = {name: run(memory, world, epochs) for name, memory in arms.items()}
    nearest = [[world.reward(task, world.of(task)[0].id, epoch) for task in world.tasks] for epoch in range(epochs)]
    dice = Dice(seed, "random arm")
    drawn = [
        [world.reward(task, dice.pick(world.of(task)).id, epoch) for task in world.tasks] for epoch in range(epochs)
    ]
    found["nearest"] = [float(np.mean(one)) for one in nearest]
    found["random"] = [float(np.mean(one)) for one in drawn]
    return {name: (curve[0], float(np.mean(curve[-LAST:]))) for name, curve in found.items()}


def run(memory: MemRL, world: Bandit, epochs: int) -> list[float]:
    """Success by epoch: find one experience for each task, act by it, feed the reward back."""
    known = remembered(memory, world)
    curve = []
    for epoch in range(epochs):
        rewards = []
        for task in world.epoch(epoch):
            hits = memory.read(task.text, 1, now=START)
            rewards.append(world.reward(task, known[hits[0].sources[0]] if hits else None, epoch))
            memory.feedback([hit.id for hit in hits], 1.0 if rewards[-1] else -1.0, now=START)
        curve.append(float(np.mean(rewards)))
    return curve


def shown(memory: MemRL, world: Bandit) -> float:
    """Share of tasks whose best experience is in the shortlist: what phase A allows."""
    known = remembered(memory, world)
    found = []
    for task in world.tasks:
        best = max(world.of(task), key=lambda one: one.success).id
        shortlist = memory.get([one.id for one in memory.candidates(task.text, memory.k1)])
        found.append(best in {known[record.sources[0].id] for record in shortlist if record is not None})
    return float(np.mean(found))


def remembered(memory: MemRL, world: Bandit) -> dict[str, str]:
    """Let a memory have all experiences; the scenario's id of each."""
    items = [Item(one.experience, meta={"task": one.intent}, at=START) for one in world.memories]
    return dict(zip(memory.write(items, now=START), (one.id for one in world.memories), strict=True))
