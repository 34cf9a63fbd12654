"""HiPPO matrices: what they are, how they become steps, and that the past can be read from what they keep."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.hippo import (
    Measure,
    bilinear,
    compress,
    decoder,
    decompress,
    legendre,
    legs,
    legt,
    lmu,
    of_measure,
    structured,
    zoh,
)
from remanence.kernels.sequence.state_space import state_space

MEASURES: tuple[Measure, ...] = ("legs", "legt", "lmu")
ONE = torch.tensor(1.0).double()


def scalar(value: float) -> Tensor:
    return torch.tensor(value).double()


def test_the_first_rows_are_those_of_the_publications() -> None:
    root3, root5 = math.sqrt(3), math.sqrt(5)
    a, b = legs(3)
    torch.testing.assert_close(a, torch.tensor([[-1, 0, 0], [-root3, -2, 0], [-root5, -root3 * root5, -3]]).double())
    torch.testing.assert_close(b, torch.tensor([1, root3, root5]).double())
    a, b = legt(2, 4.0)
    torch.testing.assert_close(a, torch.tensor([[-1, root3], [-root3, -3]]).double() / 4)
    torch.testing.assert_close(b, torch.tensor([1, root3]).double() / 4)
    a, b = lmu(3, 2.0)
    torch.testing.assert_close(a, torch.tensor([[-1, -1, -1], [3, -3, -3], [-5, 5, -5]]).double() / 2)
    torch.testing.assert_close(b, torch.tensor([1, -3, 5]).double() / 2)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("size", [1, 2, 3, 16])
def test_every_matrix_lies_in_the_structured_family(measure: Measure, size: int) -> None:
    """A = P (D + T^-1) Q with T tridiagonal."""
    wanted = of_measure(measure, size).a
    torch.testing.assert_close(structured(measure, size).matrix(), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
def test_every_matrix_is_stable_and_stays_so_in_steps(measure: Measure) -> None:
    a, b = of_measure(measure, 16)
    assert torch.linalg.eigvals(a).real.max() < 0
    for system in (bilinear(a, b, scalar(0.1)), bilinear(a, b, scalar(10.0)), zoh(a, b, scalar(0.1))):
        assert torch.linalg.eigvals(system.a).abs().max() < 1


def test_window_and_units_of_legt_and_lmu_are_one_memory() -> None:
    """m_i = (-1)^i sqrt(2i + 1) x_i."""
    n = torch.arange(9).double()
    units = (-1) ** n * (2 * n + 1).sqrt()
    a, b = legt(9, 5.0)
    torch.testing.assert_close(units[:, None] * a / units, lmu(9, 5.0).a)
    torch.testing.assert_close(units * b, lmu(9, 5.0).b)


def test_a_step_is_a_gate() -> None:
    """N = 1, A = -1, B = 1, backward Euler with step e^z: x_t = (1 - sigmoid(z)) x_{t-1} + sigmoid(z) u_t."""
    z = torch.linspace(-4, 4, 9).double()
    system = bilinear(-ONE.reshape(1, 1), ONE.reshape(1), z.exp(), alpha=1.0)
    torch.testing.assert_close(system.a[:, 0, 0], 1 - z.sigmoid(), rtol=1e-12, atol=0)
    torch.testing.assert_close(system.b[:, 0], z.sigmoid(), rtol=1e-12, atol=0)


@pytest.mark.parametrize(("alpha", "order"), [(0.0, 1), (1.0, 1), (0.5, 2)])
def test_bilinear_steps_converge_to_the_exact_ones(alpha: float, order: int) -> None:
    """Half the step: the error of one step falls by 2^(order + 1)."""
    a, b = legt(4)
    errors = []
    for step in (2e-3, 1e-3):
        exact, near = zoh(a, b, scalar(step)), bilinear(a, b, scalar(step), alpha)
        errors.append(float((exact.a - near.a).abs().max()))
    assert errors[0] / errors[1] == pytest.approx(2 ** (order + 1), rel=0.05)


def test_euler_is_the_plain_formula() -> None:
    a, b = legs(4)
    system = bilinear(a, b, scalar(0.1), alpha=0.0)
    torch.testing.assert_close(system.a, torch.eye(4).double() + 0.1 * a)
    torch.testing.assert_close(system.b, 0.1 * b)


def test_half_as_many_samples_need_twice_the_step() -> None:
    """The time of the system is that of the signal: at every second sample, with twice the step, it is where it was."""
    a, b = legs(8)
    t = torch.arange(800).double()
    ends = []
    for factor in (1, 2):
        system = bilinear(a, b, scalar(0.005 * factor))
        u = torch.sin(t / 40)[factor - 1 :: factor]
        c = torch.eye(8).double()[None]
        ends.append(state_space(u[None, :, None], system.a[None], system.b[None], c)[1])
    first, second = ends
    assert first is not None
    assert second is not None
    torch.testing.assert_close(first, second, rtol=0, atol=5e-3)
    system = bilinear(a, b, scalar(0.005))
    wrong = state_space(
        torch.sin(t / 40)[None, 1::2, None], system.a[None], system.b[None], torch.eye(8).double()[None]
    )[1]
    assert wrong is not None
    assert (wrong - first).abs().max() > 0.1


def test_polynomials() -> None:
    x = torch.linspace(-1, 1, 7).double()
    found = legendre(x, 4)
    wanted = torch.stack([torch.ones_like(x), x, (3 * x**2 - 1) / 2, (5 * x**3 - 3 * x) / 2], -1)
    torch.testing.assert_close(found, wanted)


def test_all_of_a_signal_is_kept_the_better_the_more_numbers() -> None:
    """LegS: the error falls with N."""
    t = torch.arange(300).double() / 300
    u = sum((torch.sin(2 * math.pi * k * t + k * k) for k in (1, 2, 3, 5)), torch.zeros(()))
    errors = [float((decompress(compress(u, size), 300) - u).norm() / u.norm()) for size in (2, 4, 8, 16, 32)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.03
    assert errors[0] > 0.9


def recalled(measure: Measure, size: int, window: float, period: float) -> list[float]:
    """Error of the signal 0, 1/4, 1/2 and 1 window ago, as a share of its deviation."""
    t = torch.arange(1500).double()
    u = torch.sin(2 * math.pi * t / period) + 0.5 * torch.sin(2 * math.pi * t / (1.7 * period) + 1)
    system = zoh(*of_measure(measure, size, window), ONE)
    y, _ = state_space(u[None, :, None], system.a[None], system.b[None], torch.eye(size).double()[None])
    errors = []
    for delay in (0, round(window / 4), round(window / 2), round(window)):
        told = y[0, 500:, 0] @ decoder(measure, size, scalar(delay), window)
        wanted = u[500 - delay : 1500 - delay]
        errors.append(float((told - wanted).square().mean().sqrt() / wanted.std()))
    return errors


@pytest.mark.parametrize("measure", ["legt", "lmu"])
@pytest.mark.parametrize(("size", "window", "period"), [(8, 64.0, 48.0), (16, 128.0, 64.0)])
def test_any_delay_of_the_window_can_be_read(measure: Measure, size: int, window: float, period: float) -> None:
    """Measured .019 to .061 for periods well above window / size."""
    assert max(recalled(measure, size, window, period)) < 0.07


def test_what_is_faster_than_the_window_allows_cannot_be_read() -> None:
    """Period near window / size: 64 / 8."""
    slow, medium, fast = (max(recalled("lmu", 8, 64.0, period)) for period in (48.0, 24.0, 8.0))
    assert slow < medium < fast
    assert fast > 0.6


def test_legs_reads_the_more_coarsely_the_older_and_the_better_the_larger() -> None:
    """Measured .04 half a window ago and .13 one ago with 16 numbers, .03 with 32; only the very end rings."""
    small, large = (recalled("legs", size, 100.0, 120.0) for size in (16, 32))
    assert small[2] < 0.06 < small[3]
    assert max(large[1:]) < 0.05


def test_nonsense_is_told() -> None:
    a, b = legs(2)
    for call in (
        lambda: legs(0),
        lambda: lmu(2, 0.0),
        lambda: of_measure("fourier", 2),  # type: ignore[arg-type]
        lambda: structured("fourier", 2),  # type: ignore[arg-type]
        lambda: decoder("fourier", 2, ONE),  # type: ignore[arg-type]
        lambda: bilinear(a, b, ONE, alpha=2.0),
        lambda: legendre(ONE, 0),
    ):
        with pytest.raises(InvalidInput):
            call()
    with pytest.raises(InvalidInput, match=r"\(2, 2\).*\(3,\)"):
        zoh(a, torch.zeros(3).double(), ONE)
