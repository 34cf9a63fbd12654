"""The Omega rule: chunks against the Gram form against autograd, streaming, and what it is at its limits."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.momentum import titans
from remanence.kernels.sequence.newton_schulz import newton_schulz
from remanence.kernels.sequence.omega import chunk_omega, naive_recurrent_omega, omega, window_gram
from remanence.kernels.sequence.update import Loss, UpdateState, naive_update, start
from tests.kernels.sequence.updates import assert_equal, cut, draw, everything, flat, inputs, random_state

MUON = partial(newton_schulz, steps=5)


def matrix(tensors: dict[str, Any], seed: int = 5) -> Tensor:
    k, v = tensors["k"], tensors["v"]
    return draw(k.shape[0], k.shape[2], k.shape[3], v.shape[3], seed=seed, dtype=k.dtype)


def oracle(initial_state: UpdateState, **arguments: Any) -> tuple[Tensor, UpdateState]:
    post = arguments.pop("post", None) or (lambda s: s)
    return naive_update(state=initial_state, grad_at="chunk_start", post=post, **arguments)


@pytest.mark.parametrize(("length", "size"), [(1, 16), (5, 1), (5, 5), (63, 16), (75, 75), (75, 5), (10, 64)])
@pytest.mark.parametrize("window", [1, 4, 20])
@pytest.mark.parametrize("muon", [False, True])
def test_chunks_windows_and_autograd_agree(length: int, size: int, window: int, muon: bool) -> None:
    """I1, I15 (the Gram form is the loop over the window): from the middle of a stream, with all gradients."""
    if muon and length > 20:
        length, size = 21, min(size, 8)
    tensors = inputs(length)
    state, held = random_state((matrix(tensors),), tensors, offset=3, pairs=window - 1)
    arguments = {
        **tensors,
        "initial_state": state,
        "chunk_size": size,
        "window": window,
        "post": MUON if muon else None,
    }
    chunk = everything(chunk_omega, arguments, held)
    assert_equal(chunk, everything(naive_recurrent_omega, arguments, held), 1e-9 if muon else 1e-10)
    if length < 20:
        assert_equal(chunk, everything(oracle, {**arguments, "loss": "squared"}, held), 1e-9 if muon else 1e-10)


@pytest.mark.parametrize("loss", ["squared", "l2", "dot"])
@pytest.mark.parametrize("left_out", [(), ("eta",), ("gamma",), ("rate",), ("eta", "g", "theta", "gamma", "rate")])
def test_every_loss_and_every_gate_that_is_left_out(loss: Loss, left_out: tuple[str, ...]) -> None:
    tensors = {name: one for name, one in inputs(9).items() if name not in left_out}
    state, held = random_state((matrix(tensors),), tensors, offset=2, pairs=2)
    arguments = {**tensors, "initial_state": state, "chunk_size": 4, "loss": loss, "scale": 0.7, "window": 3}
    wanted = everything(oracle, arguments, held)
    assert_equal(everything(chunk_omega, arguments, held), wanted)
    assert_equal(everything(naive_recurrent_omega, arguments, held), wanted)


@pytest.mark.parametrize("muon", [False, True])
def test_single_precision(muon: bool) -> None:
    single = inputs(40, dtype=torch.float32)
    state, held = random_state((matrix(single),), single)
    arguments = {**single, "initial_state": state, "chunk_size": 16, "window": 8, "post": MUON if muon else None}
    found, wanted = everything(chunk_omega, arguments, held), everything(naive_recurrent_omega, arguments, held)
    # Five steps of Newton-Schulz multiply what is rounded in a small singular value by 3.4445 ** 5 = 485.
    assert_equal(found[:7], wanted[:7], 2e-3 if muon else 1e-4)
    assert_equal(found[7:], wanted[7:], 5e-2 if muon else 1e-3)


def test_a_window_of_one_token_is_titans() -> None:
    """I15: with c = 1 and gamma 1 it is Titans, with momentum and without."""
    tensors = {name: one for name, one in inputs(20).items() if name not in ("gamma", "rate")}
    for left_out in ("", "eta"):
        given = {name: one for name, one in tensors.items() if name != left_out}
        state, held = random_state((matrix(tensors),), tensors, offset=2)
        arguments = {**given, "initial_state": state, "chunk_size": 8}
        assert_equal(everything(partial(chunk_omega, window=1), arguments, held), everything(titans, arguments, held))


def test_the_window_is_of_the_last_c_pairs() -> None:
    """I15: tokens by hand, from the pairs themselves; one token more or fewer in the window is something else."""
    tensors = {name: one.detach() for name, one in inputs(12).items()}
    q, k, v, theta, gamma = (tensors[name] for name in ("q", "k", "v", "theta", "gamma"))
    memory, outputs, c = matrix(tensors), [], 4
    initial = start((memory,), k, v)
    for t in range(12):
        u = torch.zeros_like(memory)
        for i in range(max(0, t - c + 1), t + 1):
            said = torch.einsum("bhkv,bhk->bhv", memory, k[:, i])
            u = u + torch.einsum("bh,bhk,bhv->bhkv", gamma[:, i], k[:, i], 2 * (said - v[:, i]))
        memory = memory - theta[:, t, :, None, None] * u
        outputs.append(torch.einsum("bhkv,bhk->bhv", memory, q[:, t]))
    wanted = torch.stack(outputs, 1)
    for form in ("recurrent", "chunk"):
        for window in (c - 1, c, c + 1):
            given = {"theta": theta, "gamma": gamma, "chunk_size": 1, "initial_state": initial}
            o, _ = omega.in_form(form)(q, k, v, window=window, **given)
            assert bool((o - wanted).abs().max() < 1e-12) == (window == c)


def test_the_hebbian_loss_with_a_window_is_sliding_window_linear_attention() -> None:
    """M_t = M_{t-1} + sum over the window of k_i v_i^T: a pair counts once for each window that it was in."""
    tensors = {name: one.detach() for name, one in inputs(10).items()}
    q, k, v = (tensors[name] for name in ("q", "k", "v"))
    for window in (1, 4):
        o, _ = omega(q, k, v, loss="dot", window=window, chunk_size=4)
        times = torch.tensor([[min(t - i + 1, window) if i <= t else 0 for i in range(10)] for t in range(10)])
        scores = torch.einsum("bthk,bnhk->bhtn", q, k) * times
        torch.testing.assert_close(o, torch.einsum("bhtn,bnhv->bthv", scores, v), rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", ["recurrent", "chunk"])
@pytest.mark.parametrize("cuts", [(7,), (1, 2, 3, 33), (16,)])
@pytest.mark.parametrize("muon", [False, True])
def test_a_stream_may_be_cut_anywhere(form: str, cuts: tuple[int, ...], muon: bool) -> None:
    """I23: with the pairs of the window carried over, and gradients through the state."""
    length = 20 if muon else 34
    tensors = inputs(length)
    post = MUON if muon else None

    def run(**arguments: Any) -> tuple[Tensor, UpdateState | None]:
        state, outputs = arguments.pop("initial_state"), []
        for first, last in pairwise((0, *(one for one in cuts if one < length), length)):
            part = {**cut(arguments, first, last), "chunk_size": 16, "window": 6, "post": post}
            o, state = omega.in_form(form)(**part, initial_state=state)
            outputs.append(o)
        return torch.cat(outputs, 1), state

    state, held = random_state((matrix(tensors),), tensors, offset=5)
    given = {**tensors, "initial_state": state}
    whole = everything(partial(chunk_omega, chunk_size=16, window=6, post=post), given, held)
    assert_equal(everything(run, given, held), whole, 1e-9 if muon else 1e-10)


def test_a_window_that_is_lost_between_calls_would_be_noticed() -> None:
    tensors = {name: one.detach() for name, one in inputs(34).items()}
    whole, _ = omega(**tensors, chunk_size=16, window=6)
    _, state = omega(**cut(tensors, 0, 7), chunk_size=16, window=6)
    assert state is not None
    assert state.keys.shape[1] == 5
    wrong = UpdateState(
        **{**vars(state), **{name: getattr(state, name)[:, :0] for name in ("keys", "values", "weights")}}
    )
    rest, _ = omega(**cut(tensors, 7, 34), chunk_size=16, window=6, initial_state=wrong)
    assert (rest - whole[:, 7:]).abs().max() > 1e-3


def test_a_state_with_more_pairs_or_padded_ones_does_the_same() -> None:
    tensors = {name: one.detach() for name, one in inputs(9).items()}
    state, _ = random_state((matrix(tensors),), tensors, pairs=3)
    plain, _ = omega(**tensors, window=4, initial_state=state)
    padded = UpdateState(**{
        **vars(state),
        **{name: torch.cat((torch.zeros_like(getattr(state, name)), getattr(state, name)), 1)
           for name in ("keys", "values", "weights")},
    })  # fmt: skip
    for window in (4, 7):
        same, _ = omega(**tensors, window=window, initial_state=padded)
        other, _ = omega(**tensors, window=window, initial_state=state)
        torch.testing.assert_close(same, other, rtol=0, atol=1e-12)
    assert plain.shape == (2, 9, 2, 3)


def test_a_step_below_the_inverse_of_the_largest_eigenvalue_does_not_diverge_and_a_large_one_does() -> None:
    k = torch.nn.functional.normalize(draw(1, 60, 1, 8) + 2, dim=-1)
    v = draw(1, 60, 1, 4, seed=1)
    eigenvalues = []
    for t in range(60):
        seen = slice(max(0, t - 15), t + 1)
        gram, _ = window_gram(k[:, seen], v[:, seen], torch.ones_like(k[:, seen, :, 0]))
        eigenvalues.append(float(torch.linalg.eigvalsh(gram).max()))
    largest = max(eigenvalues)
    sizes = {}
    for name, step in (("safe", 1 / largest), ("large", 4 / largest)):
        theta = torch.full((1, 60, 1), step, dtype=torch.float64)
        _, state = omega(k, k, v, theta=theta, window=16, loss="l2", chunk_size=1)
        assert state is not None
        sizes[name] = float(state.parameters[0].norm())
    assert sizes["safe"] < 50
    assert sizes["large"] > 1e6


@pytest.mark.parametrize("form", ["recurrent", "chunk"])
def test_nothing_to_do_changes_nothing(form: str) -> None:
    tensors = inputs(0)
    state, _ = random_state((matrix(tensors),), tensors, offset=3, pairs=3)
    o, kept = omega.in_form(form)(**tensors, initial_state=state, window=4, post=MUON)
    assert o.shape == (2, 0, 2, 3)
    assert_equal(flat(o, kept), flat(o, state), 0)
    assert omega.in_form(form)(**inputs(7, batch=0), window=4, post=MUON)[0].shape == (0, 7, 2, 3)
    assert omega.in_form(form)(**inputs(3), output_final_state=False)[1] is None


@pytest.mark.parametrize("form", ["recurrent", "chunk"])
def test_nan_is_not_hidden(form: str) -> None:
    tensors = {name: one.detach() for name, one in inputs(12).items()}
    tensors["k"][0, 6, 0] = torch.nan
    o, _ = omega.in_form(form)(**tensors, chunk_size=4, window=3)
    assert o[0, 6:, 0].isnan().any(-1).all()
    assert o[0, :6].isfinite().all()
    assert o[1].isfinite().all()


def test_arguments_that_do_not_fit_are_told() -> None:
    tensors = {name: one.detach() for name, one in inputs(5).items()}
    with pytest.raises(InvalidInput, match="window 0"):
        omega(**tensors, window=0)
    with pytest.raises(InvalidInput, match=r"gamma must be .*\(2, 4, 2\)"):
        omega(**{**tensors, "gamma": tensors["gamma"][:, :4]})
    state, _ = random_state((matrix(tensors),), inputs(5, key=4, value=2), pairs=3)
    with pytest.raises(InvalidInput, match="the pairs of the state"):
        omega(**tensors, initial_state=state)
