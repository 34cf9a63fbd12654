"""Long conversations among people who change their minds, with exactly known answers.

A world is simulated first, text is rendered from it, and questions are drawn from its state; so every answer, the
turns that prove it and the turns that only seem to are known by construction. `audit` derives them again by another
route.
"""

from __future__ import annotations

from remanence.core.errors import InvalidInput
from remanence.scenarios.audit import audit
from remanence.scenarios.model import (
    CATEGORIES,
    HARDNESS,
    UNKNOWN,
    Category,
    Dialogue,
    Fact,
    Hardness,
    Probe,
    Question,
    ScenarioInconsistent,
    Turn,
)
from remanence.scenarios.questions import MOST, PER_SESSION, Asker
from remanence.scenarios.world import Simulation

PEOPLE = range(2, 9)


def generate(seed: int, *, sessions: int = 12, people: int = 3, hardness: Hardness = "medium") -> Dialogue:
    """A conversation of `sessions` sessions (about 20 turns each) among `people` speakers (2 to 8).

    `hardness`: "easy" gold turns use the words of their questions; "medium" some of them; "hard" paraphrases them and
    surrounds them with near misses that repeat the question's words better than the gold does. The same arguments
    give the same dialogue everywhere; a longer one begins with the turns of the shorter one (its questions differ).

    Errors: `InvalidInput` for a number out of range or an unknown hardness.
    """
    check_arguments(people, hardness)
    if sessions < 1:
        raise InvalidInput(f"sessions must be at least 1, not {sessions}")
    world = Simulation(seed, people, hardness)
    turns = tuple(turn for index in range(sessions) for turn in world.session(index))
    facts = tuple(
        Fact(
            entry.subject,
            entry.attribute,
            entry.value,
            entry.valid_from,
            entry.valid_to,
            entry.turn,
            tuple(entry.restated),
            entry.ended_by,
        )
        for entry in world.entries
    )
    speakers = tuple(speaker.name for speaker in world.speakers)
    return Dialogue(
        people=speakers,
        others=tuple(name for name in world.persons if name not in speakers),
        turns=turns,
        facts=facts,
        questions=Asker(world, turns).ask(min(PER_SESSION * sessions, MOST)),
        seed=seed,
        hardness=hardness,
    )


def check_arguments(people: int, hardness: str) -> None:
    """Refuse what no world can be made of. Raises `InvalidInput`."""
    if people not in PEOPLE:
        raise InvalidInput(f"people must be {PEOPLE.start} to {PEOPLE.stop - 1}, not {people}")
    if hardness not in HARDNESS:
        raise InvalidInput(f"hardness must be one of {', '.join(HARDNESS)}, not {hardness!r}")


__all__ = [
    "CATEGORIES", "HARDNESS", "UNKNOWN", "Category", "Dialogue", "Fact", "Hardness", "Probe", "Question",
    "ScenarioInconsistent", "Turn", "audit", "generate",
]  # fmt: skip
