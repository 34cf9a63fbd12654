"""Linear regression whose teacher changes: one batch a step, tasks in turn or always new.

y = Θ_task x + noise, x of a given covariance. What an optimizer, or a memory that learns while it is read, does when
the task changes, and when it comes back, shows in the error against the teacher of the moment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from remanence.core.errors import InvalidInput

__all__ = ["RegressionStream", "regression_stream"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RegressionStream:
    """Batches of a stream, with the teacher of each step."""

    inputs: Array
    """x [T, N, D]."""
    targets: Array
    """y [T, N, O]."""
    task: npt.NDArray[np.int64]
    """Number of the task of each step, [T]."""
    teachers: Array
    """Θ of each task, [K, O, D]."""
    spread: Array
    """Standard deviation of each coordinate of x, [D]."""
    phase: int
    """Steps between two changes of the task."""

    def error(self, weights: Array, task: int) -> float:
        """Expected square of (W - Θ) x over that of Θ x, without the noise; 0 is right, 1 what zeros get."""
        wrong = ((weights - self.teachers[task]) * self.spread) ** 2
        return float(wrong.sum() / ((self.teachers[task] * self.spread) ** 2).sum())


def regression_stream(
    seed: int,
    *,
    dimension: int = 20,
    outputs: int = 1,
    batch: int = 1,
    tasks: int = 2,
    phases: int = 8,
    phase: int = 200,
    noise: float = 0.0,
    rank: int | None = None,
    condition: float = 1.0,
) -> RegressionStream:
    """A stream of `phases` times `phase` steps, over tasks 0, 1, …, tasks - 1, 0, …

    Args:
        seed: decides everything.
        dimension, outputs: D and O.
        batch: N.
        tasks: K; as many as phases: none comes back.
        phases: how often a task begins.
        phase: steps of each.
        noise: standard deviation of what is added to y.
        rank: teachers lie in a subspace of so many dimensions of x, shared by all; None: anywhere.
        condition: largest variance of a coordinate of x over the smallest; they are spread evenly by their logarithms.

    """
    counts = {"dimension": dimension, "outputs": outputs, "batch": batch, "tasks": tasks, "phases": phases,
              "phase": phase, "rank": 1 if rank is None else rank}  # fmt: skip
    for name, value in counts.items():
        if value < 1:
            raise InvalidInput(f"{name} must be at least 1, not {value}")
    if rank is not None and rank > dimension:
        raise InvalidInput(f"rank {rank} is more than the {dimension} dimensions of x")
    if noise < 0 or condition < 1:
        raise InvalidInput(f"noise must be at least 0 and condition at least 1; got {noise} and {condition}")
    rng = np.random.default_rng([seed, dimension, outputs, batch, tasks])
    teachers = rng.standard_normal((tasks, outputs, dimension))
    if rank is not None:
        basis = np.linalg.qr(rng.standard_normal((dimension, rank)))[0]
        teachers = rng.standard_normal((tasks, outputs, rank)) @ basis.T * np.sqrt(dimension / rank)
    spread = condition ** np.linspace(0, -0.5, dimension)
    task = np.repeat(np.arange(phases) % tasks, phase)
    inputs = rng.standard_normal((len(task), batch, dimension)) * spread
    targets = np.einsum("tod,tnd->tno", teachers[task], inputs)
    targets += noise * rng.standard_normal(targets.shape)
    return RegressionStream(inputs, targets, task, teachers, spread, phase)
