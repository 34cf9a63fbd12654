"""State spaces: all forms give the same outputs, states and gradients, for systems that stay and for selective ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.hebbian import hebbian
from remanence.kernels.sequence.hippo import bilinear, legs
from remanence.kernels.sequence.state_space import fft_conv, selective_scan, state_space
from tests.kernels.sequence.pairs import difference, outcome

FORMS = ("chunk", "convolution")


def systems(length: int, dtype: torch.dtype = torch.float64, *, outputs: int = 2) -> dict[str, Tensor]:
    """Three LegS systems of 6 with steps of their own, random readouts, inputs and beginnings."""
    generator = torch.Generator().manual_seed(0)
    steps = bilinear(*legs(6), torch.tensor([0.01, 0.1, 0.4]).double())
    shapes = {"u": (2, length, 3), "c": (3, outputs, 6), "d": (3, outputs), "initial_state": (2, 3, 6)}
    drawn = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}
    given = {"u": drawn.pop("u"), "a": steps.a, "b": steps.b, **drawn}
    return {name: one.to(dtype) for name, one in given.items()}


def selective(length: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Four channels of 3, with steps from next to nothing to forgetting all."""
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "x": (2, length, 4), "dt": (2, length, 4), "a": (4, 3), "b": (2, length, 3), "c": (2, length, 3), "d": (4,),
        "initial_state": (2, 4, 3),
    }  # fmt: skip
    given = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}
    given["dt"] = given["dt"].exp() ** 3
    given["a"] = -given["a"].exp()
    return {name: one.to(dtype) for name, one in given.items()}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("length", [1, 2, 5, 63, 75])
@pytest.mark.parametrize("chunk_size", [1, 5, 16, 128])
def test_i1_all_forms_are_the_recurrence(form: str, length: int, chunk_size: int) -> None:
    """I1: outputs, last states and every gradient."""
    if form == "convolution" and chunk_size > 1:
        return
    given = systems(length)
    found = outcome(state_space.in_form(form), given, chunk_size=chunk_size)
    assert difference(found, outcome(state_space.recurrent, given)) < 1e-10


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_agree_in_single_precision(form: str) -> None:
    given = systems(75, torch.float32)
    found = outcome(state_space.in_form(form), given, chunk_size=16)
    assert difference(found, outcome(state_space.recurrent, given)) < 1e-3


@pytest.mark.parametrize("form", FORMS)
def test_what_is_left_out_is_nothing(form: str) -> None:
    given = systems(20)
    bare: dict[str, Any] = {name: given[name] for name in ("u", "a", "b", "c")}
    y, state = state_space.in_form(form)(**bare)
    zeros: dict[str, Any] = {name: torch.zeros_like(given[name]) for name in ("d", "initial_state")}
    wanted, end = state_space.recurrent(**bare, **zeros)
    torch.testing.assert_close(y, wanted, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(state, end, rtol=1e-10, atol=1e-10)
    assert state_space.in_form(form)(**bare, output_final_state=False)[1] is None


def test_the_kernel_is_the_answer_to_an_impulse() -> None:
    """K_j = C A^j b, and the output is its convolution with the input."""
    given = systems(40, outputs=1)
    impulse = torch.zeros(1, 40, 3).double()
    impulse[:, 0] = 1
    kernel, _ = state_space(impulse, given["a"], given["b"], given["c"])
    powers = [torch.linalg.matrix_power(given["a"], j) for j in range(40)]
    wanted = torch.stack([torch.einsum("hmn,hnk,hk->hm", given["c"], power, given["b"]) for power in powers])
    torch.testing.assert_close(kernel[0], wanted, rtol=1e-10, atol=1e-10)
    y, _ = state_space(given["u"], given["a"], given["b"], given["c"])
    convolved = fft_conv(given["u"].mT, kernel[0, :, :, 0].mT).mT
    torch.testing.assert_close(y[..., 0], convolved, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("form", ["recurrent", *FORMS])
def test_i23_a_split_changes_nothing(form: str) -> None:
    """I23."""
    given = systems(40)
    u, rest = given.pop("u"), given
    run: Any = state_space.in_form(form)
    whole, end = run(u, **rest, chunk_size=16)
    for at in (1, 16, 39):
        first, middle = run(u[:, :at], **rest, chunk_size=16)
        second, last = run(u[:, at:], **{**rest, "initial_state": middle}, chunk_size=16)
        torch.testing.assert_close(torch.cat((first, second), 1), whole, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(last, end, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("form", ["recurrent", *FORMS])
def test_no_tokens_and_no_sequences(form: str) -> None:
    given = systems(0)
    y, state = state_space.in_form(form)(**given)  # type: ignore[arg-type]
    assert y.shape == (2, 0, 3, 2)
    assert torch.equal(state if state is not None else y, given["initial_state"])
    given = {**systems(5), "u": torch.zeros(0, 5, 3).double(), "initial_state": torch.zeros(0, 3, 6).double()}
    assert state_space.in_form(form)(**given)[0].shape == (0, 5, 3, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["recurrent", *FORMS])
def test_nan_reaches_what_follows_and_nothing_before(form: str) -> None:
    given = systems(40)
    wanted, _ = state_space.recurrent(**given)  # type: ignore[arg-type]
    given["u"][0, 20, 1] = torch.nan
    y, state = state_space.in_form(form)(**given, chunk_size=16)  # type: ignore[arg-type]
    torch.testing.assert_close(y[0, :20], wanted[0, :20])
    torch.testing.assert_close(y[1], wanted[1])
    assert y[0, 20:, 1].isnan().all()
    assert y[0, :, [0, 2]].isfinite().all()
    assert state is not None
    assert state[0, 1].isnan().all()


def test_outputs_keep_the_type_of_inputs_and_states_are_wide() -> None:
    given = {name: one.bfloat16() for name, one in systems(20).items()}
    wide = {name: one.float() for name, one in given.items()}
    wanted, end = state_space.recurrent(**wide)  # type: ignore[arg-type]
    for form in ("recurrent", *FORMS):
        y, state = state_space.in_form(form)(**given)  # type: ignore[arg-type]
        assert state is not None
        assert (y.dtype, state.dtype) == (torch.bfloat16, torch.float32)
        torch.testing.assert_close(y, wanted.bfloat16(), rtol=2e-2, atol=2e-2)
        torch.testing.assert_close(state, end, rtol=1e-3, atol=1e-3)


def test_memory_is_linear_in_length() -> None:
    """A chunk's products are kept for the gradient, no T x T ones."""
    from tests.kernels.sequence.pairs import saved

    short, long = (saved(state_space.in_form("chunk"), systems(length), chunk_size=16) for length in (256, 1024))
    assert long < 5 * short


@pytest.mark.parametrize(
    ("changed", "shape"),
    [("a", (3, 6, 5)), ("b", (6,)), ("c", (3, 6)), ("d", (3,)), ("initial_state", (2, 6)), ("u", (2, 5))],
)
def test_shapes_that_do_not_fit_are_told(changed: str, shape: tuple[int, ...]) -> None:
    given = {**systems(5), changed: torch.zeros(shape).double()}
    for form in ("recurrent", *FORMS):
        with pytest.raises(InvalidInput) as raised:
            state_space.in_form(form)(**given)  # type: ignore[arg-type]
        assert str(shape) in str(raised.value)


@pytest.mark.parametrize("length", [1, 5, 63, 75])
def test_i1_the_selective_scan_is_the_recurrence(length: int) -> None:
    """I1, with gradients."""
    given = selective(length)
    found = outcome(selective_scan.in_form("chunk"), given)
    assert difference(found, outcome(selective_scan.recurrent, given)) < 1e-10
    given = selective(length, torch.float32)
    found = outcome(selective_scan.in_form("chunk"), given)
    assert difference(found, outcome(selective_scan.recurrent, given)) < 1e-3


def test_a_constant_selection_is_a_diagonal_state_space() -> None:
    """With the same dt, B, C for all tokens: A_bar = exp(dt A), and dt B for what holds for short steps."""
    given = selective(30)
    dt, b, c = torch.full_like(given["dt"], 0.3), given["b"][:1, :1], given["c"][:1, :1]
    y, _ = selective_scan(given["x"], dt, given["a"], b.expand_as(given["b"]), c.expand_as(given["c"]))
    a = torch.diag_embed((0.3 * given["a"]).exp())
    wanted, _ = state_space(given["x"], a, (0.3 * b[0]).expand(4, -1), c.expand(4, 1, -1))
    torch.testing.assert_close(y, wanted[..., 0], rtol=1e-10, atol=1e-10)


def test_one_decay_for_all_is_decayed_linear_attention() -> None:
    """Mamba-2: A_en = -1 and one step for all channels: k = B, q = C, v = dt x, g = -dt."""
    given = selective(30)
    dt = given["dt"][..., :1].clamp(max=3)
    y, _ = selective_scan(given["x"], dt.expand_as(given["x"]), -torch.ones(4, 3).double(), given["b"], given["c"])
    q, k, v = given["c"][:, :, None], given["b"][:, :, None], (dt * given["x"])[:, :, None]
    wanted, _ = hebbian(q, k, v, None, -dt, scale=1.0)
    torch.testing.assert_close(y, wanted[:, :, 0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("form", selective_scan.forms)
def test_edges_of_the_selective_scan(form: str) -> None:
    """No tokens; NaN; I23; shapes."""
    run: Any = selective_scan.in_form(form)
    given = selective(0)
    y, state = run(**given)
    assert y.shape == (2, 0, 4)
    assert torch.equal(state, given["initial_state"])
    given = selective(20)
    whole, end = run(**given)
    cut = ("x", "dt", "b", "c")
    first, middle = run(**{name: one[:, :7] if name in cut else one for name, one in given.items()})
    rest = {name: one[:, 7:] if name in cut else one for name, one in given.items()}
    second, last = run(**{**rest, "initial_state": middle})
    torch.testing.assert_close(torch.cat((first, second), 1), whole)
    torch.testing.assert_close(last, end)
    given["x"][0, 9, 0] = torch.nan
    y, _ = run(**given)
    torch.testing.assert_close(y[:, :9], whole[:, :9])
    assert y[0, 9:, 0].isnan().all()
    torch.testing.assert_close(y[1], whole[1])
    with pytest.raises(InvalidInput, match=r"\(2, 20, 4\)"):
        run(**{**given, "dt": given["dt"][:, :3]})
    with pytest.raises(InvalidInput, match=r"\(2, 4\)"):
        run(**{**given, "initial_state": given["x"][:, 0]})
