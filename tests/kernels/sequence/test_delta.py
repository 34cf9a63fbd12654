from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.delta import Compared, gated_delta_rule
from remanence.kernels.sequence.hebbian import hebbian
from remanence.kernels.sequence.update import naive_update, start
from tests.kernels.sequence.pairs import Decay, difference, inputs, outcome, saved

DECAYS: tuple[Decay, ...] = ("none", "token", "channel")
COMPARED: tuple[Compared, ...] = ("decayed", "previous")
recurrent, chunk = gated_delta_rule.in_form("recurrent"), gated_delta_rule.in_form("chunk")


@pytest.mark.parametrize("grad_at", COMPARED)
@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("length", [1, 5, 63, 75])
def test_chunks_give_what_the_recurrence_gives(length: int, decay: Decay, grad_at: Compared) -> None:
    """I1: outputs, final states and all gradients, for chunks that divide the length and such that do not."""
    given = inputs(length, decay=decay)
    wanted = outcome(recurrent, given, grad_at=grad_at)
    for size in {1, 5, 16, length}:
        assert difference(outcome(chunk, given, chunk_size=size, grad_at=grad_at), wanted) < 1e-10


@pytest.mark.parametrize("decay", DECAYS)
def test_chunks_give_what_the_recurrence_gives_in_single_precision(decay: Decay) -> None:
    """I1 in float32."""
    given = inputs(75, decay=decay, dtype=torch.float32)
    assert difference(outcome(chunk, given), outcome(recurrent, given)) < 1e-4


@pytest.mark.parametrize("decay", DECAYS)
def test_strength_up_to_two_turns_the_sign_over(decay: Decay) -> None:
    given = inputs(75, decay=decay)
    given["beta"] = 2 * given["beta"]
    assert difference(outcome(chunk, given), outcome(recurrent, given)) < 1e-10


@pytest.mark.parametrize("grad_at", COMPARED)
@pytest.mark.parametrize("decay", DECAYS)
def test_it_is_the_update_for_the_squared_error(decay: Decay, grad_at: Compared) -> None:
    given = inputs(9, decay=decay)
    found, found_end = recurrent(**given, grad_at=grad_at)
    o, end = _update(given, grad_at)
    torch.testing.assert_close(found, o)
    torch.testing.assert_close(found_end, end)


def _update(given: dict[str, Tensor], grad_at: Compared) -> tuple[Tensor, Tensor]:
    q, k, v, beta, state = (given[name] for name in ("q", "k", "v", "beta", "initial_state"))
    o, end = naive_update(
        q, k, v, state=start((state,), k, v), grad_at=grad_at, g=given.get("g"), theta=beta, scale=6**-0.5
    )
    return o, end.parameters[0]


@pytest.mark.parametrize("form", gated_delta_rule.forms)
def test_without_decay_the_gate_is_not_there(form: str) -> None:
    """I2: g = 0 is DeltaNet."""
    given = inputs(40)
    run = gated_delta_rule.in_form(form)
    zeros = torch.zeros_like(given["beta"])
    torch.testing.assert_close(run(**given, g=zeros), run(**given), rtol=1e-12, atol=1e-12)


def test_with_the_dot_product_in_place_of_the_error_it_is_linear_attention() -> None:
    """I2: the same update, without what was there taken out."""
    given = inputs(9)
    q, k, v, beta, state = (given[name] for name in ("q", "k", "v", "beta", "initial_state"))
    o, _ = naive_update(q, k, v, state=start((state,), k, v), loss="dot", theta=beta, scale=6**-0.5)
    torch.testing.assert_close(hebbian(**given)[0], o)
    assert not torch.allclose(gated_delta_rule(**given)[0], o, rtol=1e-2)


@pytest.mark.parametrize("grad_at", COMPARED)
@pytest.mark.parametrize("form", gated_delta_rule.forms)
def test_equal_decay_of_all_channels_is_one_decay(form: str, grad_at: Compared) -> None:
    """I3: Kimi Delta Attention with equal gates is Gated DeltaNet."""
    given = inputs(40, decay="token")
    by_channel = {**given, "g": given["g"].unsqueeze(-1).expand(given["k"].shape)}
    found, wanted = (gated_delta_rule.in_form(form)(**one, grad_at=grad_at) for one in (by_channel, given))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", gated_delta_rule.forms)
def test_what_a_value_is_compared_with_matters_as_soon_as_something_decays(form: str) -> None:
    """I4: Gated DeltaNet erases alpha beta, the gradient step of Titans beta; without decay they are the same."""
    run = gated_delta_rule.in_form(form)
    given = inputs(40, decay="token")
    decayed, previous = (run(**given, grad_at=grad_at)[0] for grad_at in COMPARED)
    assert (decayed - previous).norm() / decayed.norm() > 1e-2
    given["g"].zero_()
    torch.testing.assert_close(run(**given, grad_at="previous"), run(**given), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", gated_delta_rule.forms)
def test_what_was_just_written_is_read_back_and_writing_it_twice_changes_nothing(form: str) -> None:
    """I8: with strength 1 and unit keys."""
    given = inputs(20)
    k, v, state = given["k"], given["v"], given["initial_state"]
    run = gated_delta_rule.in_form(form)
    o, end = run(k, k, v, scale=1.0, initial_state=state, chunk_size=8)
    torch.testing.assert_close(o, v, rtol=0, atol=1e-12)
    _, again = run(k[:, -1:], k[:, -1:], v[:, -1:], initial_state=end)
    torch.testing.assert_close(again, end, rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", gated_delta_rule.forms)
def test_orthonormal_keys_are_recalled_exactly(form: str) -> None:
    """I9: and the state is that of the Hebbian rule."""
    keys = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    k, v = keys.view(1, 8, 1, 8), inputs(8, batch=1, heads=1)["v"]
    _, state = gated_delta_rule.in_form(form)(k, k, v)
    assert state is not None
    torch.testing.assert_close(torch.einsum("bhkv,bthk->bthv", state, k), v, rtol=0, atol=1e-12)
    torch.testing.assert_close(state, hebbian(k, k, v)[1])


@pytest.mark.parametrize("grad_at", COMPARED)
@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("form", gated_delta_rule.forms)
def test_splitting_anywhere_changes_nothing(form: str, decay: Decay, grad_at: Compared) -> None:
    """I23: for all points between two tokens, and before and after all."""
    given = inputs(12, decay=decay)
    state = given.pop("initial_state")
    run = gated_delta_rule.in_form(form)
    whole, end = run(**given, initial_state=state, chunk_size=5, grad_at=grad_at)
    for split in range(13):
        before, after = ({name: one[:, at] for name, one in given.items()} for at in (slice(split), slice(split, None)))
        first, middle = run(**before, initial_state=state, grad_at=grad_at)
        second, last = run(**after, initial_state=middle, grad_at=grad_at)
        torch.testing.assert_close(torch.cat((first, second), 1), whole, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(last, end, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("decay", ["token", "channel"])
@pytest.mark.parametrize("form", gated_delta_rule.forms)
def test_a_token_without_strength_and_decay_leaves_the_state(form: str, decay: Decay) -> None:
    """I24: bit for bit token by token; by chunks up to the order of sums."""
    given = inputs(10, decay=decay)
    _, wanted = gated_delta_rule.in_form(form)(**given)
    state = given.pop("initial_state")
    noop = {name: torch.full_like(one[:, :3], name in ("q", "k", "v")) for name, one in given.items()}
    padded: dict[str, Any] = {name: torch.cat((one[:, :4], noop[name], one[:, 4:]), 1) for name, one in given.items()}
    _, found = gated_delta_rule.in_form(form)(**padded, initial_state=state)
    tolerance = 0 if form == "recurrent" else 1e-13
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("form", gated_delta_rule.forms)
@pytest.mark.parametrize("decay", ["token", "channel"])
def test_minus_infinity_empties_the_memory(form: str, decay: Decay) -> None:
    given = inputs(40, decay=decay)
    given["g"][:, 20] = -torch.inf
    run = gated_delta_rule.in_form(form)
    o, end = run(**given)
    found = outcome(run, given)
    assert difference(found, outcome(recurrent, given)) < 1e-10
    del given["initial_state"]
    alone, alone_end = run(**{name: one[:, 20:] for name, one in given.items()})
    torch.testing.assert_close(o[:, 20:], alone)
    torch.testing.assert_close(end, alone_end)


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


@pytest.mark.parametrize("form", gated_delta_rule.forms)
def test_no_tokens_and_no_sequences(form: str) -> None:
    given = inputs(0, decay="token")
    o, state = gated_delta_rule.in_form(form)(**given)
    assert o.shape == (2, 0, 2, 5)
    assert state is not None
    assert torch.equal(state, given["initial_state"])
    o, state = gated_delta_rule.in_form(form)(**inputs(7, decay="channel", batch=0))
    assert o.shape == (0, 7, 2, 5)
    assert state is not None
    assert state.shape == (0, 2, 6, 5)


@pytest.mark.parametrize("form", gated_delta_rule.forms)
def test_low_precision_is_a_matter_of_inputs_and_outputs_alone(form: str) -> None:
    given = {name: one.bfloat16() for name, one in inputs(40, decay="token").items()}
    run = gated_delta_rule.in_form(form)
    o, state = run(**given)
    wanted, wanted_state = run(**{name: one.float() for name, one in given.items()})
    assert o.dtype == torch.bfloat16
    assert torch.equal(o, wanted.bfloat16())
    assert state is not None
    assert wanted_state is not None
    assert torch.equal(state, wanted_state)


@pytest.mark.parametrize("form", gated_delta_rule.forms)
def test_autocast_changes_nothing(form: str) -> None:
    """Sums over a long past do not survive bfloat16."""
    given = inputs(40, decay="token", dtype=torch.float32)
    run = gated_delta_rule.in_form(form)
    wanted = run(**given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = run(**given)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["q", "k", "v", "beta", "g"])
@pytest.mark.parametrize("decay", ["token", "channel"])
@pytest.mark.parametrize("form", gated_delta_rule.forms)
def test_nan_shows_from_its_token_on_and_not_before(form: str, decay: Decay, name: str) -> None:
    given = inputs(40, decay=decay)
    wanted, _ = recurrent(**given)
    given[name][1, 20, 0] = torch.nan
    o, state = gated_delta_rule.in_form(form)(**given, chunk_size=16)
    assert state is not None
    after = slice(20, 21) if name == "q" else slice(20, None)
    assert o[1, after, 0].isnan().all()
    assert state[1, 0].isnan().all() == (name != "q")
    o[1, after, 0] = wanted[1, after, 0]
    torch.testing.assert_close(o, wanted)
    assert state[0].isfinite().all()
    assert state[1, 1].isfinite().all()


@pytest.mark.parametrize("form", gated_delta_rule.forms)
def test_what_does_not_fit_is_told(form: str) -> None:
    given = inputs(3, decay="token")
    run = gated_delta_rule.in_form(form)
    with pytest.raises(InvalidInput, match=r"k \(2, 3, 2, 9\)"):
        run(**{**given, "k": torch.zeros(2, 3, 2, 9)})
    with pytest.raises(InvalidInput, match=r"must be \[B, H, K, V\] = \(2, 2, 6, 5\)"):
        run(**{**given, "initial_state": torch.zeros(2, 2, 5, 6)})
    with pytest.raises(InvalidInput, match="grad_at 'chunk_start' is neither"):
        run(**given, grad_at="chunk_start")  # type: ignore[arg-type]
