"""Ridge memory: chunks against tokens against a regression with autograd, its limits, deletion and merging."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.delta import gated_delta_rule
from remanence.kernels.sequence.hebbian import hebbian
from remanence.kernels.sequence.ridge import (
    RidgeState,
    chunk_ridge,
    decay,
    delete,
    empty,
    merge,
    naive_recurrent_ridge,
    read,
    ridge,
    write,
)
from tests.kernels.sequence.updates import assert_equal, cut, draw

Run = Callable[..., tuple[Tensor, RidgeState | None]]


def inputs(
    length: int, *, batch: int = 2, key: int = 4, value: int = 3, dtype: torch.dtype = torch.float64
) -> dict[str, Any]:
    """q, k (unit length), v, beta, g with some exact zeros, alpha and a ridge per channel."""
    sizes = {"q": key, "k": key, "v": value}
    made = {name: draw(batch, length, 2, size, seed=seed) for seed, (name, size) in enumerate(sizes.items())}
    made["k"] = torch.nn.functional.normalize(made["k"], dim=-1)
    for seed, name in enumerate(("beta", "g", "alpha")):
        made[name] = draw(batch, length, 2, seed=10 + seed).sigmoid()
    made["g"] = made["g"].log() * (draw(batch, length, 2, seed=20) > -0.5)
    return {name: one.to(dtype).requires_grad_() for name, one in made.items()}


def held(*, batch: int = 2, key: int = 4, value: int = 3, dtype: torch.dtype = torch.float64) -> RidgeState:
    """A state in the middle of a stream."""
    k, v = draw(batch, 5, 2, key, seed=30), draw(batch, 5, 2, value, seed=31)
    found = write(empty(batch, 2, key, value, dtype=torch.float64), k, v)
    return RidgeState(*(one.to(dtype).requires_grad_() for one in found))


def oracle(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    g: Tensor,
    alpha: Tensor,
    initial_state: RidgeState,
    lam: Tensor | None = None,
    ratio: float = 0.02,
    **_: Any,
) -> tuple[Tensor, RidgeState]:
    """The regression written down for every token: all weights, H_t, U_t, elimination; autograd goes through it."""
    since = g.cumsum(1)
    h: Tensor = initial_state.h
    u: Tensor = initial_state.u
    outputs = []
    for t in range(q.shape[1]):
        w = (since[:, t, None] - since[:, : t + 1]).exp() * beta[:, : t + 1]
        start = since[:, t].exp()[..., None, None]
        h = start * initial_state.h + torch.einsum("bnh,bnhk,bnhl->bhkl", w, k[:, : t + 1], k[:, : t + 1])
        u = start * initial_state.u + torch.einsum("bnh,bnhk,bnhv->bhkv", w, k[:, : t + 1], v[:, : t + 1])
        ridge = ratio * h.square().sum((-1, -2)).sqrt()[..., None] if lam is None else lam
        x = torch.linalg.solve(h + torch.diag_embed(ridge.expand(*h.shape[:-1])), q[:, t])
        x = q[:, t] + alpha[:, t, :, None] * (x - q[:, t])
        outputs.append(torch.einsum("bhk,bhkv->bhv", x, u) * q.shape[-1] ** -0.5)
    return torch.stack(outputs, 1), RidgeState(h, u)


def everything(run: Run, given: dict[str, Any], state: RidgeState) -> list[Tensor]:
    """Outputs, state and the gradients of all inputs, of the symmetric part only where they are by H."""
    o, final = run(**given, initial_state=state)
    assert final is not None
    results = [o, *final]
    total = torch.stack([(one * draw(*one.shape, seed=70 + i, dtype=one.dtype)).sum() for i, one in enumerate(results)])
    by = [one for one in given.values() if isinstance(one, Tensor)]
    grads = torch.autograd.grad(total.sum(), [*by, *state])
    return [*results, *grads[:-2], grads[-2] + grads[-2].mT, grads[-1]]


def ridges(key: int = 4, dtype: torch.dtype = torch.float64) -> Tensor:
    return (0.25 + draw(2, key, seed=40).sigmoid()).to(dtype).requires_grad_()


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(
    "setting",
    [
        {"solver": "exact"},
        {"solver": "cg", "iterations": 20},
        {"solver": "chebyshev", "iterations": 160},
    ],
)
def test_all_solvers_give_the_regression_and_its_gradients(setting: dict[str, Any], own: bool) -> None:
    given: dict[str, Any] = {**inputs(7), **({"lam": ridges()} if own else {"ratio": 0.05})}
    wanted = everything(oracle, given, held())
    for form in (naive_recurrent_ridge, chunk_ridge):
        assert_equal(everything(form, {**given, **setting, "chunk_size": 3}, held()), wanted, 1e-8)


@pytest.mark.parametrize("setting", [{"solver": "exact"}, {"solver": "cg", "iterations": 3}, {"iterations": 4}])
@pytest.mark.parametrize(("length", "chunk_size"), [(1, 16), (5, 1), (63, 16), (75, 75), (75, 5)])
def test_chunks_are_tokens(setting: dict[str, Any], length: int, chunk_size: int) -> None:
    """I1, also where the solver is far from the solution: outputs, states and all gradients."""
    owns: list[dict[str, Any]] = [{}, {"lam": ridges()}]
    for own in owns:
        given: dict[str, Any] = {**inputs(length), **setting, **own}
        found = everything(chunk_ridge, {**given, "chunk_size": chunk_size}, held())
        assert_equal(found, everything(naive_recurrent_ridge, given, held()))


def test_a_ridge_may_be_given_for_each_token() -> None:
    given = inputs(9)
    for shape in ((2, 9, 2), (2, 9, 2, 4)):
        lam = draw(*shape, seed=41).sigmoid().requires_grad_()
        slow, fast = (
            everything(form, {**given, "lam": lam, "solver": "cg", "chunk_size": 4}, held())
            for form in (naive_recurrent_ridge, chunk_ridge)
        )
        assert_equal(fast, slow)


def test_chunks_are_tokens_in_float32_and_keep_the_dtype_of_the_values() -> None:
    given = inputs(75, dtype=torch.float32)
    slow, fast = (
        everything(form, {**given, "chunk_size": 16}, held(dtype=torch.float32))
        for form in (naive_recurrent_ridge, chunk_ridge)
    )
    assert_equal(fast[:3], slow[:3], 1e-4)
    assert_equal(fast[3:], slow[3:], 1e-3)
    half = {name: one.detach().bfloat16() for name, one in given.items()}
    for form in (naive_recurrent_ridge, chunk_ridge):
        o, state = form(**half)
        assert o.dtype == torch.bfloat16
        assert state is not None
        assert state.h.dtype == state.u.dtype == torch.float32


@pytest.mark.parametrize("at", [0, 1, 20, 39])
def test_splitting_a_sequence_changes_nothing(at: int) -> None:
    """I23."""
    given = inputs(39)
    whole, end = ridge(**given, initial_state=held(), chunk_size=16)
    first, middle = ridge(**cut(given, 0, at), initial_state=held(), chunk_size=16)
    rest, last = ridge(**cut(given, at, 39), initial_state=middle, chunk_size=16)
    assert end is not None
    assert last is not None
    assert_equal([torch.cat((first, rest), 1), *last], [whole, *end])


def test_no_tokens_and_no_sequences_give_empty_outputs_and_the_state_unchanged() -> None:
    for form in (naive_recurrent_ridge, chunk_ridge):
        o, state = form(**inputs(0), initial_state=held())
        assert o.shape == (2, 0, 2, 3)
        assert state is not None
        assert_equal(list(state), list(held()), 0.0)
        o, state = form(**inputs(5, batch=0))
        assert o.shape == (0, 5, 2, 3)
        assert form(**inputs(5), output_final_state=False)[1] is None


@pytest.mark.parametrize("spoilt", ["q", "k", "v", "beta", "g"])
@pytest.mark.parametrize("solver", ["exact", "cg", "chebyshev"])
def test_nan_reaches_what_comes_after_it_and_nothing_else(spoilt: str, solver: Any) -> None:
    given = {name: one.detach() for name, one in inputs(12).items()}
    wanted, _ = naive_recurrent_ridge(**given, solver=solver)
    given[spoilt][(0, 6, 0, 0)[: given[spoilt].ndim]] = torch.nan
    for form in (naive_recurrent_ridge, chunk_ridge):
        o, state = form(**given, solver=solver, chunk_size=8)
        reached = torch.zeros(2, 12, 2, dtype=torch.bool)
        reached[0, 6 : 7 if spoilt == "q" else None, 0] = True
        assert o[reached].isnan().any(-1).all()
        assert_equal([o[~reached]], [wanted[~reached]])
        assert state is not None
        assert bool(state.u[0, 0].isnan().any()) == (spoilt != "q")


def test_before_anything_is_written_it_reads_nothing_and_gradients_are_finite() -> None:
    """The norm of H is 0 then, and so is the ridge that is a share of it."""
    given = inputs(6)
    given["beta"] = torch.tensor([0.0, 0, 0, 0, 1, 1], dtype=torch.float64)[None, :, None].expand(2, 6, 2)
    given["beta"] = given["beta"].clone().requires_grad_()
    for form in (naive_recurrent_ridge, chunk_ridge):
        o, _ = form(**given, chunk_size=4)
        assert o[:, :4].eq(0).all()
        assert o[:, 4:].ne(0).any()
        assert all(one.isfinite().all() for one in torch.autograd.grad(o.sum(), tuple(given.values())))


def test_the_norm_inside_chunks_is_that_of_the_matrices() -> None:
    """I14, with gates too: the ridge that the chunked form finds without forming an H_t."""
    given = inputs(23)
    for g in (given["g"], None):
        state = held()
        norms = []
        for t in range(23):
            state = state if g is None else decay(state, g[:, t])
            state = write(state, *(given[name][:, t : t + 1] for name in ("k", "v")))
            norms.append(0.02 * state.h.square().sum((-1, -2)).sqrt())
        lam = torch.stack(norms, 1)
        arguments: dict[str, Any] = {
            "q": given["q"],
            "k": given["k"],
            "v": given["v"],
            "g": g,
            "solver": "exact",
            "chunk_size": 8,
        }
        by_itself = chunk_ridge(**arguments, ratio=0.02, initial_state=held())
        told = chunk_ridge(**arguments, lam=lam, initial_state=held())
        assert_equal([by_itself[0]], [told[0]])


def test_orthonormal_keys_are_recalled_exactly_by_ridge_delta_and_hebbian_memories() -> None:
    """I9."""
    k = torch.linalg.qr(draw(6, 6, seed=3))[0][None, :4, None]
    v = draw(1, 4, 1, 3, seed=4)
    lam = torch.full((1, 6), 1e-9, dtype=torch.float64)
    state = ridge(k, k, v, lam=lam)[1]
    assert state is not None
    assert_equal([read(state, k, lam=lam, solver="exact", scale=1.0)], [v], 1e-6)
    for final in (hebbian(k, k, v)[1], gated_delta_rule(k, k, v)[1]):
        assert final is not None
        assert_equal([torch.einsum("bhkv,bnhk->bnhv", final, k)], [v], 1e-6)


def test_with_an_endless_ridge_it_is_linear_attention() -> None:
    """I10: lambda · o → q^T U with an error of the order of |H| / lambda."""
    given = {name: one.detach() for name, one in inputs(20).items() if name in ("q", "k", "v", "g", "beta")}
    wanted = hebbian(**given)[0]
    errors = []
    for lam in (1e2, 1e4, 1e6):
        found = lam * ridge(**given, lam=torch.full((2, 4), lam, dtype=torch.float64), solver="exact")[0]
        errors.append(float((found - wanted).norm() / wanted.norm()))
    assert errors[2] < 1e-5
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.2)


def test_deleted_pairs_were_never_written() -> None:
    """I25, without decay and with it: deleting needs the decay since each write."""
    given = {name: one.detach() for name, one in inputs(20).items()}
    gone = torch.tensor([1, 4, 5, 11, 19])
    stays = torch.tensor([t for t in range(20) if t not in gone])
    for g in (None, given["g"]):
        arguments = {"q": given["q"], "k": given["k"], "v": given["v"], "beta": given["beta"]}
        whole = ridge(**arguments, g=g)[1]
        assert whole is not None
        since = None if g is None else (g.sum(1, keepdim=True) - g.cumsum(1))[:, gone]
        pairs = {name: given[name][:, gone] for name in ("k", "v", "beta")}
        found = delete(whole, **pairs, g_since=since)
        without = given["beta"].clone()
        without[:, gone] = 0
        never = ridge(**{**arguments, "beta": without}, g=g)[1]
        assert never is not None
        assert_equal(list(found), list(never))
        if g is None:
            skipped = ridge(**{name: one[:, stays] for name, one in arguments.items()})[1]
            assert skipped is not None
            assert_equal(list(found), list(skipped))
        else:
            assert not torch.allclose(delete(whole, **pairs).h, never.h, atol=1e-3)


def test_merged_memories_hold_the_pairs_of_all() -> None:
    given = {name: one.detach() for name, one in inputs(20).items() if name in ("q", "k", "v", "beta")}
    whole = ridge(**given)[1]
    parts = [ridge(**cut(given, a, b))[1] for a, b in ((0, 7), (7, 8), (8, 20))]
    assert whole is not None
    assert_equal(list(merge([part for part in parts if part is not None])), list(whole))


def test_without_decay_the_order_does_not_matter_and_for_the_delta_rule_it_does() -> None:
    given = {name: one.detach() for name, one in inputs(20).items() if name in ("q", "k", "v")}
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    mixed = {name: one[:, order] for name, one in given.items()}
    one, other = ridge(**given)[1], ridge(**mixed)[1]
    assert one is not None
    assert other is not None
    assert_equal(list(one), list(other))
    states = [gated_delta_rule(**tensors)[1] for tensors in (given, mixed)]
    assert states[0] is not None
    assert states[1] is not None
    assert (states[0] - states[1]).abs().max() > 0.1


def test_thirty_iterations_read_within_a_thousandth_of_elimination() -> None:
    """At a ridge of 0.02 of the norm, whatever the scale of the keys is."""
    for factor in (1e-2, 1.0, 1e2):
        given = {name: one.detach() for name, one in inputs(40, key=16).items() if name in ("q", "k", "v")}
        given["k"] = given["k"] * factor
        found, wanted = ridge(**given)[0], ridge(**given, solver="exact")[0]
        assert (found - wanted).norm() < 1e-3 * wanted.norm()


def test_reading_changes_nothing_and_is_what_a_token_without_weight_reads() -> None:
    given = {name: one.detach() for name, one in inputs(20).items() if name in ("q", "k", "v")}
    state = ridge(**given)[1]
    assert state is not None
    nothing = torch.zeros(2, 20, 2, dtype=torch.float64)
    settings: list[dict[str, Any]] = [
        {"ratio": 0.1},
        {"lam": ridges()},
        {"solver": "exact"},
        {"solver": "cg", "scale": 2.0},
    ]
    for setting in settings:
        asked = ridge(**given, beta=nothing, initial_state=state, **setting)
        assert_equal([read(state, given["q"], **setting)], [asked[0]])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"k": (2, 5, 2, 3)}, r"k \(2, 5, 2, 3\)"),
        ({"beta": (2, 5, 2, 4)}, r"beta must be \[B, T, H\].*\(2, 5, 2, 4\)"),
        ({"g": (2, 5, 2, 4)}, r"g must be \[B, T, H\]"),
        ({"g": (2, 5)}, r"g \(2, 5\)"),
        ({"lam": (2,)}, r"lam must be .*lam \(2,\)"),
        ({"ratio": 0.0}, r"ratio 0\.0"),
        ({"solver": "gauss"}, "no solver 'gauss'; there are exact, cg, chebyshev"),
        ({"iterations": 0}, "iterations 0"),
        ({"chunk_size": 0}, "chunk_size 0"),
        ({"initial_state": ((2, 2, 4, 3), (2, 2, 4, 3))}, r"H must be .*\(2, 2, 4, 3\)"),
        ({"initial_state": ((2, 2, 4, 4), (2, 2, 4, 4))}, r"state \(2, 2, 4, 4\)"),
    ],
)
def test_what_does_not_fit_is_told_with_its_shapes(change: dict[str, Any], told: str) -> None:
    given: dict[str, Any] = {"q": (2, 5, 2, 4), "k": (2, 5, 2, 4), "v": (2, 5, 2, 3), **change}
    shapes = {name: one for name, one in given.items() if isinstance(one, tuple) and isinstance(one[0], int)}
    made: dict[str, Any] = {**given, **{name: draw(*shape) for name, shape in shapes.items()}}
    if "initial_state" in made:
        made["initial_state"] = RidgeState(*(draw(*shape) for shape in made["initial_state"]))
    with pytest.raises(InvalidInput, match=told):
        chunk_ridge(**made)


def test_merging_nothing_and_memories_of_different_shapes_is_told() -> None:
    with pytest.raises(InvalidInput, match="at least one"):
        merge([])
    with pytest.raises(InvalidInput, match=r"first \(1, 1, 2, 3\).*other \(1, 1, 2, 4\)"):
        merge([empty(1, 1, 2, 3), empty(1, 1, 2, 4)])
