"""What is measured on a trained sequence model: loss, recall by distance, bytes of state, tokens per second."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch

from remanence.bench.sequence.corpus import batch_of
from remanence.bench.sequence.training import Batch, loss_of
from remanence.scenarios.mqar import TokenTask
from remanence.substrates.sequence import state as states
from remanence.substrates.sequence.model import SequenceModel


def bits(model: SequenceModel, batch: Batch) -> float:
    """Bits per token of what counts in a batch."""
    with torch.no_grad():
        return loss_of(model, batch).item() / math.log(2)


def told(model: SequenceModel, task: TokenTask) -> np.ndarray:
    """What a model says at every place of a task, [B, T]."""
    with torch.no_grad():
        logits, _ = model(batch_of(task).ids)
    said: np.ndarray = logits.argmax(-1).numpy()
    return said


def recall_by_distance(
    model: SequenceModel, tasks: Sequence[TokenTask], *, edges: Sequence[int]
) -> dict[str, float | None]:
    """Accuracy where the answer was read so many tokens ago: from one edge to the next; None where nothing is asked."""
    right, distance = [], []
    for task in tasks:
        right.append((told(model, task) == task.targets)[task.asked])
        distance.append(task.distance[task.asked])
    all_right, all_distance = np.concatenate(right), np.concatenate(distance)
    found: dict[str, float | None] = {}
    for low, high in pairwise(edges):
        there = (all_distance >= low) & (all_distance < high)
        found[f"{low}-{high - 1}"] = float(all_right[there].mean()) if there.any() else None
    return found


def state_bytes(model: SequenceModel, tokens: int) -> int:
    """Bytes of all states of one sequence after so many tokens."""
    with torch.no_grad():
        _, ends = model(torch.zeros(1, tokens, dtype=torch.int64))
    return sum(map(states.size, ends))


def per_second(act: Callable[[], object], tokens: int, *, repeats: int) -> float:
    """Tokens per second of processor time: the median of some repeats, after one that does not count."""
    act()
    spent = []
    for _ in range(repeats):
        # Whatever else a machine does, it takes none of this time; with one thread it is that of the clock.
        begin = time.process_time()
        act()
        spent.append(time.process_time() - begin)
    return tokens / statistics.median(spent)


def speeds(model: SequenceModel, batch: Batch, *, repeats: int = 3, decoded: int = 32) -> dict[str, float]:
    """Tokens per processor second forward, in training (forward and backward), and decoding one sequence by step."""
    tokens = batch.ids.numel()

    def forward() -> None:
        with torch.no_grad():
            model(batch.ids)

    def train() -> None:
        model.zero_grad()
        loss_of(model, batch).backward()

    with torch.no_grad():
        _, after = model(batch.ids[:1])

    def decode() -> None:
        held = after
        with torch.no_grad():
            for _ in range(decoded):
                _, held = model(batch.ids[:1, :1], held)

    return {
        "forward": per_second(forward, tokens, repeats=repeats),
        "training": per_second(train, tokens, repeats=repeats),
        "decoding": per_second(decode, decoded, repeats=repeats),
    }
