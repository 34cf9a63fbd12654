"""Solvers of many small systems: against elimination, at their published accuracy, and their gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.solvers import Linear, chebyshev, conjugate_gradients, exact, solve
from tests.kernels.sequence.updates import assert_equal, draw

RATIO = 0.02


def system(keys: int = 32, size: int = 32, *, systems: int = 20) -> tuple[Tensor, Tensor, Tensor]:
    """The covariance of unit keys, the ridge of 0.02 of its norm, and unit right-hand sides."""
    k = torch.nn.functional.normalize(draw(keys, size, seed=1), dim=-1)
    h = k.T @ k
    return h, RATIO * h.norm(), torch.nn.functional.normalize(draw(systems, size, seed=2), dim=-1)


def test_chebyshev_has_the_published_accuracy_at_a_ridge_of_two_percent() -> None:
    """I13: at most 2 rho^n |x|, and the reference's errors within a factor of two."""
    h, ridge, b = system()
    x = exact(h + ridge * torch.eye(32, dtype=h.dtype), b)
    root = ((1 + RATIO) / RATIO) ** 0.5
    rho = (root - 1) / (root + 1)
    for iterations, wanted in {5: 0.26, 10: 0.066, 20: 4.1e-3, 30: 2.2e-4, 60: 5.5e-8}.items():
        found = chebyshev(lambda x: x @ h + ridge * x, b, low=ridge, high=ridge + h.norm(), iterations=iterations)
        error = float((found - x).norm() / x.norm())
        assert wanted / 2 < error < wanted * 2
        assert ((found - x).norm(dim=-1) <= 2 * rho**iterations * x.norm(dim=-1)).all()


def test_chebyshev_with_a_bound_that_is_too_low_does_not_converge() -> None:
    """A plausible mistake: the trace of one pair in place of the norm of all."""
    h, ridge, b = system()
    x = exact(h + ridge * torch.eye(32, dtype=h.dtype), b)
    found = chebyshev(lambda x: x @ h + ridge * x, b, low=ridge, high=ridge + 1, iterations=30)
    assert (found - x).norm() > x.norm()


def test_conjugate_gradients_end_after_as_many_steps_as_there_are_dimensions() -> None:
    h, ridge, b = system(16, 12)
    x = exact(h + ridge * torch.eye(12, dtype=h.dtype), b)
    errors = [
        float((conjugate_gradients(lambda x: x @ h + ridge * x, b, iterations=n) - x).norm() / x.norm())
        for n in (2, 6, 12, 40, 200)
    ]
    assert errors[0] > errors[1] > 1e-4
    assert max(errors[2:]) < 1e-12


def test_a_system_is_solved_alike_whatever_else_is_in_the_batch() -> None:
    h, ridge, b = system()
    solvers: list[Linear] = [
        lambda b: conjugate_gradients(lambda x: x @ h + ridge * x, b, iterations=9),
        lambda b: chebyshev(lambda x: x @ h + ridge * x, b, low=ridge, high=ridge + h.norm(), iterations=9),
    ]
    for solver in solvers:
        alone = torch.cat([solver(one[None]) for one in b])
        assert_equal([solver(b)], [alone], 1e-12)


def test_zero_right_hand_sides_and_solved_systems_give_no_nan() -> None:
    h, ridge, b = system()
    b = torch.stack([torch.zeros_like(b[0]), b[1]])
    found = conjugate_gradients(lambda x: x @ h + ridge * x, b, iterations=300)
    assert found.isfinite().all()
    assert found[0].eq(0).all()


def test_nan_reaches_its_own_system_only() -> None:
    h, ridge, b = system()
    b[3, 0] = torch.nan
    for found in (
        conjugate_gradients(lambda x: x @ h + ridge * x, b, iterations=9),
        chebyshev(lambda x: x @ h + ridge * x, b, low=ridge, high=ridge + h.norm(), iterations=9),
    ):
        assert found[3].isnan().all()
        assert found[:3].isfinite().all()
        assert found[4:].isfinite().all()
    assert exact(torch.full((2, 2), torch.nan), torch.ones(2)).isnan().all()


@pytest.mark.parametrize("name", ["cg", "chebyshev", "exact"])
def test_gradients_are_those_of_elimination(name: str) -> None:
    """By the right-hand sides, the operator and the ridge."""
    a, ridge, b = (one.requires_grad_() for one in system(16, 6, systems=4))

    def through(b: Tensor) -> Tensor:
        if name == "exact":
            return exact(a + ridge * torch.eye(6, dtype=a.dtype), b)
        if name == "cg":
            return conjugate_gradients(apply, b, iterations=20)
        return chebyshev(apply, b, low=ridge, high=ridge + a.norm(), iterations=200)

    def apply(x: Tensor) -> Tensor:
        return x @ a + ridge * x

    upstream = draw(4, 6, seed=8)
    wanted = exact(a + ridge * torch.eye(6, dtype=a.dtype), b)
    found = solve(apply, b, through)
    expected = torch.autograd.grad((wanted * upstream).sum(), (a, ridge, b))
    grads = torch.autograd.grad((found * upstream).sum(), (a, ridge, b))
    # The operator is symmetric: of its gradient only the symmetric part means anything.
    assert_equal([found, grads[0] + grads[0].T, *grads[1:]], [wanted, expected[0] + expected[0].T, *expected[1:]], 1e-9)


def test_more_iterations_keep_no_more_for_the_backward_pass() -> None:
    h, ridge, b = system()
    h.requires_grad_()

    def kept(iterations: int) -> int:
        sizes: list[int] = []

        def pack(one: Tensor) -> Tensor:
            sizes.append(one.untyped_storage().nbytes())
            return one

        def apply(x: Tensor) -> Tensor:
            return x @ h + ridge * x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one):
            solve(apply, b, lambda b: conjugate_gradients(apply, b, iterations=iterations))
        return sum(sizes)

    assert kept(50) == kept(2) > 0


def test_no_iterations_are_told() -> None:
    runs: list[Linear] = [
        lambda b: conjugate_gradients(lambda x: x, b, iterations=0),
        lambda b: chebyshev(lambda x: x, b, low=b, high=b, iterations=0),
    ]
    for run in runs:
        with pytest.raises(InvalidInput, match="iterations 0"):
            run(torch.ones(3))
