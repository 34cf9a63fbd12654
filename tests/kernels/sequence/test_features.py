"""Feature maps: what their inner products are."""

from __future__ import annotations

from math import factorial

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.features import FEATURES, MOST_FEATURES, Polynomial, feature, l2norm, power, taylor
from tests.kernels.sequence.updates import draw


def pairs(dim: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    q, k = draw(2, 7, dim, seed=0), draw(2, 7, dim, seed=1)
    return q, k, (q * k).sum(-1)


def kernel(feature: Polynomial, coefficients: Tensor | None = None) -> tuple[Tensor, Tensor]:
    q, k, dot = pairs()
    return (feature(q, coefficients) * feature(k, coefficients)).sum(-1), dot


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_a_homogeneous_polynomial_is_a_power_of_the_inner_product(degree: int) -> None:
    found, dot = kernel(Polynomial(degree))
    torch.testing.assert_close(found, dot**degree, rtol=1e-12, atol=1e-12)


def test_the_taylor_features_of_degree_two_are_those_of_the_paper() -> None:
    """I16: φ(x) = [1, x, vec(x x^T)/√2] gives 1 + q·k + (q·k)²/2."""
    q, k, dot = pairs()
    plain = [torch.cat((torch.ones_like(x[..., :1]), x, (x[..., :, None] * x[..., None, :]).flatten(-2) / 2**0.5), -1)
             for x in (q, k)]  # fmt: skip
    torch.testing.assert_close(kernel(taylor(2))[0], (plain[0] * plain[1]).sum(-1), rtol=0, atol=1e-12)
    torch.testing.assert_close(kernel(taylor(2))[0], 1 + dot + dot**2 / 2, rtol=0, atol=1e-12)


def test_taylor_features_approach_the_exponential() -> None:
    """I16: Σ_{i<=p} (q·k)^i / i! → exp(q·k)."""
    q, k = l2norm(draw(6, 3, seed=2)), l2norm(draw(6, 3, seed=3))
    dot = (q * k).sum(-1)
    errors = []
    for degree in (1, 2, 4, 7):
        found = (taylor(degree)(q) * taylor(degree)(k)).sum(-1)
        series = torch.stack([dot**i / factorial(i) for i in range(degree + 1)]).sum(0)
        torch.testing.assert_close(found, series, rtol=0, atol=1e-12)
        errors.append(float((found - dot.exp()).abs().max()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-4


def test_coefficients_weigh_the_degrees_and_can_be_learnt() -> None:
    a = torch.tensor([0.5, 2.0, 0.25], dtype=torch.float64, requires_grad=True)
    full = Polynomial(2, homogeneous=False)
    found, dot = kernel(full, a)
    torch.testing.assert_close(found, 0.5 + 2 * dot + 0.25 * dot**2, rtol=0, atol=1e-12)
    (grad,) = torch.autograd.grad(found.sum(), a)
    torch.testing.assert_close(grad, torch.stack([(dot**i).sum() for i in range(3)]))
    fixed, _ = kernel(Polynomial(2, homogeneous=False, coefficients=(0.5, 2.0, 0.25)))
    torch.testing.assert_close(fixed, found.detach())


def test_every_monomial_occurs_once() -> None:
    assert feature("poly2").size(32) == 528
    assert feature("taylor2").size(32) == 561
    assert power(torch.ones(3), 3).shape == (10,)
    without_weights = power(torch.ones(2, dtype=torch.float64), 2) ** 2
    assert without_weights.tolist() == pytest.approx([1, 2, 1])


@pytest.mark.parametrize("name", FEATURES)
def test_every_map_has_the_size_that_it_says_and_keeps_type_and_axes(name: str) -> None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        x = draw(2, 3, 4, 6).to(dtype)
        found = feature(name)(x)
        assert found.shape == (2, 3, 4, feature(name).size(6))
        assert found.dtype == dtype
    assert feature(name)(torch.empty(0, 3, 4, 6)).shape[0] == 0


def test_unit_length_holds_from_tiny_to_large_and_zero_stays_zero() -> None:
    x = draw(5, 8, dtype=torch.float32)
    for scale in (1e-3, 1.0, 1e15):
        torch.testing.assert_close(l2norm(x * scale).norm(dim=-1), torch.ones(5), rtol=1e-5, atol=1e-5)
    zero = torch.zeros(1, 8, requires_grad=True)
    l2norm(zero).sum().backward()
    assert l2norm(zero).abs().sum() == 0
    assert zero.grad is not None
    assert torch.isfinite(zero.grad).all()


def test_elu1_is_positive() -> None:
    assert feature("elu1")(draw(100)).min() > 0


def test_maps_after_each_other() -> None:
    x = draw(3, 5)
    both = feature(["l2norm", "poly2"])
    torch.testing.assert_close(both(x), feature("poly2")(l2norm(x)))
    assert both.size(5) == 15


def test_wrong_names_degrees_and_coefficients_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"'gauss'.*identity"):
        feature("gauss")
    with pytest.raises(InvalidInput, match="degree 0"):
        Polynomial(0)
    with pytest.raises(InvalidInput, match="3 coefficients"):
        Polynomial(2, coefficients=(1.0, 1.0))
    with pytest.raises(InvalidInput, match=">= 0"):
        Polynomial(1, coefficients=(1.0, -1.0))
    with pytest.raises(InvalidInput, match=r"\[3\]"):
        Polynomial(2)(torch.ones(4), torch.ones(2))
    with pytest.raises(InvalidInput, match=str(MOST_FEATURES)):
        feature("poly3")(torch.ones(200))
