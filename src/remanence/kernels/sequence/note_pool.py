"""A bounded pool of notes, one for each sequence of a batch: short vectors that are kept beside a recurrent state.

A full pool gives up its oldest note (`fifo`), or the one of least priority if the new one has more (`priority`).
Source: MemMamba (arXiv:2510.03279), which uses pools of 50 notes for each layer.

>>> import torch
>>> pool = empty(1, capacity=2, size=1)
>>> for value, priority in ((1.0, 0.9), (2.0, 0.1), (3.0, 0.5)):
...     pool = insert(pool, torch.tensor([[value]]), torch.tensor([priority]), policy="priority")
>>> pool.notes[pool.held].flatten().tolist()
[1.0, 3.0]
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.shapes import expect

Policy = Literal["fifo", "priority"]
Pooling = Literal["max", "mean"]


class NotePool(NamedTuple):
    """Notes [B, P, N] of at most P moments, oldest first, what is empty in front."""

    notes: Tensor
    priority: Tensor
    """[B, P], 0 where there is no note."""
    held: Tensor
    """[B, P], whether there is a note."""


def empty(
    batch: int,
    *,
    capacity: int,
    size: int,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> NotePool:
    """Pools without notes. Raises `InvalidInput` for a capacity or size below 1."""
    if capacity < 1 or size < 1:
        raise InvalidInput(f"capacity and size of a note must be at least 1; got {capacity} and {size}")
    notes = torch.zeros(batch, capacity, size, device=device, dtype=dtype)
    held = torch.zeros(batch, capacity, device=device, dtype=torch.bool)
    return NotePool(notes, torch.zeros_like(notes[..., 0]), held)


def insert(
    pool: NotePool, note: Tensor, priority: Tensor, write: Tensor | None = None, *, policy: Policy = "fifo"
) -> NotePool:
    """The pools with one more note in each; the given ones are not changed.

    Args:
        pool: of B sequences.
        note: [B, N].
        priority: [B].
        write: [B], False where nothing is to be noted; None: all.
        policy: who has to go from a full pool. Of notes of the same priority the oldest goes, a new one included last.

    """
    batch, _, size = pool.notes.shape
    given = {"note": note, "priority": priority, "notes": pool.notes}
    expect(note.shape == (batch, size) and priority.shape == (batch,), "note must be [B, N], priority [B]", given)
    if policy not in ("fifo", "priority"):
        raise InvalidInput(f"policy {policy!r} is neither fifo nor priority")
    wanted = torch.ones_like(pool.held[:, 0]) if write is None else write
    # Who goes: the first empty place, else the oldest note, else the one of least priority.
    rank = pool.held.to(pool.priority.dtype)
    if policy == "priority":
        rank = torch.where(pool.held, pool.priority.detach(), torch.full_like(pool.priority, -torch.inf))
        wanted = wanted & (~pool.held.all(1) | (priority.detach() > rank.amin(1)))
    gone = rank.argmin(1, keepdim=True)
    places = torch.arange(pool.held.shape[1], device=note.device)
    # What stood after it moves up, so that notes stay in order of time.
    source = (places + (places >= gone)).clamp(max=len(places) - 1)
    last = (places == len(places) - 1)[None]

    def moved(old: Tensor, new: Tensor) -> Tensor:
        shape = (batch, -1, *[1] * (old.ndim - 2))
        kept = old.gather(1, source.reshape(shape).expand_as(old))
        changed = torch.where(last.reshape(1, *shape[1:]), new[:, None], kept)
        return torch.where(wanted.reshape(batch, *[1] * (old.ndim - 1)), changed, old)

    return NotePool(
        moved(pool.notes, note), moved(pool.priority, priority), moved(pool.held, torch.ones_like(pool.held[:, 0]))
    )


def windowed(pool: NotePool, *, window: int = 1, pooling: Pooling = "max") -> tuple[Tensor, Tensor]:
    """One summary for every `window` neighbours, [B, ceil(P / window), N], and which of them are of any note."""
    if window < 1 or pooling not in ("max", "mean"):
        raise InvalidInput(f"window must be at least 1 and pooling max or mean; got {window} and {pooling!r}")
    if window == 1:
        return pool.notes, pool.held
    missing = -pool.notes.shape[1] % window
    notes = functional.pad(pool.notes, (0, 0, missing, 0)).unflatten(1, (-1, window))
    held = functional.pad(pool.held, (missing, 0)).unflatten(1, (-1, window))
    if pooling == "mean":
        found = (notes * held[..., None]).sum(2) / held.sum(2).clamp(min=1)[..., None]
    else:
        found = notes.masked_fill(~held[..., None], -torch.inf).amax(2).masked_fill(~held.any(2)[..., None], 0)
    return found, held.any(2)


def summary(pool: NotePool, *, pooling: Pooling = "max") -> Tensor:
    """All notes of a pool in one vector [B, N]; 0 where there is none."""
    return windowed(pool, window=pool.notes.shape[1], pooling=pooling)[0][:, 0]


def read(query: Tensor, keys: Tensor, values: Tensor, held: Tensor, *, scale: float | None = None) -> Tensor:
    """Attention of a query [B, N] over notes: keys [B, P, N], values [B, P, V] where `held` [B, P]; 0 where none is."""
    expect(
        query.ndim == 2 and keys.shape[:2] == values.shape[:2] == held.shape and keys.shape[2] == query.shape[1],
        "query must be [B, N], keys [B, P, N], values [B, P, V], held [B, P]",
        {"query": query, "keys": keys, "values": values, "held": held},
    )
    scores = torch.einsum("bpn,bn->bp", keys, query) * (keys.shape[2] ** -0.5 if scale is None else scale)
    # The least number instead of minus infinity: a row without notes must not be NaN, in the gradient neither.
    scores = scores.masked_fill(~held, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, 1) * held
    return torch.einsum("bp,bpv->bv", weights, values)
