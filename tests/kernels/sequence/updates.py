"""Drawn inputs for operations that update a memory, and everything that two forms of one must agree on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from remanence.kernels.sequence.update import UpdateState

Run = Callable[..., tuple[Tensor, UpdateState | None]]
GATES = ("theta", "eta", "g", "gamma", "rate")


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def inputs(
    length: int, *, batch: int = 2, heads: int = 2, key: int = 4, value: int = 3, dtype: torch.dtype = torch.float64
) -> dict[str, Any]:
    """q, k (of unit length), v, and all gates at values that a layer would have."""
    sizes = ((key, "q"), (key, "k"), (value, "v"))
    made = {name: draw(batch, length, heads, size, seed=seed) for seed, (size, name) in enumerate(sizes)}
    made["k"] = torch.nn.functional.normalize(made["k"], dim=-1)
    for seed, name in enumerate(GATES):
        made[name] = draw(batch, length, heads, seed=10 + seed).sigmoid()
    made["theta"] = 0.3 * made["theta"]
    made["g"] = made["g"].log()
    return {name: one.to(dtype).requires_grad_() for name, one in made.items()}


def random_state(
    parameters: Sequence[Tensor], given: Mapping[str, Any], *, pairs: int = 0, offset: int = 0
) -> tuple[UpdateState, list[Tensor]]:
    """A state in the middle of a stream, and its tensors, to differentiate by."""
    k, v = given["k"], given["v"]
    batch, _, heads, key = k.shape
    sets = [
        tuple(
            (one.detach() + 0.3 * draw(*one.shape, seed=30 + 7 * i + j, dtype=k.dtype)).requires_grad_()
            for j, one in enumerate(parameters)
        )
        for i in range(3)
    ]
    held = (
        draw(batch, pairs, heads, key, seed=51, dtype=k.dtype).requires_grad_(),
        draw(batch, pairs, heads, v.shape[-1], seed=52, dtype=k.dtype).requires_grad_(),
        draw(batch, pairs, heads, seed=53, dtype=k.dtype).sigmoid().requires_grad_(),
    )
    return UpdateState(sets[0], sets[1], sets[2], *held, offset), [one for many in sets for one in many] + list(held)


def flat(o: Tensor, state: UpdateState | None) -> list[Tensor]:
    """Outputs and everything in the state."""
    assert state is not None
    return [o, *state.parameters, *state.momentum, *state.anchor, state.keys, state.values, state.weights]


def everything(run: Run, given: Mapping[str, Any], wrt: Sequence[Tensor] = ()) -> list[Tensor]:
    """Outputs, final state, and all gradients, also by `wrt`, of random upstream gradients of all of these."""
    o, state = run(**given)
    results = flat(o, state)
    total = torch.stack([(one * draw(*one.shape, seed=70 + i, dtype=one.dtype)).sum() for i, one in enumerate(results)])
    by = [one for one in given.values() if isinstance(one, Tensor)] + list(wrt)
    grads = torch.autograd.grad(total.sum(), by, allow_unused=True, materialize_grads=True)
    return [*results, *grads]


def assert_equal(found: Sequence[Tensor], wanted: Sequence[Tensor], tolerance: float = 1e-10) -> None:
    """All close, relative to the largest entry of each, and of the same shapes."""
    assert len(found) == len(wanted)
    for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
        assert one.shape == other.shape, number
        scale = max(1.0, float(other.detach().abs().max())) if other.numel() else 1.0
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance * scale, msg=lambda m, n=number: f"{n}: {m}")  # type: ignore[misc]


def cut(given: Mapping[str, Any], first: int, last: int) -> dict[str, Any]:
    """The tokens from `first` to `last` of every tensor."""
    return {name: one[:, first:last] if isinstance(one, Tensor) else one for name, one in given.items()}
