"""Conversations without an end, for soak tests."""

from __future__ import annotations

from collections.abc import Iterator

from remanence.scenarios.dialogues import check_arguments
from remanence.scenarios.model import Hardness, Turn
from remanence.scenarios.world import Simulation

GAP = (30, 240)
"""Minutes between sessions: short, so that a calendar of seven thousand years lasts for half a billion turns."""


def memory_stream(seed: int, *, people: int = 3, hardness: Hardness = "medium") -> Iterator[Turn]:
    """An endless conversation in the manner of `dialogues.generate`, turn by turn, in bounded memory.

    Times never decrease until the year 9000; then the calendar starts over. Turn ids never repeat. The same arguments
    give the same turns everywhere. Errors: `InvalidInput`, at the call and not at the first turn.
    """
    check_arguments(people, hardness)
    return _turns(Simulation(seed, people, hardness, gap=GAP))


def _turns(world: Simulation) -> Iterator[Turn]:
    index = 0
    while True:
        yield from world.session(index)
        world.forget()
        index += 1
