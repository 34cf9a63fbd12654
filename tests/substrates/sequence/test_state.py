from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from remanence.core.errors import InvalidInput
from remanence.substrates.sequence import state as states


def test_parts_of_a_batch_come_together_in_order() -> None:
    whole = {"s": torch.arange(8.0).reshape(4, 2)}
    parts = [(torch.tensor(rows), states.select(whole, torch.tensor(rows))) for rows in ([3, 0], [2], [1])]
    assert torch.equal(states.join(parts, 4)["s"], whole["s"])
    with pytest.raises(InvalidInput, match="hold 3 sequences, the batch has 4"):
        states.join(parts[:2], 4)


def test_leaves_that_grow_are_padded_at_the_front() -> None:
    parts = [
        (torch.tensor([1]), {"k": torch.ones(1, 3, 2), "valid": torch.ones(1, 3, dtype=torch.bool)}),
        (torch.tensor([0]), {"k": torch.ones(1, 1, 2), "valid": torch.ones(1, 1, dtype=torch.bool)}),
    ]
    joined = states.join(parts, 2, {"k", "valid"})
    assert joined["valid"].tolist() == [[False, False, True], [True, True, True]]
    assert joined["k"][0].tolist() == [[0, 0], [0, 0], [1, 1]]


def test_a_state_of_another_configuration_is_refused_with_both_shapes() -> None:
    like = {"k": torch.zeros(2, 0, 4), "s": torch.zeros(2, 3)}
    states.check({"k": torch.zeros(2, 9, 4), "s": torch.zeros(2, 3)}, like, {"k"})
    with pytest.raises(InvalidInput, match=r"k is \(2, 9, 4\) and must be \(2, 0, 4\)"):
        states.check({"k": torch.zeros(2, 9, 4), "s": torch.zeros(2, 3)}, like)
    with pytest.raises(InvalidInput, match=r"k is \(2, 9, 5\)"):
        states.check({"k": torch.zeros(2, 9, 5), "s": torch.zeros(2, 3)}, like, {"k"})
    with pytest.raises(InvalidInput, match=r"it lacks k$"):
        states.check({"s": torch.zeros(2, 3)}, like)
    with pytest.raises(InvalidInput, match=r"it lacks k and has what this one does not: a, b$"):
        states.check({"s": torch.zeros(2, 3), "b": like["s"], "a": like["s"]}, like)


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool, torch.int64]
)
def test_arrays_and_files_keep_every_bit(dtype: torch.dtype, tmp_path: Path) -> None:
    held = {
        "s": (torch.randn(3, 4, generator=torch.Generator().manual_seed(0)) * 3).to(dtype),
        "none": torch.zeros(0, 2),
    }
    arrays = states.arrays(held)
    assert all(isinstance(one, np.ndarray) for one in arrays.values())
    states.save(held, tmp_path / "s.safetensors", about={"slug": "x"})
    loaded, about = states.load(tmp_path / "s.safetensors")
    assert about == {"slug": "x"}
    for back in (states.tensors(arrays), loaded):
        assert {name: one.dtype for name, one in back.items()} == {name: one.dtype for name, one in held.items()}
        assert all(torch.equal(one, held[name]) for name, one in back.items())


def test_arrays_are_copies() -> None:
    held = {"s": torch.zeros(2)}
    arrays = states.arrays(held)
    arrays["s"] += 1
    assert not held["s"].any()
    back = states.tensors(arrays)
    arrays["s"] += 1
    assert back["s"].tolist() == [1, 1]


def test_what_is_no_file_of_tensors_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    for path in (tmp_path / "text", tmp_path / "absent"):
        with pytest.raises(InvalidInput, match="no safetensors file"):
            states.load(path)
    with pytest.raises(InvalidInput, match="no array of numbers"):
        states.tensors({"s": ["a"]})


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"absent/s\.safetensors cannot be written"):
        states.save({"s": torch.zeros(1)}, tmp_path / "absent" / "s.safetensors")


def test_size_and_detach() -> None:
    held = {"s": torch.zeros(2, 3, requires_grad=True), "n": torch.zeros(2, dtype=torch.int64)}
    assert states.size(held) == 2 * 3 * 4 + 2 * 8
    assert not states.detach(held)["s"].requires_grad
