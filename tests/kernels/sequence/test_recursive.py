"""Recursive least squares: it is the regression with a ridge that decays, and no other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.delta import gated_delta_rule
from remanence.kernels.sequence.recursive import (
    RecursiveState,
    chunk_least_squares,
    delete,
    gain,
    least_squares,
    naive_recurrent_least_squares,
    start,
)
from remanence.kernels.sequence.ridge import ridge
from tests.kernels.sequence.updates import assert_equal, cut, draw, inputs

LAM = 0.3


def given(length: int, dtype: torch.dtype = torch.float64, *, batch: int = 2) -> dict[str, Any]:
    made = inputs(length, dtype=dtype, batch=batch)
    return {"q": made["q"], "k": made["k"], "v": made["v"], "beta": made["gamma"], "g": made["g"]}


def held() -> RecursiveState:
    k = draw(2, 9, 2, 4, seed=30)
    p = torch.linalg.inv(torch.einsum("bnhk,bnhl->bhkl", k, k) + torch.eye(4, dtype=torch.float64))
    return RecursiveState(p.requires_grad_(), draw(2, 2, 4, 3, seed=31).requires_grad_())


def everything(run: Any, arguments: dict[str, Any], state: RecursiveState) -> list[Tensor]:
    o, final = run(**arguments, initial_state=state)
    results = [o, *final]
    total = torch.stack([(one * draw(*one.shape, seed=70 + i, dtype=one.dtype)).sum() for i, one in enumerate(results)])
    by = [one for one in arguments.values() if isinstance(one, Tensor)]
    grads = torch.autograd.grad(total.sum(), [*by, *state])
    return [*results, *grads[:-2], grads[-2] + grads[-2].mT, grads[-1]]


@pytest.mark.parametrize(("length", "chunk_size"), [(1, 16), (5, 1), (21, 8), (21, 21)])
def test_chunks_are_tokens(length: int, chunk_size: int) -> None:
    """I1: outputs, states and all gradients. The decay here is moderate: its inverse is part of the state."""
    arguments: dict[str, Any] = given(length)
    arguments["g"] = (arguments["g"] * 0.1).detach().requires_grad_()
    fast = everything(chunk_least_squares, {**arguments, "chunk_size": chunk_size}, held())
    assert_equal(fast, everything(naive_recurrent_least_squares, arguments, held()), 1e-8)


def test_the_ridge_of_the_recursion_decays_and_that_of_the_ridge_memory_does_not() -> None:
    """I11: solve(H_t + f^t lambda I), which is not solve(H_t + lambda I) as soon as f < 1."""
    arguments = given(12)
    found = naive_recurrent_least_squares(**arguments, lam=LAM)[0]
    decayed = (LAM * arguments["g"].cumsum(1).exp())[..., None].expand(2, 12, 2, 4)
    assert_equal([found], [ridge(**arguments, lam=decayed, solver="exact")[0]])
    fixed = torch.full((2, 4), LAM, dtype=torch.float64)
    assert (found - ridge(**arguments, lam=fixed, solver="exact")[0]).abs().max() > 1e-2
    del arguments["g"]
    found = naive_recurrent_least_squares(**arguments, lam=LAM)[0]
    assert_equal([found], [ridge(**arguments, lam=fixed, solver="exact")[0]])


def test_a_filter_that_holds_its_covariance_at_one_is_the_delta_rule() -> None:
    """I12: gain k / (r + |k|^2) is the delta rule with beta = 1 / (1 + r) for unit keys; with P kept up it is not."""
    arguments = given(12)
    q, k, v = (arguments[name] for name in "qkv")
    r = 0.7
    m = torch.zeros(2, 2, 4, 3, dtype=torch.float64)
    identity = torch.eye(4, dtype=torch.float64).expand(2, 2, 4, 4)
    outputs = []
    for t in range(12):
        step = gain(identity, k[:, t], beta=torch.full((2, 2), 1 / r, dtype=torch.float64))
        assert_equal([step], [k[:, t] / (r + 1)], 1e-12)
        m = m + step[..., None] * (v[:, t] - torch.einsum("bhk,bhkv->bhv", k[:, t], m))[..., None, :]
        outputs.append(torch.einsum("bhk,bhkv->bhv", q[:, t], m) / 2)
    beta = torch.full((2, 12, 2), 1 / (1 + r), dtype=torch.float64)
    wanted = gated_delta_rule(q, k, v, beta)[0]
    assert_equal([torch.stack(outputs, 1)], [wanted], 1e-12)
    whole = least_squares(q, k, v, torch.full((2, 12, 2), 1 / r, dtype=torch.float64))[0]
    assert (whole - wanted).abs().max() > 1e-2


def test_deleted_pairs_were_never_written() -> None:
    """I25 for the recursion, by a step of weight -beta."""
    arguments = {name: one.detach() for name, one in given(20).items()}
    arguments["g"] = 0.1 * arguments["g"]
    gone = torch.tensor([1, 4, 19])
    for g in (None, arguments["g"]):
        tensors = {name: arguments[name] for name in ("q", "k", "v", "beta")}
        whole = least_squares(**tensors, g=g)[1]
        assert whole is not None
        since = None if g is None else (g.sum(1, keepdim=True) - g.cumsum(1))[:, gone]
        found = delete(whole, **{name: tensors[name][:, gone] for name in ("k", "v", "beta")}, g_since=since)
        beta = tensors["beta"].clone()
        beta[:, gone] = 0
        never = least_squares(**{**tensors, "beta": beta}, g=g)[1]
        assert never is not None
        assert_equal(list(found), list(never))


def test_what_was_never_written_cannot_be_deleted() -> None:
    with pytest.raises(InvalidInput, match="pair 0 weighs more"):
        delete(start(1, 1, 2, 2, lam=1.0), torch.ones(1, 1, 1, 2), torch.ones(1, 1, 1, 2))


@pytest.mark.parametrize("at", [0, 1, 20])
def test_splitting_a_sequence_changes_nothing(at: int) -> None:
    """I23."""
    arguments = given(20)
    whole, end = naive_recurrent_least_squares(**arguments)
    first, middle = naive_recurrent_least_squares(**cut(arguments, 0, at))
    rest, last = naive_recurrent_least_squares(**cut(arguments, at, 20), initial_state=middle)
    assert end is not None
    assert last is not None
    assert_equal([torch.cat((first, rest), 1), *last], [whole, *end])


def test_empty_and_low_precision_inputs() -> None:
    for form in (naive_recurrent_least_squares, chunk_least_squares):
        o, state = form(**given(0), initial_state=held())
        assert o.shape == (2, 0, 2, 3)
        assert state is not None
        assert_equal(list(state), list(held()), 0.0)
        assert form(**given(3, batch=0))[0].shape == (0, 3, 2, 3)
        o, state = form(**given(9, torch.bfloat16))
        assert o.dtype == torch.bfloat16
        assert state is not None
        assert state.p.dtype == torch.float32
    slow = naive_recurrent_least_squares(**given(9, torch.float32))[0]
    assert_equal([chunk_least_squares(**given(9, torch.float32))[0]], [slow], 1e-4)


def test_nan_propagates() -> None:
    arguments = {name: one.detach() for name, one in given(9).items()}
    arguments["k"][0, 4, 0, 0] = torch.nan
    for form in (naive_recurrent_least_squares, chunk_least_squares):
        o = form(**arguments, chunk_size=4)[0]
        assert o[0, 4:, 0].isnan().all()
        assert o[1].isfinite().all()


def test_what_does_not_fit_is_told() -> None:
    arguments: dict[str, Any] = {**given(5), "lam": 0.0}
    with pytest.raises(InvalidInput, match=r"lam 0\.0"):
        least_squares(**arguments)
    arguments = {**given(5), "g": draw(2, 5, 2, 4)}
    with pytest.raises(InvalidInput, match=r"g must be \[B, T, H\].*\(2, 5, 2, 4\)"):
        least_squares(**arguments)
    with pytest.raises(InvalidInput, match=r"P must be .*\(2, 2, 3, 3\)"):
        least_squares(**given(5), initial_state=RecursiveState(draw(2, 2, 3, 3), draw(2, 2, 4, 3)))
