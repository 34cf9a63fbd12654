"""Newton-Schulz: singular values, singular vectors, scale, shapes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.newton_schulz import newton_schulz
from tests.kernels.sequence.updates import draw


def with_singular_values(values: Tensor, rows: int, columns: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    u = torch.linalg.qr(draw(rows, len(values), seed=seed))[0]
    v = torch.linalg.qr(draw(columns, len(values), seed=seed + 1))[0]
    return u @ torch.diag(values) @ v.mT, u, v


@pytest.mark.parametrize("shape", [(8, 8), (5, 9), (9, 5)])
def test_it_keeps_singular_vectors_and_moves_values_near_one(shape: tuple[int, int]) -> None:
    """I17: values in [0.01, 1] times the Frobenius norm land in [0.68, 1.13], not on 1."""
    n = min(shape)
    values = torch.logspace(-1.9, 0, n, dtype=torch.float64)
    matrix, u, v = with_singular_values(values, *shape)
    moved = u.mT @ newton_schulz(matrix) @ v
    torch.testing.assert_close(moved, torch.diag(moved.diagonal()), rtol=0, atol=1e-9)
    torch.testing.assert_close(newton_schulz(matrix), u @ moved @ v.mT, rtol=0, atol=1e-9)
    relative = values / values.norm()
    inside = relative >= 0.01
    assert inside.sum() >= n - 1
    assert moved.diagonal()[inside].min() >= 0.675
    assert moved.diagonal()[inside].max() <= 1.14
    assert (moved.diagonal() - 1).abs().max() > 0.05


def test_where_muons_coefficients_send_a_singular_value() -> None:
    """I17: measured on the map of singular values itself: [0.01, 1] to [0.68, 1.13]."""
    x = torch.linspace(0.01, 1, 4000, dtype=torch.float64)
    for _ in range(5):
        x = 3.4445 * x - 4.7750 * x**3 + 2.0315 * x**5
    assert float(x.min()) == pytest.approx(0.68, abs=0.01)
    assert float(x.max()) == pytest.approx(1.13, abs=0.01)
    matrix, u, v = with_singular_values(torch.tensor([0.6, 0.8], dtype=torch.float64), 2, 2)
    wanted = torch.tensor([0.6, 0.8], dtype=torch.float64)
    for _ in range(5):
        wanted = 3.4445 * wanted - 4.7750 * wanted**3 + 2.0315 * wanted**5
    torch.testing.assert_close((u.mT @ newton_schulz(matrix) @ v).diagonal(), wanted, rtol=0, atol=1e-12)


def test_the_cubic_converges_to_one_slowly() -> None:
    """I17: after five steps [0.05, 1] is in [0.37, 1]; after many all are 1."""
    values = torch.tensor([0.05, 0.2, 0.5, 0.84], dtype=torch.float64)
    values = values / values.norm()
    matrix, u, v = with_singular_values(values, 6, 6)
    five = (u.mT @ newton_schulz(matrix, 5, "cubic") @ v).diagonal()
    assert 0.35 <= five.min() <= 0.45
    assert five.max() <= 1 + 1e-12
    many = (u.mT @ newton_schulz(matrix, 30, "cubic") @ v).diagonal()
    torch.testing.assert_close(many, torch.ones_like(many), rtol=0, atol=1e-10)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 3.0, 1e30])
def test_the_size_of_the_matrix_does_not_matter(scale: float) -> None:
    """I17: NS(cG) = NS(G)."""
    matrix = draw(2, 3, 5, 4)
    torch.testing.assert_close(newton_schulz(scale * matrix), newton_schulz(matrix), rtol=0, atol=1e-12)
    single = matrix.float()
    torch.testing.assert_close(newton_schulz(scale * single), newton_schulz(single), rtol=0, atol=1e-5)


def test_each_matrix_of_a_batch_is_by_itself_and_tall_is_the_transpose() -> None:
    batch = draw(3, 2, 5, 4)
    batch[1] *= 100
    torch.testing.assert_close(newton_schulz(batch)[1, 0], newton_schulz(batch[1, 0]), rtol=0, atol=1e-12)
    torch.testing.assert_close(newton_schulz(batch.mT), newton_schulz(batch).mT, rtol=0, atol=1e-12)


def test_normalising_rows_would_be_noticed() -> None:
    """I17: a wrong Newton-Schulz that scales each row by itself turns singular vectors."""
    matrix, u, v = with_singular_values(torch.tensor([1.0, 0.5, 0.2, 0.1], dtype=torch.float64), 4, 4)
    wrong = newton_schulz(matrix / matrix.norm(dim=-1, keepdim=True))
    moved = u.mT @ wrong @ v
    assert (moved - torch.diag(moved.diagonal())).abs().max() > 0.1


def test_zero_stays_zero_with_a_finite_gradient_and_nan_is_told() -> None:
    zero = torch.zeros(2, 3, 3, requires_grad=True)
    newton_schulz(zero).sum().backward()
    assert newton_schulz(zero).abs().sum() == 0
    assert zero.grad is not None
    assert torch.isfinite(zero.grad).all()
    spoilt = draw(2, 3, 3)
    spoilt[0, 0, 0] = torch.nan
    assert newton_schulz(spoilt)[0].isnan().all()
    assert newton_schulz(spoilt)[1].isfinite().all()
    assert newton_schulz(torch.empty(0, 3, 3)).shape == (0, 3, 3)


def test_the_gradient_is_that_of_finite_differences() -> None:
    matrix = draw(4, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: newton_schulz(m, 3), (matrix,))


def test_half_precision_is_computed_in_single() -> None:
    matrix = draw(6, 6).bfloat16()
    found = newton_schulz(matrix)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, newton_schulz(matrix.float()).bfloat16())


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"\[3\]"):
        newton_schulz(torch.ones(3))
    with pytest.raises(InvalidInput, match="-1"):
        newton_schulz(torch.ones(3, 3), -1)
    with pytest.raises(InvalidInput, match="muon, cubic"):
        newton_schulz(torch.ones(3, 3), coefficients="quintic")  # type: ignore[arg-type]
