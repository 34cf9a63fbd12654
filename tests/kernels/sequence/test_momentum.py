"""Titans' matrix memory: chunks against tokens against autograd, streaming, and what it is at its limits."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.momentum import chunk_titans, naive_recurrent_titans, titans
from remanence.kernels.sequence.update import Loss, UpdateState, naive_update, start
from tests.kernels.sequence.updates import assert_equal, cut, draw, everything, flat, inputs, random_state

USED = ("q", "k", "v", "theta", "eta", "g")


def given(length: int, dtype: torch.dtype = torch.float64, **sizes: int) -> dict[str, Any]:
    made = inputs(length, dtype=dtype, **sizes)
    return {name: made[name] for name in USED}


def matrix(tensors: dict[str, Any], seed: int = 5) -> Tensor:
    k, v = tensors["k"], tensors["v"]
    return draw(k.shape[0], k.shape[2], k.shape[3], v.shape[3], seed=seed, dtype=k.dtype)


def oracle(initial_state: UpdateState, **arguments: Any) -> tuple[Tensor, UpdateState]:
    return naive_update(state=initial_state, grad_at="chunk_start", **arguments)


@pytest.mark.parametrize(("length", "size"), [(1, 16), (5, 1), (5, 5), (63, 16), (75, 75), (75, 5), (10, 64)])
@pytest.mark.parametrize("offset", [0, 3])
def test_chunks_tokens_and_autograd_agree(length: int, size: int, offset: int) -> None:
    """I1, I6: outputs, states and all gradients, from the middle of a stream, also by M_0, S_0 and the anchor."""
    tensors = given(length)
    state, held = random_state((matrix(tensors),), tensors, offset=offset)
    arguments = {**tensors, "initial_state": state, "chunk_size": size}
    chunk = everything(chunk_titans, arguments, held)
    assert_equal(chunk, everything(naive_recurrent_titans, arguments, held))
    if length < 20:
        assert_equal(chunk, everything(oracle, {**arguments, "loss": "squared"}, held))


@pytest.mark.parametrize("loss", ["squared", "l2", "dot"])
@pytest.mark.parametrize("left_out", [(), ("eta",), ("g",), ("theta",), ("eta", "g", "theta")])
def test_every_loss_and_every_gate_that_is_left_out(loss: Loss, left_out: tuple[str, ...]) -> None:
    tensors = {name: one for name, one in given(9).items() if name not in left_out}
    state, held = random_state((matrix(tensors),), tensors, offset=2)
    arguments = {**tensors, "initial_state": state, "chunk_size": 4, "loss": loss, "scale": 0.7}
    wanted = everything(oracle, arguments, held)
    assert_equal(everything(chunk_titans, arguments, held), wanted)
    assert_equal(everything(naive_recurrent_titans, arguments, held), wanted)


def test_single_precision_and_half() -> None:
    single = given(75, torch.float32)
    state, held = random_state((matrix(single),), single)
    arguments = {**single, "initial_state": state, "chunk_size": 16}
    found, wanted = everything(chunk_titans, arguments, held), everything(naive_recurrent_titans, arguments, held)
    assert_equal(found[:8], wanted[:8], 1e-4)
    assert_equal(found[8:], wanted[8:], 1e-3)
    half = {name: one.detach().bfloat16() for name, one in single.items()}
    o, kept = titans(**half)
    assert o.dtype == torch.bfloat16
    assert kept is not None
    assert kept.parameters[0].dtype == torch.float32


def test_chunks_of_one_token_are_the_token_recurrence() -> None:
    """I6: with one token to a chunk the gradient is taken at M_{t-1}."""
    tensors = given(12)
    wanted, state = naive_update(
        **tensors, state=start((matrix(tensors),), tensors["k"], tensors["v"]), grad_at="previous", loss="squared"
    )
    o, found = chunk_titans(
        **tensors, chunk_size=1, initial_state=start((matrix(tensors),), tensors["k"], tensors["v"])
    )
    torch.testing.assert_close(o, wanted, rtol=0, atol=1e-12)
    assert found is not None
    torch.testing.assert_close(found.parameters[0], state.parameters[0], rtol=0, atol=1e-12)
    frozen, _ = chunk_titans(
        **tensors, chunk_size=12, initial_state=start((matrix(tensors),), tensors["k"], tensors["v"])
    )
    assert (frozen - wanted).norm() / wanted.norm() > 1e-2


def test_without_momentum_and_decay_it_is_the_delta_rule() -> None:
    """I5: eta = 0, alpha = 1, theta = beta / 2 with the squared loss is DeltaNet(beta)."""
    tensors = given(20)
    q, k, v, theta = (tensors[name].detach() for name in ("q", "k", "v", "theta"))
    beta = 2 * theta
    memory, outputs = matrix(tensors), []
    for t in range(20):
        pseudo = v[:, t] - torch.einsum("bhkv,bhk->bhv", memory, k[:, t])
        memory = memory + torch.einsum("bh,bhk,bhv->bhkv", beta[:, t], k[:, t], pseudo)
        outputs.append(torch.einsum("bhkv,bhk->bhv", memory, q[:, t]))
    for form in ("recurrent", "chunk"):
        initial = start((matrix(tensors),), k, v)
        o, _ = titans.in_form(form)(q, k, v, theta=theta, chunk_size=1, initial_state=initial)
        torch.testing.assert_close(o, torch.stack(outputs, 1), rtol=0, atol=1e-12)
        zero = torch.zeros_like(theta)
        o, _ = titans.in_form(form)(q, k, v, theta=theta, eta=zero, g=zero, chunk_size=1, initial_state=initial)
        torch.testing.assert_close(o, torch.stack(outputs, 1), rtol=0, atol=1e-12)


def test_it_is_not_the_gated_delta_rule_where_something_decays() -> None:
    """I4: Titans takes its gradient at M_{t-1}, Gated DeltaNet at alpha_t M_{t-1}: they differ unless alpha is 1."""
    tensors = {name: one.detach() for name, one in given(12).items() if name != "eta"}
    tensors["g"] = tensors["g"] - 0.5
    for g, apart in ((tensors["g"], True), (torch.zeros_like(tensors["g"]), False)):
        initial = start((matrix(tensors),), tensors["k"], tensors["v"])
        mine, _ = titans(**{**tensors, "g": g}, initial_state=initial, chunk_size=1)
        theirs, _ = naive_update(**{**tensors, "g": g}, state=initial, grad_at="decayed", loss="squared")
        distance = float((mine - theirs).norm() / theirs.norm())
        assert (distance > 1e-2) if apart else (distance < 1e-12)


@pytest.mark.parametrize("form", ["recurrent", "chunk"])
@pytest.mark.parametrize("cuts", [(7,), (16,), (3, 4, 20), (1, 2, 3, 33)])
def test_a_stream_may_be_cut_anywhere(form: str, cuts: tuple[int, ...]) -> None:
    """I23, with gradients through the state."""
    tensors = given(34)

    def run(**arguments: Any) -> tuple[Tensor, UpdateState | None]:
        state, outputs = arguments.pop("initial_state"), []
        for first, last in pairwise((0, *cuts, 34)):
            o, state = titans.in_form(form)(**cut(arguments, first, last), initial_state=state, chunk_size=16)
            outputs.append(o)
        return torch.cat(outputs, 1), state

    state, held = random_state((matrix(tensors),), tensors, offset=5)
    whole = everything(chunk_titans, {**tensors, "initial_state": state, "chunk_size": 16}, held)
    assert_equal(everything(run, {**tensors, "initial_state": state}, held), whole)


def test_a_state_that_forgot_where_in_the_chunk_it_is_would_be_noticed() -> None:
    tensors = {name: one.detach() for name, one in given(34).items()}
    whole, _ = titans(**tensors, chunk_size=16)
    _, state = titans(**cut(tensors, 0, 7), chunk_size=16)
    assert state is not None
    assert state.offset == 7
    wrong = UpdateState(**{**vars(state), "offset": 0})
    rest, _ = titans(**cut(tensors, 7, 34), chunk_size=16, initial_state=wrong)
    assert (rest - whole[:, 7:]).abs().max() > 1e-3


def test_momentum_that_is_zero_or_negative_and_a_memory_that_is_emptied() -> None:
    tensors = given(20)
    eta, g = tensors["eta"].detach().clone(), tensors["g"].detach().clone()
    eta[:, 3] = 0
    eta[:, 5:8] = 0
    eta[:, 9] = -0.5
    g[:, 11] = -torch.inf
    tensors["eta"], g = eta.requires_grad_(), g.requires_grad_()
    state, held = random_state((matrix(tensors),), tensors, offset=2)
    arguments = {**tensors, "g": g, "initial_state": state, "chunk_size": 8}
    found = everything(chunk_titans, arguments, held)
    assert_equal(found, everything(naive_recurrent_titans, arguments, held))
    assert all(bool(torch.isfinite(one).all()) for one in found)


def test_strong_decay_stays_exact_in_single_precision() -> None:
    tensors = {name: one.detach() for name, one in given(40, torch.float32).items()}
    tensors["g"] = -50 * tensors["theta"]
    o, _ = chunk_titans(**tensors, chunk_size=16)
    wanted, _ = naive_recurrent_titans(**tensors, chunk_size=16)
    torch.testing.assert_close(o, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", ["recurrent", "chunk"])
def test_nothing_to_do_changes_nothing(form: str) -> None:
    tensors = given(0)
    state, _ = random_state((matrix(tensors),), tensors, offset=3)
    o, kept = titans.in_form(form)(**tensors, initial_state=state)
    assert o.shape == (2, 0, 2, 3)
    assert_equal(flat(o, kept), flat(o, state), 0)
    o, kept = titans.in_form(form)(**given(7, batch=0))
    assert o.shape == (0, 7, 2, 3)
    o, kept = titans.in_form(form)(**given(3), output_final_state=False)
    assert kept is None


@pytest.mark.parametrize("form", ["recurrent", "chunk"])
def test_nan_is_not_hidden(form: str) -> None:
    tensors = {name: one.detach() for name, one in given(12).items()}
    tensors["v"][0, 6, 0] = torch.nan
    o, _ = titans.in_form(form)(**tensors, chunk_size=4)
    assert o[0, 6:, 0].isnan().any(-1).all()
    assert o[0, :6].isfinite().all()
    assert o[1].isfinite().all()
    assert o[0, :, 1].isfinite().all()


def test_a_padded_token_changes_no_memory() -> None:
    """I24: with theta, eta and g 0, M stays as it is, bit by bit."""
    tensors = {name: one.detach() for name, one in given(1).items()}
    state, _ = random_state((matrix(tensors),), tensors)
    still = {**tensors, "theta": tensors["theta"] * 0, "eta": tensors["eta"] * 0, "g": tensors["g"] * 0}
    _, kept = titans(**still, initial_state=state)
    assert kept is not None
    assert torch.equal(kept.parameters[0], state.parameters[0])


def test_shapes_that_do_not_fit_are_told() -> None:
    tensors = {name: one.detach() for name, one in given(5).items()}
    for wrong, match in (
        ({"k": tensors["k"][:, :4]}, r"\(2, 4, 2, 4\)"),
        ({"v": tensors["v"][:, :, :1]}, r"\(2, 5, 1, 3\)"),
        ({"theta": tensors["theta"][..., None].expand(2, 5, 2, 4)}, r"theta must be \[B, T, H\].*\(2, 5, 2, 4\)"),
        ({"eta": tensors["eta"][:, :3]}, r"eta .*\(2, 3, 2\)"),
    ):
        with pytest.raises(InvalidInput, match=match):
            titans(**{**tensors, **wrong})
    with pytest.raises(InvalidInput, match=r"lead from K to V.*\(2, 2, 3, 4\)"):
        titans(**tensors, initial_state=start((matrix(tensors).mT,), tensors["k"], tensors["v"]))
    with pytest.raises(InvalidInput, match="chunk_size 0"):
        titans(**tensors, chunk_size=0)
    with pytest.raises(InvalidInput, match=r"'l1'.*squared"):
        titans(**tensors, loss="l1")  # type: ignore[arg-type]
