"""Random inputs for operations on pairs, and the comparison of two forms: outputs, final states and all gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal
from weakref import WeakSet

import torch
from torch import Tensor
from torch.nn import functional

Decay = Literal["none", "token", "channel"]
Form = Callable[..., tuple[Tensor, Tensor | None]]


def inputs(
    length: int,
    *,
    decay: Decay = "none",
    seed: int = 0,
    batch: int = 2,
    heads: int = 2,
    keys: int = 6,
    values: int = 5,
    dtype: torch.dtype = torch.float64,
) -> dict[str, Any]:
    """q, k of unit length, v, beta in (0, 1), g with zeros and strong decays in it, and a state to begin with."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    given = {
        "q": normal(batch, length, heads, keys),
        "k": functional.normalize(normal(batch, length, heads, keys), dim=-1),
        "v": normal(batch, length, heads, values),
        "beta": normal(batch, length, heads).sigmoid(),
    }
    if decay != "none":
        g = functional.logsigmoid(normal(batch, length, heads, *[keys] * (decay == "channel")))
        chance = torch.rand(g.shape, generator=generator)
        given["g"] = g.where(chance > 0.3, 0.0).where(chance < 0.9, 50 * g)
    given["initial_state"] = normal(batch, heads, keys, values)
    return {name: one.to(dtype) for name, one in given.items()}


def outcome(form: Form, given: Mapping[str, Tensor], **settings: Any) -> dict[str, Tensor]:
    """o, the final state, and the gradient of every input from random gradients of both."""
    leaves = {name: one.detach().requires_grad_() for name, one in given.items()}
    o, state = form(**leaves, **settings)
    assert state is not None
    generator = torch.Generator().manual_seed(1)
    do, dht = (torch.randn(one.shape, generator=generator, dtype=torch.float64).to(one) for one in (o, state))
    gradients = torch.autograd.grad((o * do).sum() + (state * dht).sum(), list(leaves.values()))
    return {"o": o, "state": state, **dict(zip((f"d{name}" for name in leaves), gradients, strict=True))}


def difference(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    """The largest difference in any tensor, as a share of the largest value in it (at least 1)."""
    assert found.keys() == wanted.keys()
    worst = 0.0
    for name, one in wanted.items():
        assert found[name].shape == one.shape
        assert found[name].dtype == one.dtype
        assert found[name].isfinite().all(), name
        if one.numel():
            worst = max(worst, float((found[name] - one).detach().abs().max() / one.detach().abs().max().clamp(min=1)))
    return worst


class _Kept:
    """What the gradient keeps of one tensor, for as long as it does."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def saved(form: Form, given: Mapping[str, Tensor], **settings: Any) -> int:
    """Bytes that are kept for the gradient: of what is let go on the way nothing counts."""
    kept: WeakSet[_Kept] = WeakSet()

    def pack(one: Tensor) -> _Kept:
        held = _Kept(one)
        kept.add(held)
        return held

    leaves = {name: one.detach().requires_grad_() for name, one in given.items()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held.tensor):
        alive = form(**leaves, **settings)
    assert alive
    storages = {one.data_ptr(): one.nbytes() for one in (held.tensor.untyped_storage() for held in kept)}
    return sum(storages.values())
