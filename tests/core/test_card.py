from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, get_args

import pytest

from remanence.core.card import Card, Evidence, Substrate
from remanence.core.errors import InvalidInput
from remanence.core.mechanism import Mechanism
from remanence.mechanisms.records.recall import Recall


def card(**changed: Any) -> Card:
    fields = {"slug": "recall", "substrate": "records", "title": "Recall", "paper": "", "claim": "finds", **changed}
    return Card(**fields)


@pytest.mark.parametrize(
    "slug", ["", "Recall", "re-call", "1recall", "_recall", "recall ", "récall", "recall\n", "re.call"]
)
def test_a_slug_is_a_file_name(slug: str) -> None:
    with pytest.raises(InvalidInput, match="must be a lower-case Python identifier"):
        card(slug=slug)


@pytest.mark.parametrize("slug", ["a", "recall", "m3_agent", "a_", "a1b2"])
def test_slugs_that_are_fine(slug: str) -> None:
    assert card(slug=slug).slug == slug


def test_a_card_claims_something() -> None:
    with pytest.raises(InvalidInput, match="card 'recall' claims nothing; say what its witness must show"):
        card(claim="")


def test_what_is_left_out_is_empty() -> None:
    plain = card()
    assert (plain.can, plain.needs, plain.deviations, dict(plain.waivers)) == (frozenset(), frozenset(), (), {})
    assert card().waivers is not card().waivers
    with pytest.raises(dataclasses.FrozenInstanceError):
        plain.slug = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        Card("recall", "records", "Recall", "", "finds")  # type: ignore[call-arg]


def test_substrates() -> None:
    assert get_args(Substrate) == ("records", "kv", "sequence", "weights", "training", "maps", "policy")


@pytest.mark.parametrize(
    ("value", "baseline", "higher", "holds"),
    [
        (0.6, 0.5, True, True),
        (0.5, 0.5, True, False),
        (0.4, 0.5, True, False),
        (0.4, 0.5, False, True),
        (0.5, 0.5, False, False),
        (0.6, 0.5, False, False),
        (math.nan, 0.5, True, False),
        (math.nan, 0.5, False, False),
        (0.5, math.nan, True, False),
    ],
)
def test_evidence_holds_when_the_mechanism_is_strictly_better(
    value: float, baseline: float, higher: bool, holds: bool
) -> None:
    assert Evidence("recall@5", value, baseline, higher_is_better=higher).holds is holds


class Whole:
    card: ClassVar[Card] = card()

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        pass


class Cardless:
    state = Whole.state
    restore = Whole.restore


class Stateless:
    card: ClassVar[Card] = card()
    restore = Whole.restore


class Unrestorable:
    card: ClassVar[Card] = card()
    state = Whole.state


def test_a_mechanism_is_what_has_a_card_and_a_state() -> None:
    whole: Mechanism = Whole()
    assert isinstance(whole, Mechanism)
    assert isinstance(Recall(), Mechanism)
    for other in (Cardless(), Stateless(), Unrestorable(), object()):
        assert not isinstance(other, Mechanism)
