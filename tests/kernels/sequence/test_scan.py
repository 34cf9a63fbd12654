from __future__ import annotations

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.scan import assoc_scan

chunk = assoc_scan.in_form("chunk")
recurrent = assoc_scan.in_form("recurrent")


def drawn(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """a of any sign with zeros among them, b, and y before the first step."""
    generator = torch.Generator().manual_seed(0)
    factor, added, init = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in (a, b, b[:1] + b[2:])
    )
    return factor.where(factor > -1.2, 0.0), added, init


@pytest.mark.parametrize(
    ("a", "rest"), [((), (3, 4)), ((3,), (4,)), ((3, 4), ()), ((3, 1), (2,)), ((1, 4), ()), ((), ())]
)
@pytest.mark.parametrize("length", [1, 2, 5, 63, 75])
def test_blocks_give_what_the_loop_gives(length: int, a: tuple[int, ...], rest: tuple[int, ...]) -> None:
    """Outputs and all gradients, with factors repeated along trailing axes and along such of length 1."""
    b = tuple(4 if one == 1 else one for one in a) + rest
    given = drawn((2, length, *a), (2, length, *b))
    results = []
    for run in (recurrent, chunk):
        leaves = [one.clone().requires_grad_() for one in given]
        y = run(*leaves)
        results.append((y, *torch.autograd.grad((y * y.detach().cos()).sum(), leaves)))
    for found, wanted in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_the_gradient_of_the_gradient() -> None:
    a, b, init = (one.requires_grad_() for one in drawn((1, 7, 2), (1, 7, 2)))
    torch.autograd.gradgradcheck(chunk, (a, b, init))


def test_it_runs_under_vmap() -> None:
    a, b, init = drawn((3, 2, 9), (3, 2, 9, 4))
    init = init[:, 0].unsqueeze(1).expand(3, 2, 4)
    found = torch.func.vmap(chunk)(a, b, init)
    torch.testing.assert_close(found, torch.stack([recurrent(*one) for one in zip(a, b, init, strict=True)]))


def test_without_a_beginning_it_begins_at_zero() -> None:
    a, b, init = drawn((2, 9), (2, 9, 3))
    for run in (recurrent, chunk):
        torch.testing.assert_close(run(a, b), run(a, b, torch.zeros_like(init)))


def test_splitting_anywhere_changes_nothing() -> None:
    """I23."""
    a, b, init = drawn((2, 10), (2, 10, 3))
    whole = chunk(a, b, init)
    for split in range(1, 10):
        first = chunk(a[:, :split], b[:, :split], init)
        second = chunk(a[:, split:], b[:, split:], first[:, -1])
        torch.testing.assert_close(torch.cat((first, second), 1), whole)


@pytest.mark.parametrize("form", assoc_scan.forms)
def test_no_steps_and_no_sequences(form: str) -> None:
    assert assoc_scan.in_form(form)(torch.zeros(2, 0), torch.zeros(2, 0, 3)).shape == (2, 0, 3)
    assert assoc_scan.in_form(form)(torch.zeros(0, 5), torch.zeros(0, 5, 3)).shape == (0, 5, 3)


@pytest.mark.parametrize("form", assoc_scan.forms)
def test_nan_reaches_what_follows_and_nothing_before(form: str) -> None:
    a, b, init = drawn((1, 20), (1, 20))
    b[:, 7] = torch.nan
    a[:, 8:] = 0.5
    y = assoc_scan.in_form(form)(a, b, init)
    assert y[:, :7].isfinite().all()
    assert y[:, 7:].isnan().all()


@pytest.mark.parametrize("form", assoc_scan.forms)
@pytest.mark.parametrize(
    ("a", "b", "init"),
    [
        ((2, 5), (2, 6), None),
        ((2, 5, 3), (2, 5, 4), None),
        ((2, 5, 3), (2, 5), None),
        ((2,), (2, 5), None),
        ((2, 5), (2, 5, 3), (2, 4)),
    ],
)
def test_shapes_that_do_not_fit_are_told(
    form: str, a: tuple[int, ...], b: tuple[int, ...], init: tuple[int, ...] | None
) -> None:
    begin = None if init is None else torch.zeros(init)
    with pytest.raises(InvalidInput) as raised:
        assoc_scan.in_form(form)(torch.zeros(a), torch.zeros(b), begin)
    assert str(a) in str(raised.value)
    assert str(b) in str(raised.value)
