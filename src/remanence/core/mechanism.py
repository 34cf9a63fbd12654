"""The little that all mechanisms share. The verbs are not common: they live in the contracts of the substrates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

from remanence.core.card import Card


@runtime_checkable
class Mechanism(Protocol):
    """A published memory method: an identity and a state.

    A Protocol and no base class, because a layer must be an `nn.Module` and an optimizer a `torch.optim.Optimizer`.
    The constructor takes keyword arguments with defaults and does nothing else: no disk, no network, no model.
    """

    card: ClassVar[Card]

    def state(self) -> dict[str, Any]:
        """All that is remembered, as plain data and arrays; never pickle."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        ...
