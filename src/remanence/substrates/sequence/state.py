"""What can be done with any state: pick sequences out of it, put parts together, keep it in a file, check that it fits.

A leaf that grows with the sequence grows along its second axis, at the end. Sequences of different length share such a
leaf by padding at the front; a boolean leaf beside it says what is padding (False).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.substrates.sequence.mechanism import State

# numpy knows no bfloat16: its bits are kept, under a name that says so.
_BFLOAT16 = ":bfloat16"


def select(state: State, rows: Tensor) -> State:
    """The state of some of the sequences; `rows` are their numbers in the batch."""
    return {name: one.index_select(0, rows) for name, one in state.items()}


def join(parts: Iterable[tuple[Tensor, State]], batch: int, growing: Collection[str] = ()) -> State:
    """One state from the states of parts of a batch, each with the numbers of its sequences.

    Leaves named in `growing` may differ in length between the parts; shorter ones are padded at the front.
    """
    pieces = list(parts)
    order = torch.argsort(torch.cat([rows for rows, _ in pieces]))
    if len(order) != batch:
        raise InvalidInput(f"the parts hold {len(order)} sequences, the batch has {batch}")
    joined = {}
    for name in pieces[0][1]:
        leaves = [state[name] for _, state in pieces]
        if name in growing:
            longest = max(leaf.shape[1] for leaf in leaves)
            leaves = [_padded(leaf, longest) for leaf in leaves]
        joined[name] = torch.cat(leaves).index_select(0, order)
    return joined


def _padded(leaf: Tensor, length: int) -> Tensor:
    missing = length - leaf.shape[1]
    return torch.cat([leaf.new_zeros(leaf.shape[0], missing, *leaf.shape[2:]), leaf], 1) if missing else leaf


def detach(state: State) -> State:
    """The same memory without the history of its gradients: truncated backpropagation through time."""
    return {name: one.detach() for name, one in state.items()}


def size(state: State) -> int:
    """Bytes that the tensors hold."""
    return sum(one.numel() * one.element_size() for one in state.values())


def check(state: Mapping[str, Tensor], like: State, growing: Collection[str] = ()) -> None:
    """Raise `InvalidInput`, which tells the leaf and both shapes, unless a state has the leaves of another.

    The second axis of what is `growing` is free.
    """
    lacking, surplus = sorted(like.keys() - state.keys()), sorted(state.keys() - like.keys())
    if lacking or surplus:
        told = [f"lacks {', '.join(lacking)}"] if lacking else []
        told += [f"has what this one does not: {', '.join(surplus)}"] if surplus else []
        raise InvalidInput(f"the state is of another configuration: it {' and '.join(told)}")
    for name, wanted in like.items():
        found, shape = list(state[name].shape), list(wanted.shape)
        if name in growing and len(found) == len(shape):
            found[1] = shape[1]
        if found != shape:
            raise InvalidInput(
                "the state is of another configuration: "
                f"{name} is {tuple(state[name].shape)} and must be {tuple(shape)}"
            )


def arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Copies as numpy arrays; bfloat16 as its bits, under a name that ends in `:bfloat16`."""
    found = {}
    for name, one in tensors.items():
        whole = one.detach().cpu().contiguous()
        if whole.dtype == torch.bfloat16:
            found[name + _BFLOAT16] = whole.view(torch.int16).numpy().copy()
        else:
            found[name] = whole.numpy().copy()
    return found


def tensors(found: Mapping[str, Any]) -> dict[str, Tensor]:
    """What `arrays` made, as tensors again. Raises `InvalidInput` for what is no array of numbers."""
    back = {}
    for name, one in found.items():
        try:
            whole = torch.from_numpy(np.array(one))
        except TypeError as error:
            raise InvalidInput(f"{name} of the state is no array of numbers: {error}") from error
        if name.endswith(_BFLOAT16):
            back[name.removesuffix(_BFLOAT16)] = whole.view(torch.bfloat16)
        else:
            back[name] = whole
    return back


def save(tensors: Mapping[str, Tensor], path: str | Path, *, about: Mapping[str, str] | None = None) -> None:
    """Write tensors to a safetensors file; `about` goes into its header.

    Raises `InvalidInput` where no file can be written.
    """
    whole = {name: one.detach().cpu().contiguous().clone() for name, one in tensors.items()}
    try:
        save_file(whole, str(path), dict(about or {}))
    except (OSError, SafetensorError) as error:
        raise InvalidInput(f"{path} cannot be written: {error}") from error


def load(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and header of a safetensors file. Raises `InvalidInput` for a file that is missing or is none."""
    try:
        with safe_open(str(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118 - it is no mapping
    except (OSError, SafetensorError) as error:
        raise InvalidInput(f"{path} is no safetensors file that can be read: {error}") from error
