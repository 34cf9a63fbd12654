"""Rotary positions: what is turned keeps its length, and only distances count."""

from __future__ import annotations

import pytest
import torch

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.rotary import rotary

X = torch.randn(2, 5, 3, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.randn(2, 5, 3, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_the_first_position_changes_nothing_and_lengths_stay() -> None:
    assert torch.equal(rotary(X, torch.zeros(5)), X)
    torch.testing.assert_close(rotary(X, torch.arange(5)).norm(dim=-1), X.norm(dim=-1))


def test_products_depend_on_distances_also_far_out() -> None:
    near = (rotary(X, torch.arange(5)) * rotary(Y, torch.arange(5) + 3)).sum(-1)
    for far in (1, 1000, 1_000_003):
        at = torch.arange(5) + far
        torch.testing.assert_close((rotary(X, at) * rotary(Y, at + 3)).sum(-1), near, rtol=1e-8, atol=1e-8)
    other = (rotary(X, torch.arange(5)) * rotary(Y, torch.arange(5) + 4)).sum(-1)
    assert (other - near).abs().max() > 0.1


def test_the_angles_are_those_of_the_formula() -> None:
    found = rotary(X, torch.full((2, 5), 7))
    for i in range(4):
        angle = torch.tensor(7 * 10_000 ** (-2 * i / 8), dtype=torch.float64)
        turned = torch.complex(X[..., i], X[..., i + 4]) * torch.polar(torch.ones_like(angle), angle)
        torch.testing.assert_close(found[..., i], turned.real)
        torch.testing.assert_close(found[..., i + 4], turned.imag)


def test_an_odd_width_is_told() -> None:
    with pytest.raises(InvalidInput, match="even, not 7"):
        rotary(X[..., :7], torch.arange(5))
