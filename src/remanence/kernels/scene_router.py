"""Scenes: clusters of statements that grow as statements come in, by nearness in meaning and in time.

    score(scene, e, day) = cos(centroid, e) + bonus (1 - gap / horizon)     gap < horizon: days to the scene's time

A statement joins the scene with the highest score, and the runner-up too if that is near enough; it begins a scene of
its own where the best is too far away, or crowded, or full. The first scenes are spread over the first statements by
farthest-first traversal (T. Gonzalez, 1985). The rules and numbers are those of MemForest (2026).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import InvalidInput

__all__ = ["Rules", "Scenes", "assign", "farthest_first"]

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides.

    Attributes:
        spawn: Score below which a statement begins a scene.
        spawn_crowded: The same where the best scene has `crowded` members.
        crowded: Members from which a scene is crowded.
        full: Members that a scene has at most.
        second: Score from which the runner-up gets the statement too.
        merge: Cosine of centroids from which two scenes become one, if they fit into one.
        every: Statements after which scenes are compared with each other.
        bonus: What being of the same time adds to a cosine.
        horizon: Days of distance at which nothing is added any more.
        first: Scenes to begin with.
        least: Statements before which there are no scenes.
    """

    spawn: float = 0.50
    spawn_crowded: float = 0.65
    crowded: int = 100
    full: int = 200
    second: float = 0.55
    merge: float = 0.88
    every: int = 500
    bonus: float = 0.08
    horizon: float = 45.0
    first: int = 12
    least: int = 24

    def __post_init__(self) -> None:
        for name in ("full", "every", "first", "least"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name}={getattr(self, name)} must be at least 1")
        if not self.horizon > 0:
            raise InvalidInput(f"horizon={self.horizon} must be more than 0 days")


class Scenes:
    """Scenes by number: sums of unit vectors, members, and the days between which they lie."""

    def __init__(self, dim: int, rules: Rules | None = None) -> None:
        self.rules = Rules() if rules is None else rules
        self.numbers: list[int] = []
        self._sums = np.zeros((0, dim))
        self._counts = np.zeros(0, np.int64)
        self._days = np.zeros((0, 2))
        self._last = 0

    @classmethod
    def of(
        cls, members: Sequence[Sequence[int]], vectors: Vector, days: Sequence[float], rules: Rules | None = None
    ) -> Scenes:
        """Scenes of which statements are members already; the same as joining one after the other."""
        scenes = cls(vectors.shape[1], rules)
        rows_of: dict[int, list[int]] = {}
        for row, numbers in enumerate(members):
            for number in numbers:
                rows_of.setdefault(number, []).append(row)
        when = np.asarray(days, np.float64)
        scenes.numbers = list(rows_of)
        scenes._last = max(rows_of, default=0)
        if rows_of:
            # Summed one after the other, as they joined: the last bit counts where scores are equal.
            scenes._sums = np.stack(
                [np.cumsum(vectors[rows], axis=0, dtype=np.float64)[-1] for rows in rows_of.values()]
            )
            scenes._days = np.array([(when[rows].min(), when[rows].max()) for rows in rows_of.values()])
            scenes._counts = np.array([len(rows) for rows in rows_of.values()])
        return scenes

    def join(self, number: int, vector: Vector, day: float) -> None:
        """Make a statement a member of a scene, which begins with it if it is new."""
        if number not in self.numbers:
            self.numbers.append(number)
            self._last = max(self._last, number)
            self._sums = np.vstack([self._sums, np.zeros(self._sums.shape[1])])
            self._counts = np.append(self._counts, 0)
            self._days = np.vstack([self._days, [day, day]])
        row = self.numbers.index(number)
        self._sums[row] += vector.astype(np.float64)
        self._counts[row] += 1
        self._days[row] = min(self._days[row, 0], day), max(self._days[row, 1], day)

    def scores(self, vector: Vector, day: float) -> NDArray[np.float64]:
        """[scenes] cosine to the centroid and bonus for the time, in the order of `numbers`."""
        gaps = np.maximum(0, np.maximum(self._days[:, 0] - day, day - self._days[:, 1]))
        near = np.where(gaps < self.rules.horizon, self.rules.bonus * (1 - gaps / self.rules.horizon), 0.0)
        cosines: NDArray[np.float64] = _unit(self._sums) @ _unit(vector[None].astype(np.float64))[0]
        return cosines + near

    def route(self, vector: Vector, day: float) -> tuple[int, ...]:
        """The scenes of a statement, one or two, of which it becomes a member."""
        rules = self.rules
        scores = self.scores(vector, day)
        order = np.argsort(-scores, kind="stable")[:2].tolist()
        best = order[0] if order else None
        if best is None or self._counts[best] >= rules.full or scores[best] < (
            rules.spawn_crowded if self._counts[best] >= rules.crowded else rules.spawn
        ):  # fmt: skip
            found = [self._last + 1]
        else:
            also = [row for row in order[1:] if scores[row] >= rules.second and self._counts[row] < rules.full]
            found = [self.numbers[row] for row in (best, *also)]
        for number in found:
            self.join(number, vector, day)
        return tuple(found)

    def merge(self) -> dict[int, int]:
        """Put scenes together whose centroids are alike, nearest first; the scene that each gone one is part of now."""
        became: dict[int, int] = {}
        while len(self.numbers) > 1:
            units = _unit(self._sums)
            cosines = np.where(np.tri(len(units), k=-1, dtype=bool).T, units @ units.T, -1.0)
            cosines[self._counts[:, None] + self._counts > self.rules.full] = -1.0
            keep, gone = np.unravel_index(int(np.argmax(cosines)), cosines.shape)
            if cosines[keep, gone] < self.rules.merge:
                break
            became = {old: self.numbers[keep] if new == self.numbers[gone] else new for old, new in became.items()}
            became[self.numbers[gone]] = self.numbers[keep]
            self._sums[keep] += self._sums[gone]
            self._counts[keep] += self._counts[gone]
            self._days[keep] = min(self._days[[keep, gone], 0]), max(self._days[[keep, gone], 1])
            self.numbers.pop(int(gone))
            self._sums, self._days = np.delete(self._sums, gone, axis=0), np.delete(self._days, gone, axis=0)
            self._counts = np.delete(self._counts, gone)
        return became


def assign(
    vectors: Vector, days: Sequence[float], known: Sequence[Sequence[int]], rules: Rules | None = None
) -> list[tuple[int, ...]]:
    """The scenes of statements in the order in which they came.

    Whether they come at once or bit by bit, each time with what was assigned before, the scenes are the same.

    Args:
        vectors: [n, dim], unit length or zero.
        days: When each is true, in days.
        known: The scenes that each has already; empty where it has none yet.
        rules: What decides.
    """
    rules = Rules() if rules is None else rules
    found = [tuple(one) for one in known]
    if all(found) or (not any(found) and len(found) < rules.least):
        return found
    if not any(found):
        seeds = farthest_first(vectors[: rules.least], rules.first)
        nearest = np.argmax(vectors[: rules.least] @ vectors[seeds].T, axis=1).tolist()
        found[: rules.least] = [(seed + 1,) for seed in nearest]
    scenes = Scenes.of(found, vectors, days, rules)
    for row, numbers in enumerate(found):
        if not numbers:
            found[row] = scenes.route(vectors[row], days[row])
            if (row + 1) % rules.every == 0 and (became := scenes.merge()):
                found = [tuple(dict.fromkeys(became.get(old, old) for old in one)) for one in found]
                # A statement of both scenes counts once from now on, as it will when all is read again.
                scenes = Scenes.of(found, vectors, days, rules)
    return found


def farthest_first(vectors: Vector, count: int) -> list[int]:
    """Rows that lie far from each other: the first, then always the one whose nearest chosen row is farthest."""
    if not len(vectors):
        return []
    chosen = [0]
    nearest = vectors @ vectors[0]
    while len(chosen) < min(count, len(vectors)):
        nearest[chosen] = np.inf
        chosen.append(int(np.argmin(nearest)))
        nearest = np.maximum(nearest, vectors @ vectors[chosen[-1]])
    return chosen


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1.0)
