"""Memory-fidelity diagnostics at their ends: all is kept, nothing is kept."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.fidelity import layer_fidelity, token_fidelity


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_an_identity_stack_keeps_everything() -> None:
    x = drawn(2, 60, 8)
    assert layer_fidelity([x, x, x], gap=1) == pytest.approx([1, 1], abs=1e-4)
    assert layer_fidelity([x, x, x], gap=2) == pytest.approx([1], abs=1e-4)


def test_any_linear_map_keeps_everything_and_a_projection_part() -> None:
    x = drawn(2, 60, 8)
    assert layer_fidelity([x, x @ drawn(8, 8, seed=1)]) == pytest.approx([1], abs=1e-4)
    lost = layer_fidelity([x[..., :4], x])[0]
    assert lost == pytest.approx(float(1 - x[..., 4:].norm() / x[..., :4].norm()), abs=0.1)


def test_independent_layers_keep_nothing() -> None:
    """And a longer one less than nothing, as its norm is not divided by its own."""
    x, y = drawn(4, 500, 8), drawn(4, 500, 8, seed=1)
    assert layer_fidelity([x, y]) == pytest.approx([0], abs=0.03)
    assert layer_fidelity([x, 3 * y])[0] < -1.5


def test_tokens_that_can_be_told_and_such_that_cannot() -> None:
    embedding = drawn(30, 8)
    ids = torch.randint(30, (2, 40), generator=torch.Generator().manual_seed(2))
    tokens = embedding[ids]
    sure = 50 * torch.eye(30)
    told = torch.nn.functional.one_hot(ids, 30).float()
    assert token_fidelity(tokens, told, sure, embedding) == pytest.approx(1, abs=1e-5)
    assert abs(token_fidelity(tokens, drawn(2, 40, 30, seed=3), sure, embedding)) < 0.2


def test_what_is_told_later_counts_with_its_delay() -> None:
    """An output that says the token of 8 before."""
    embedding = drawn(30, 8)
    ids = torch.randint(30, (2, 40), generator=torch.Generator().manual_seed(2))
    told = torch.nn.functional.one_hot(ids.roll(8, 1), 30).float()
    fidelity = {
        delay: token_fidelity(embedding[ids], told, 50 * torch.eye(30), embedding, delay=delay) for delay in (0, 8)
    }
    assert fidelity[8] == pytest.approx(1, abs=1e-5)
    assert fidelity[0] < 0.3


def test_nonsense_is_told() -> None:
    x = drawn(2, 5, 4)
    for call in (
        lambda: layer_fidelity([x], gap=1),
        lambda: layer_fidelity([x, x], gap=0),
        lambda: layer_fidelity([x, x[:, :3]]),
        lambda: token_fidelity(x, x, drawn(9, 4), drawn(9, 4), delay=5),
        lambda: token_fidelity(x, x, drawn(9, 3), drawn(9, 4)),
        lambda: token_fidelity(x, x[:1], drawn(9, 4), drawn(9, 4)),
        lambda: token_fidelity(x, x, drawn(9, 4), drawn(8, 4)),
    ):
        with pytest.raises(InvalidInput):
            call()
