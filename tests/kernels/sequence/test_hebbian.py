from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.hebbian import hebbian, normalized_hebbian
from remanence.kernels.sequence.update import naive_update, start
from tests.kernels.sequence.pairs import Decay, difference, inputs, outcome, saved

DECAYS: tuple[Decay, ...] = ("none", "token", "channel")
recurrent, chunk = hebbian.in_form("recurrent"), hebbian.in_form("chunk")


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("length", [1, 5, 63, 75])
def test_chunks_give_what_the_recurrence_gives(length: int, decay: Decay) -> None:
    """I1: outputs, final states and all gradients, for chunks that divide the length and such that do not."""
    given = inputs(length, decay=decay)
    wanted = outcome(recurrent, given)
    for size in {1, 5, 16, length}:
        assert difference(outcome(chunk, given, chunk_size=size), wanted) < 1e-10


@pytest.mark.parametrize("decay", DECAYS)
def test_chunks_give_what_the_recurrence_gives_in_single_precision(decay: Decay) -> None:
    """I1 in float32."""
    given = inputs(75, decay=decay, dtype=torch.float32)
    assert difference(outcome(chunk, given), outcome(recurrent, given)) < 1e-4


@pytest.mark.parametrize("decay", DECAYS)
def test_it_is_the_update_for_the_dot_product(decay: Decay) -> None:
    given = inputs(9, decay=decay)
    q, k, v, beta, state = (given[name] for name in ("q", "k", "v", "beta", "initial_state"))
    begin = start((state,), k, v)
    o, end = naive_update(q, k, v, state=begin, loss="dot", g=given.get("g"), theta=beta, scale=6**-0.5)
    found, found_end = recurrent(**given)
    torch.testing.assert_close(found, o)
    torch.testing.assert_close(found_end, end.parameters[0])


def test_without_decay_it_is_causal_attention_without_softmax() -> None:
    """I2: tril(Q K^T) V."""
    given = inputs(20)
    q, k, v = (given[name].movedim(1, 2) for name in "qkv")
    wanted = ((q @ k.mT).tril() @ v).movedim(1, 2)
    for form in (recurrent, chunk):
        torch.testing.assert_close(form(given["q"], given["k"], given["v"], scale=1.0)[0], wanted)


@pytest.mark.parametrize("form", hebbian.forms)
def test_equal_decay_of_all_channels_is_one_decay(form: str) -> None:
    """I3, for the Hebbian rule."""
    given = inputs(40, decay="token")
    by_channel = {**given, "g": given["g"].unsqueeze(-1).expand(given["k"].shape)}
    run = hebbian.in_form(form)
    torch.testing.assert_close(run(**by_channel), run(**given), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", hebbian.forms)
def test_orthonormal_keys_are_recalled_exactly(form: str) -> None:
    """I9."""
    keys = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    k, v = keys.view(1, 8, 1, 8), inputs(8, batch=1, heads=1)["v"]
    _, state = hebbian.in_form(form)(k, k, v)
    assert state is not None
    torch.testing.assert_close(torch.einsum("bhkv,bthk->bthv", state, k), v, rtol=0, atol=1e-12)


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("form", hebbian.forms)
def test_splitting_anywhere_changes_nothing(form: str, decay: Decay) -> None:
    """I23: for all points between two tokens, and before and after all."""
    given = inputs(12, decay=decay)
    state = given.pop("initial_state")
    run = hebbian.in_form(form)
    whole, end = run(**given, initial_state=state, chunk_size=5)
    for split in range(13):
        first, middle = run(**{name: one[:, :split] for name, one in given.items()}, initial_state=state)
        second, last = run(**{name: one[:, split:] for name, one in given.items()}, initial_state=middle)
        torch.testing.assert_close(torch.cat((first, second), 1), whole, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(last, end, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("decay", ["token", "channel"])
@pytest.mark.parametrize("form", hebbian.forms)
def test_a_token_without_strength_and_decay_leaves_the_state(form: str, decay: Decay) -> None:
    """I24: bit for bit token by token; by chunks up to the order of sums."""
    given = inputs(10, decay=decay)
    _, wanted = hebbian.in_form(form)(**given)
    state = given.pop("initial_state")
    noop = {name: torch.full_like(one[:, :3], name in ("q", "k", "v")) for name, one in given.items()}
    padded: dict[str, Any] = {name: torch.cat((one[:, :4], noop[name], one[:, 4:]), 1) for name, one in given.items()}
    _, found = hebbian.in_form(form)(**padded, initial_state=state)
    tolerance = 0 if form == "recurrent" else 1e-13
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("form", hebbian.forms)
@pytest.mark.parametrize("decay", ["token", "channel"])
def test_minus_infinity_empties_the_memory(form: str, decay: Decay) -> None:
    given = inputs(40, decay=decay)
    given["g"][:, 20] = -torch.inf
    run = hebbian.in_form(form)
    o, end = run(**given)
    state = given.pop("initial_state")
    alone, alone_end = run(**{name: one[:, 20:] for name, one in given.items()})
    torch.testing.assert_close(o[:, 20:], alone)
    torch.testing.assert_close(end, alone_end)
    gradients = outcome(run, {**given, "initial_state": state})
    assert difference(gradients, outcome(recurrent, {**given, "initial_state": state})) < 1e-10


@pytest.mark.parametrize("decay", ["token", "channel"])
def test_strong_decay_does_not_overflow_in_single_precision(decay: Decay) -> None:
    """g of -50 at nearly every token: sums of it are far outside of what exp can take, with either sign."""
    given = inputs(130, decay=decay)
    weak = torch.rand(given["g"].shape, generator=torch.Generator().manual_seed(2)) < 0.2
    given["g"] = torch.full_like(given["g"], -50.0).where(~weak, -0.01)
    wanted = outcome(recurrent, given)
    found = outcome(chunk, {name: one.float() for name, one in given.items()})
    assert difference({name: one.double() for name, one in found.items()}, wanted) < 1e-5


def test_what_is_kept_for_the_gradient_is_linear_in_time() -> None:
    for decay in DECAYS:
        short, long = (saved(chunk, inputs(length, decay=decay), chunk_size=16) for length in (128, 512))
        assert long < 4.2 * short


@pytest.mark.parametrize("form", hebbian.forms)
def test_no_tokens_and_no_sequences(form: str) -> None:
    given = inputs(0, decay="token")
    o, state = hebbian.in_form(form)(**given)
    assert o.shape == (2, 0, 2, 5)
    assert state is not None
    assert torch.equal(state, given["initial_state"])
    o, state = hebbian.in_form(form)(**inputs(7, decay="channel", batch=0))
    assert o.shape == (0, 7, 2, 5)
    assert state is not None
    assert state.shape == (0, 2, 6, 5)


@pytest.mark.parametrize("form", hebbian.forms)
def test_low_precision_is_a_matter_of_inputs_and_outputs_alone(form: str) -> None:
    given = {name: one.bfloat16() for name, one in inputs(40, decay="token").items()}
    run = hebbian.in_form(form)
    o, state = run(**given)
    assert o.dtype == torch.bfloat16
    assert state is not None
    assert state.dtype == torch.float32
    wanted, wanted_state = run(**{name: one.float() for name, one in given.items()})
    assert torch.equal(o, wanted.bfloat16())
    assert wanted_state is not None
    assert torch.equal(state, wanted_state)


@pytest.mark.parametrize("form", hebbian.forms)
def test_autocast_changes_nothing(form: str) -> None:
    """Sums over a long past do not survive bfloat16."""
    given = inputs(40, decay="token", dtype=torch.float32)
    run = hebbian.in_form(form)
    wanted = run(**given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = run(**given)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["q", "k", "v", "beta", "g"])
@pytest.mark.parametrize("decay", ["token", "channel"])
@pytest.mark.parametrize("form", hebbian.forms)
def test_nan_shows_from_its_token_on_and_not_before(form: str, decay: Decay, name: str) -> None:
    given = inputs(40, decay=decay)
    wanted, _ = recurrent(**given)
    given[name][1, 20, 0] = torch.nan
    o, state = hebbian.in_form(form)(**given, chunk_size=16)
    assert state is not None
    after = slice(20, 21) if name == "q" else slice(20, None)
    assert o[1, after, 0].isnan().all()
    assert state[1, 0].isnan().all() == (name != "q")
    o[1, after, 0] = wanted[1, after, 0]
    torch.testing.assert_close(o, wanted)
    assert state[0].isfinite().all()
    assert state[1, 1].isfinite().all()


def test_the_state_is_left_out_where_it_is_not_wanted() -> None:
    for form in hebbian.forms:
        assert hebbian.in_form(form)(**inputs(3), output_final_state=False)[1] is None
        assert hebbian.in_form(form)(**inputs(0), output_final_state=False)[1] is None


@pytest.mark.parametrize("form", hebbian.forms)
@pytest.mark.parametrize(
    ("name", "shape", "told"),
    [
        ("q", (2, 3, 2, 7), "(2, 3, 2, 7)"),
        ("v", (2, 4, 2, 5), "(2, 4, 2, 5)"),
        ("beta", (2, 3, 2, 6), "beta must be [B, T, H]"),
        ("g", (2, 3), "g must be [B, T, H] or [B, T, H, K]"),
        ("initial_state", (2, 2, 5, 6), "(2, 2, 6, 5)"),
    ],
)
def test_shapes_that_do_not_fit_are_told(form: str, name: str, shape: tuple[int, ...], told: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        hebbian.in_form(form)(**{**inputs(3, decay="token"), name: torch.zeros(shape)})
    assert told in str(raised.value)


def test_a_chunk_has_a_token() -> None:
    with pytest.raises(InvalidInput, match="chunk_size 0"):
        chunk(**inputs(3), chunk_size=0)


def test_a_form_that_is_not_there_is_told() -> None:
    with pytest.raises(InvalidInput, match="hebbian has no form 'fast'; it has auto, recurrent, chunk"):
        hebbian.in_form("fast")


@pytest.mark.parametrize("form", ["auto", "recurrent", "chunk"])
@pytest.mark.parametrize("decay", DECAYS)
def test_normalized_reading_is_a_weighted_mean_of_the_values(form: str, decay: Decay) -> None:
    given = inputs(20, decay=decay)
    del given["initial_state"]
    given["q"], given["k"] = (functional.elu(given[name]) + 1 for name in "qk")
    wanted = torch.stack(
        [
            torch.stack([_mean(given, row, t) for t in range(20)])
            for row in range(2)
        ]
    )  # fmt: skip
    o, state = normalized_hebbian(**given, form=form)
    torch.testing.assert_close(o, wanted)
    same, _ = normalized_hebbian(**{**given, "v": torch.full_like(given["v"], 3.0)}, form=form)
    torch.testing.assert_close(same, torch.full_like(same, 3.0))
    assert state is not None
    assert state.shape == (2, 2, 6, 6)


def _mean(given: dict[str, torch.Tensor], row: int, t: int) -> torch.Tensor:
    """Of one sequence at one token, [H, V]: weights are kernels of query and key, strength, and decay since."""
    q, k, v, beta = (given[name][row] for name in ("q", "k", "v", "beta"))
    outputs = []
    for head in range(2):
        weights = []
        for i in range(t + 1):
            since = given["g"][row, i + 1 : t + 1, head].sum(0).exp() if "g" in given else torch.ones(())
            weights.append(beta[i, head] * (q[t, head] * since * k[i, head]).sum())
        outputs.append(torch.stack(weights) @ v[: t + 1, head] / torch.stack(weights).sum())
    return torch.stack(outputs)
