"""Matrices that turn the past of a signal into coefficients of Legendre polynomials, and the way back.

    x' = A x + b u,   x_t = Abar x_{t-1} + bbar u_t,   u(t - tau) = sum_n P_n(...) x_n(t)

`legs` weighs the past exponentially (or, with 1/t before A, all of it alike: `compress`), `legt` and `lmu` keep a
sliding window; these two are the same memory in other units. Sources: Gu et al., HiPPO (arXiv:2008.07669) and Combining
recurrent, convolutional, and continuous-time models with linear state-space layers (arXiv:2110.13985), Voelker et al.,
Legendre memory units (NeurIPS 2019).

>>> import torch
>>> memory = zoh(*lmu(8, 64.0), torch.tensor(1.0))
>>> x = torch.zeros(8, dtype=torch.float64)
>>> for t in range(200):
...     x = memory.a @ x + memory.b * math.sin(t / 20)
>>> ago = decoder("lmu", 8, torch.tensor([0.0, 32.0], dtype=torch.float64), 64.0) @ x
>>> [round(one, 2) for one in ago.tolist()], [round(math.sin(t / 20), 2) for t in (199, 199 - 32)]
([-0.52, 0.87], [-0.5, 0.88])
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.shapes import expect

Measure = Literal["legs", "legt", "lmu"]


class System(NamedTuple):
    """A [..., N, N] and b [..., N] of a linear system, continuous or in steps."""

    a: Tensor
    b: Tensor


def legs(size: int, window: float = 1.0) -> System:
    """HiPPO-LegS in float64, its time scale `window`: what was s ago counts exp(-s / window).

    A_nk = -sqrt((2n + 1)(2k + 1)) for n > k, -(n + 1) for n = k, 0 above; b_n = sqrt(2n + 1).
    """
    n = _orders(size, window)
    root = (2 * n + 1).sqrt()
    a = -(root[:, None] * root).tril(-1) - torch.diag(n + 1)
    return System(a / window, root / window)


def legt(size: int, window: float = 1.0) -> System:
    """HiPPO-LegT in float64: all of the last `window` counts alike, what was before counts nothing.

    A_nk = -sqrt((2n + 1)(2k + 1)) for k <= n, times (-1)^(n - k) for k > n; b_n = sqrt(2n + 1).
    """
    n = _orders(size, window)
    root = (2 * n + 1).sqrt()
    sign = (1 - 2 * (n % 2))[:, None] * (1 - 2 * (n % 2))
    a = -root[:, None] * root * torch.where(n[:, None] >= n, torch.ones_like(sign), sign)
    return System(a / window, root / window)


def lmu(size: int, window: float = 1.0) -> System:
    """The matrices of the Legendre memory unit in float64; theta is `window`.

    A_ij = (2i + 1) (-1 for i < j, (-1)^(i - j + 1) for i >= j) / theta; b_i = (2i + 1)(-1)^i / theta.
    """
    n = _orders(size, window)
    odd = 1 - 2 * (n % 2)
    sign = odd[:, None] * odd
    a = -(2 * n + 1)[:, None] * torch.where(n[:, None] < n, torch.ones_like(sign), sign)
    return System(a / window, (2 * n + 1) * odd / window)


def of_measure(measure: Measure, size: int, window: float = 1.0) -> System:
    """The matrices of a measure by its name. Raises `InvalidInput` for one that is none."""
    made: dict[str, Callable[[int, float], System]] = {"legs": legs, "legt": legt, "lmu": lmu}
    if measure not in made:
        raise InvalidInput(f"measure {measure!r} is none of {', '.join(made)}")
    return made[measure](size, window)


def _orders(size: int, window: float) -> Tensor:
    if size < 1 or not window > 0:
        raise InvalidInput(f"a memory needs a size of at least 1 and a window above 0; got {size} and {window}")
    return torch.arange(size, dtype=torch.float64)


# The family of matrices in which all of these lie.


class Structured(NamedTuple):
    """P (D + T^-1) Q with diagonal P, D, Q [N] and tridiagonal T, whose diagonals are `lower`, `upper` [N - 1], `main`
    [N]."""

    p: Tensor
    d: Tensor
    lower: Tensor
    main: Tensor
    upper: Tensor
    q: Tensor

    def matrix(self) -> Tensor:
        """A [N, N]; differentiable. T must not be singular."""
        t = torch.diag(self.main) + torch.diag(self.lower, -1) + torch.diag(self.upper, 1)
        inner: Tensor = torch.diag(self.d) + torch.linalg.inv(t)
        return self.p[:, None] * inner * self.q


def structured(measure: Measure, size: int) -> Structured:
    """The factors of the A of a measure with a window of 1, in float64."""
    n = _orders(size, 1.0)
    zero, one, half = torch.zeros(size - 1).double(), torch.ones(size).double(), torch.full((size - 1,), 0.5).double()
    root = (2 * n + 1).sqrt()
    if measure == "legs":
        return Structured(root, n / (2 * n + 1), one[1:], -one, zero, root)
    ends = torch.zeros_like(n)
    ends[0] -= 0.5
    ends[-1] -= 0.5
    if measure == "legt":
        return Structured(root, torch.zeros_like(n), half, ends, -half, root)
    if measure == "lmu":
        return Structured(2 * n + 1, torch.zeros_like(n), -half, ends, half, one)
    raise InvalidInput(f"measure {measure!r} is none of legs, legt, lmu")


# From continuous time to steps.


def bilinear(a: Tensor, b: Tensor, step: Tensor, alpha: float = 0.5) -> System:
    """Abar = (I - alpha step A)^-1 (I + (1 - alpha) step A), bbar = (I - alpha step A)^-1 step b.

    Args:
        a: [..., N, N], with the axes of step before its own or none.
        b: [..., N].
        step: of any shape [...]; how much time passes between two tokens.
        alpha: 0 is Euler's rule, 1 the backward one, 1/2 the trapezoidal one, which keeps what is stable so.

    """
    if not 0 <= alpha <= 1:
        raise InvalidInput(f"alpha must lie in [0, 1], not {alpha}")
    scaled, drive = _timed(a, b, step)
    eye = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    right = torch.cat((eye + (1 - alpha) * scaled, drive[..., None]), -1)
    solved = right if alpha == 0 else torch.linalg.solve(eye - alpha * scaled, right)
    return System(solved[..., :-1], solved[..., -1])


def zoh(a: Tensor, b: Tensor, step: Tensor) -> System:
    """Abar = exp(step A), bbar = (integral of exp(s A) over 0 <= s <= step) b: exact for inputs held between steps."""
    scaled, drive = _timed(a, b, step)
    size = a.shape[-1]
    whole = torch.cat((scaled, drive[..., None]), -1)
    whole = torch.cat((whole, torch.zeros_like(whole[..., :1, :])), -2)
    whole = torch.linalg.matrix_exp(whole)
    return System(whole[..., :size, :size], whole[..., :size, size])


def _timed(a: Tensor, b: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    fits = a.ndim >= 2 and a.shape[-1] == a.shape[-2] == b.shape[-1]
    expect(fits, "A must be [..., N, N] and b [..., N]", {"A": a, "b": b, "step": step})
    return step[..., None, None] * a, step[..., None] * b


# Back from coefficients to the past.


def legendre(points: Tensor, size: int) -> Tensor:
    """P_0 … P_{size - 1} at points of any shape [...], [..., size]."""
    if size < 1:
        raise InvalidInput(f"there are at least one polynomial, not {size}")
    found = [torch.ones_like(points), points]
    for n in range(1, size - 1):
        found.append(((2 * n + 1) * points * found[n] - n * found[n - 1]) / (n + 1))
    return torch.stack(found[:size], -1)


def decoder(measure: Measure, size: int, delays: Tensor, window: float = 1.0) -> Tensor:
    """What to multiply a state [..., N] with to get the signal `delays` [...] ago: [..., N], in the units of window.

    `legt` and `lmu` know delays from 0 to the window, `legs` all from 0 on, the more coarsely the older.
    """
    root = (2 * torch.arange(size, dtype=delays.dtype, device=delays.device) + 1).sqrt()
    if measure == "legs":
        return root * legendre(2 * torch.exp(-delays / window) - 1, size)
    if measure == "legt":
        return root * legendre(1 - 2 * delays / window, size)
    if measure == "lmu":
        return legendre(2 * delays / window - 1, size)
    raise InvalidInput(f"measure {measure!r} is none of legs, legt, lmu")


def compress(u: Tensor, size: int) -> Tensor:
    """All of a signal [..., T], T >= 1, in `size` numbers [..., N], each moment counting alike.

    HiPPO-LegS for the measure that stretches with time: x' = (A x + b u) / t. `decompress` gives it back,
    smoother than it was.
    """
    a, b = (one.to(u) for one in legs(size))
    x = u.new_zeros(*u.shape[:-1], size)
    for t in range(u.shape[-1]):
        step = bilinear(a, b, u.new_tensor(1 / (t + 1)))
        x = x @ step.a.mT + u[..., t, None] * step.b
    return x


def decompress(x: Tensor, length: int) -> Tensor:
    """The signal [..., T] of T = `length` moments from what `compress` made of it, [..., N]."""
    size = x.shape[-1]
    points = (2 * torch.arange(length, dtype=x.dtype, device=x.device) + 1) / length - 1
    root = (2 * torch.arange(size, dtype=x.dtype, device=x.device) + 1).sqrt()
    return x @ (root * legendre(points, size)).mT


def log_uniform(count: int, low: float, high: float) -> Tensor:
    """Logarithms of `count` steps, drawn evenly between those of `low` and `high`, from torch's generator."""
    return torch.empty(count).uniform_(math.log(low), math.log(high))
