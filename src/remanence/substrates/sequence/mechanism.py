"""The contract of sequence mechanisms: a recurrence over tokens whose whole past is one state.

A layer takes x [B, T, D] to y [B, T, D] and a state; given the state of a prefix it continues as if it had seen the
prefix. Weights are learned before; the state is what is remembered of this sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from remanence.core.card import Card

State = dict[str, Tensor]
"""What is remembered, by name; the first axis of every tensor is the batch."""

ABILITIES = ("scan", "growing")
"""What a card may claim in `can`.

`scan`: a parallel form over whole sequences beside `step`. `growing`: the state grows with the number of tokens; one
that does not claim it keeps its size.
"""


@runtime_checkable
class SequenceMechanism(Protocol):
    """A sequence mechanism. `step` is the definition; `scan` gives the same, faster."""

    card: ClassVar[Card]
    hidden_size: int

    def init_state(
        self, batch: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> State:
        """The state before the first token, for `batch` sequences."""
        ...

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One token of every sequence: x [B, D] to y [B, D] and the next state."""
        ...

    def scan(self, x: Tensor, state: State | None = None, *, mask: Tensor | None = None) -> tuple[Tensor, State]:
        """All tokens: x [B, T, D] to y [B, T, D] and the state after the last; `mask` [B, T] is False for padding."""
        ...

    def state(self) -> dict[str, Any]:
        """Weights, and the memory that `stream` carries on, as arrays."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        ...
