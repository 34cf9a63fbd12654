"""How tests of sequence mechanisms run a layer token by token, and measure differences."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

from remanence.substrates.sequence.base import SequenceLayer
from remanence.substrates.sequence.mechanism import State

Layer = TypeVar("Layer", bound=SequenceLayer)


def perturbed(layer: Layer) -> Layer:
    """In float64, with no weight left at a special value such as 0."""
    generator = torch.Generator().manual_seed(42)
    layer = layer.double()
    with torch.no_grad():
        for one in layer.parameters():
            one.add_(0.05 * torch.randn(one.shape, generator=generator, dtype=one.dtype))
    return layer


def by_steps(layer: SequenceLayer, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
    """Outputs and last state, one `step` after another."""
    state = layer.init_state(x.shape[0]) if state is None else state
    outputs = []
    for t in range(x.shape[1]):
        y, state = layer.step(x[:, t], state)
        outputs.append(y)
    return torch.stack(outputs, 1), state


def largest(difference: Tensor) -> float:
    """The largest absolute entry."""
    return float(difference.detach().abs().max())
