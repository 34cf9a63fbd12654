"""Random inputs of operations on pairs, as a layer would make them: what `Op.examples` of these operations are."""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional

from remanence.kernels.sequence.forms import Call, Example


def pairs(
    decay: Literal["none", "token", "channel"] = "none", *, strength: bool = True, heads: int = 2, dim: int = 32
) -> Example:
    """One sequence: q and k of unit length [1, T, H, K], v as wide, beta in (0, 1) if there is `strength`, and the log
    decay, mostly weak.
    """

    def example(length: int, generator: torch.Generator) -> Call:
        q, k, v = (torch.randn(1, length, heads, dim, generator=generator) for _ in range(3))
        gates = {}
        if strength:
            gates["beta"] = torch.rand(1, length, heads, generator=generator)
        if decay != "none":
            shape = (1, length, heads, *[dim] * (decay == "channel"))
            gates["g"] = functional.logsigmoid(3 + torch.randn(shape, generator=generator))
        return Call((functional.normalize(q, dim=-1), functional.normalize(k, dim=-1), v), gates)

    return example
