"""How to use any sequence mechanism once, and how to see what it then remembers: what general laws are stated with."""

from __future__ import annotations

import torch
from torch import Tensor

from remanence.substrates.sequence.base import SequenceLayer

TOKENS = 11
BATCH = 2
ASKED = 4711
"""Seed of the tokens that `observe` asks with."""


def tokens(seed: int, layer: SequenceLayer, *, batch: int = BATCH, length: int = TOKENS) -> Tensor:
    """Seeded inputs [B, T, D] of the type and on the device of the layer's weights."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, length, layer.hidden_size, generator=generator, dtype=torch.float64)
    weight = next(layer.parameters(), torch.empty(0))
    return x.to(weight.device, weight.dtype)


def drive(layer: SequenceLayer, seed: int) -> None:
    """Use a layer once, the same way for the same seed: let it read some tokens."""
    with torch.no_grad():
        layer.stream(tokens(seed, layer))


def observe(layer: SequenceLayer) -> list[float]:
    """What it answers to fixed tokens from where it stands, to six digits; the layer itself does not move on."""
    x = tokens(ASKED, layer)
    with torch.no_grad():
        y, _ = layer.scan(x, layer.memory)
    return [float(f"{value:.6g}") for value in y.double().flatten().tolist()]
