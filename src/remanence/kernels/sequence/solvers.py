"""Many small systems A x = b at once, with A symmetric and positive definite and known by what it does to vectors.

b and x are [..., K]: every vector along the last axis is a system of its own, and `apply` maps all of them at once, so
that an operator may be shared, decayed or masked between systems. The iterations take a fixed number of steps: no
answer depends on what else is in the batch.

Gradients go through the solution and not through the iterations: with A x = b and an upstream gradient g of x,
A y = g gives db = y and dA = -y x^T. So the memory for the backward pass is that of one `apply`, whatever the number of
steps, and a system that was solved approximately has its adjoint solved to the same accuracy.

>>> import torch
>>> a = torch.tensor([[3.0, 1.0], [1.0, 2.0]])
>>> b = torch.tensor([[9.0, 8.0], [1.0, 0.0]])
>>> solve(lambda x: x @ a, b, lambda b: conjugate_gradients(lambda x: x @ a, b, iterations=2))
tensor([[ 2.0000,  3.0000],
        [ 0.4000, -0.2000]])

Source: Hestenes and Stiefel (1952) for conjugate gradients; the Chebyshev semi-iteration is that of Golub and Varga
(1961), with the starting values of Gated KalmaNet (arXiv:2511.21016).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from remanence.core.errors import InvalidInput

Linear = Callable[[Tensor], Tensor]
"""A linear map of each of the vectors [..., K]."""


def solve(apply: Linear, b: Tensor, solver: Linear) -> Tensor:
    """x with A x = b, as `solver` finds it, differentiable in b and in all tensors that `apply` closes over.

    Args:
        apply: A. Symmetric: its adjoint is solved with the same solver.
        b: right-hand sides.
        solver: from right-hand sides to solutions; run without gradients, also in the backward pass.

    """
    with torch.no_grad():
        x = solver(b)
    if not torch.is_grad_enabled():
        return x
    solution: Tensor = _Solution.apply(b - apply(x), x, solver)  # type: ignore[no-untyped-call]
    return solution


class _Solution(torch.autograd.Function):
    """x as a function of the residual b - A x: dx = A^-1 (db - dA x)."""

    @staticmethod
    def forward(ctx: Any, residual: Tensor, x: Tensor, solver: Linear) -> Tensor:
        ctx.solver = solver
        return x.view_as(residual)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        with torch.no_grad():
            return ctx.solver(gradients[0]), None, None


def conjugate_gradients(apply: Linear, b: Tensor, *, iterations: int) -> Tensor:
    """x after that many steps from 0; exact after K steps up to rounding. A system that is solved stands still."""
    expect_iterations(iterations)
    x, residual = torch.zeros_like(b), b
    direction = residual
    square = residual.square().sum(-1, keepdim=True)
    solved = square * torch.finfo(b.dtype).eps ** 2
    for _ in range(iterations):
        image = apply(direction)
        step = _over(square, (direction * image).sum(-1, keepdim=True)).masked_fill(square <= solved, 0)
        x = x + step * direction
        residual = residual - step * image
        last, square = square, residual.square().sum(-1, keepdim=True)
        direction = residual + _over(square, last) * direction
    return x


def chebyshev(apply: Linear, b: Tensor, *, low: Tensor, high: Tensor, iterations: int) -> Tensor:
    """x after that many steps from 2 b / (low + high), for an operator whose eigenvalues lie in [low, high], low > 0.

    `low` and `high` broadcast to b. With r = (sqrt(c) - 1) / (sqrt(c) + 1) and c = high / low the error is at most
    2 r^iterations |x|. The steps do not depend on b: the result is linear in it.
    """
    expect_iterations(iterations)
    step, rho = 2 / (high + low), (high - low) / (high + low)
    before, x = torch.zeros_like(b), step * b
    omega = torch.full_like(step, 2)
    for _ in range(iterations):
        omega = 1 / (1 - rho.square() * omega / 4)
        x, before = omega * (x - step * (apply(x) - b)) + (1 - omega) * before, x
    return x


def exact(matrix: Tensor, b: Tensor) -> Tensor:
    """x by elimination: matrix [..., K, K], b [..., K]. What is singular gives no numbers instead of an error."""
    x: Tensor = torch.linalg.solve_ex(matrix, b[..., None])[0][..., 0]
    return x


def expect_iterations(iterations: int) -> None:
    """Raise `InvalidInput` unless there is at least one."""
    if iterations < 1:
        raise InvalidInput(f"iterations {iterations} must be at least 1; 30 suits most systems")


def _over(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where b is: there is nothing left to solve."""
    nothing = b == 0
    return (a / b.masked_fill(nothing, 1)).masked_fill(nothing, 0)
