"""The implicit step: the minimum that it is said to be, as a step of the delta rule."""

from __future__ import annotations

import pytest
import torch

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.delta import gated_delta_rule
from remanence.kernels.sequence.proximal import proximal_beta
from tests.kernels.sequence.updates import assert_equal, draw


def test_the_implicit_step_is_the_delta_rule_with_another_beta() -> None:
    """I7: argmin |M - M_{t-1}|^2 + delta |M^T k - v|^2, solved as it stands, for keys of any length."""
    q, k, v = draw(2, 9, 2, 4), 2 * draw(2, 9, 2, 4, seed=1), draw(2, 9, 2, 3, seed=2)
    delta = draw(2, 9, 2, seed=3).exp()
    m = torch.zeros(2, 2, 4, 3, dtype=torch.float64)
    outputs = []
    for t in range(9):
        outer = torch.einsum("bhk,bhl->bhkl", k[:, t], k[:, t]) * delta[:, t, :, None, None]
        right = m + torch.einsum("bh,bhk,bhv->bhkv", delta[:, t], k[:, t], v[:, t])
        m = torch.linalg.solve(torch.eye(4, dtype=torch.float64) + outer, right)
        outputs.append(torch.einsum("bhk,bhkv->bhv", q[:, t], m))
    o, state = gated_delta_rule(q, k, v, proximal_beta(k, delta), scale=1.0)
    assert state is not None
    assert_equal([o, state], [torch.stack(outputs, 1), m])
    explicit = gated_delta_rule(q, k, v, delta, scale=1.0)[0]
    assert (explicit - o).abs().max() > 1


def test_an_endless_strength_overwrites() -> None:
    """I7, the limit: what is read back is the new value itself."""
    k, v = 3 * draw(1, 6, 1, 4, seed=1), draw(1, 6, 1, 3, seed=2)
    beta = proximal_beta(k, torch.full((1, 6, 1), torch.inf, dtype=torch.float64))
    assert_equal([gated_delta_rule(k, k, v, beta, scale=1.0)[0]], [v])
    assert_equal([proximal_beta(k, torch.full((1, 6, 1), 1e14, dtype=torch.float64))], [beta], 1e-12)


def test_an_empty_key_takes_nothing_and_gradients_are_finite() -> None:
    k = torch.tensor([[[[0.0, 0.0]], [[1.0, 2.0]]]], requires_grad=True)
    delta = torch.tensor([[[torch.inf], [torch.inf]]])
    beta = proximal_beta(k, delta)
    assert beta.flatten().tolist() == [0.0, pytest.approx(0.2)]
    assert torch.autograd.grad(beta.sum(), k)[0].isfinite().all()


def test_other_shapes_are_told() -> None:
    with pytest.raises(InvalidInput, match=r"\(2, 9, 2\); got \(2, 9\)"):
        proximal_beta(draw(2, 9, 2, 4), draw(2, 9))
