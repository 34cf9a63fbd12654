from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.convolution import short_conv


def drawn(length: int, width: int = 4) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"x": (2, length, 3), "weight": (3, width), "bias": (3,), "tail": (2, width - 1, 3)}
    return {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}


@pytest.mark.parametrize("form", short_conv.forms)
@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("length", [1, 2, 5, 20])
def test_it_is_torchs_convolution_by_channel_over_tail_and_tokens(length: int, width: int, form: str) -> None:
    """Outputs, tail and all gradients."""
    results = []
    for own in (True, False):
        leaves = {name: one.requires_grad_() for name, one in drawn(length, width).items()}
        if own:
            y, tail = short_conv.in_form(form)(**leaves)
        else:
            whole = torch.cat((leaves["tail"], leaves["x"]), 1)
            y = functional.conv1d(whole.mT, leaves["weight"].unsqueeze(1), leaves["bias"], groups=3).mT
            y, tail = functional.silu(y), whole[:, length:]
        total = (y * y.detach().cos()).sum() + (tail * tail.detach().sin()).sum()
        results.append((y, tail, *torch.autograd.grad(total, list(leaves.values()))))
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("form", short_conv.forms)
def test_the_last_weight_is_that_of_the_newest_token(form: str) -> None:
    """A convolution whose weights stand the other way round would give the token of three steps ago."""
    x = drawn(6)["x"]
    weight = torch.tensor([[0.0, 0, 0, 1]] * 3, dtype=torch.float64)
    y, tail = short_conv.in_form(form)(x, weight, activation="none")
    torch.testing.assert_close(y, x)
    torch.testing.assert_close(tail, x[:, 3:])


@pytest.mark.parametrize("form", short_conv.forms)
def test_splitting_anywhere_changes_nothing(form: str) -> None:
    """I23: also into parts that are shorter than the tail."""
    given = drawn(9)
    x, tail = given.pop("x"), given.pop("tail")
    run = short_conv.in_form(form)
    whole, end = run(x, **given, tail=tail)
    for first in range(10):
        for second in range(first, 10):
            held, ys = tail, []
            for part in (x[:, :first], x[:, first:second], x[:, second:]):
                y, held = run(part, **given, tail=held)
                ys.append(y)
            torch.testing.assert_close(torch.cat(ys, 1), whole)
            torch.testing.assert_close(held, end)


@pytest.mark.parametrize("form", short_conv.forms)
def test_no_tokens_and_no_sequences(form: str) -> None:
    given = drawn(0)
    y, tail = short_conv.in_form(form)(**given)
    assert y.shape == (2, 0, 3)
    torch.testing.assert_close(tail, given["tail"])
    y, tail = short_conv.in_form(form)(torch.zeros(0, 5, 3), torch.zeros(3, 4))
    assert y.shape == (0, 5, 3)
    assert tail.shape == (0, 3, 3)


@pytest.mark.parametrize("form", short_conv.forms)
def test_nan_reaches_the_next_tokens_alone(form: str) -> None:
    x = drawn(9)["x"]
    x[:, 4, 1] = torch.nan
    y, _ = short_conv.in_form(form)(x, drawn(9)["weight"])
    assert y[:, 4:8, 1].isnan().all()
    assert y[:, :4].isfinite().all()
    assert y[:, 8].isfinite().all()
    assert y[..., [0, 2]].isfinite().all()


@pytest.mark.parametrize("form", short_conv.forms)
def test_what_does_not_fit_is_told(form: str) -> None:
    given = drawn(5)
    run = short_conv.in_form(form)
    with pytest.raises(InvalidInput, match=r"weight must be \[D, W\].*\(4, 3\)"):
        run(given["x"], given["weight"].mT)
    with pytest.raises(InvalidInput, match=r"tail must be \[B, W - 1, D\] = \(2, 3, 3\).*\(2, 4, 3\)"):
        run(given["x"], given["weight"], tail=torch.zeros(2, 4, 3))
    with pytest.raises(InvalidInput, match="activation 'relu'"):
        run(given["x"], given["weight"], activation="relu")  # type: ignore[arg-type]
