"""The shapes that operations are given: checked once, told in full when they do not match."""

from __future__ import annotations

from torch import Tensor

from remanence.core.errors import InvalidInput


def check(q: Tensor, k: Tensor, v: Tensor, *, state: Tensor | None = None, **gates: Tensor | None) -> None:
    """Raise `InvalidInput`, with all shapes, unless q, k are [B, T, H, K], v is [B, T, H, V], every gate is [B, T, H]
    or [B, T, H, K], and a state is [B, H, K, V], all on one device.

    B, T and H may be 0; K and V may differ.
    """
    given = {"q": q, "k": k, "v": v, **{name: gate for name, gate in gates.items() if gate is not None}}
    expect(q.ndim == 4 and q.shape == k.shape, "q and k must be [B, T, H, K]", given)
    expect(v.ndim == 4 and v.shape[:3] == k.shape[:3], "v must be [B, T, H, V]", given)
    for name, gate in gates.items():
        if gate is not None:
            expect(gate.shape in (k.shape[:3], k.shape), f"{name} must be [B, T, H] or [B, T, H, K]", given)
    if state is not None:
        wanted = (k.shape[0], k.shape[2], k.shape[3], v.shape[3])
        expect(tuple(state.shape) == wanted, f"the state must be [B, H, K, V] = {wanted}", {**given, "state": state})
        given["state"] = state
    expect(len({one.device for one in given.values()}) == 1, "all tensors must be on one device", given)


def expect(holds: bool, what: str, given: dict[str, Tensor]) -> None:
    """Raise `InvalidInput` with the shapes and devices of what was given, unless `holds`."""
    if not holds:
        told = ", ".join(f"{name} {tuple(one.shape)} on {one.device}" for name, one in given.items())
        raise InvalidInput(f"{what}; got {told}")
