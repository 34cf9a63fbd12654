"""Attention: its forms against each other and against the regression that it solves, streaming, windows, merging."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.attention import (
    KV,
    Attended,
    attend,
    attention,
    chunk_attention,
    chunk_local_linear,
    local_linear,
    merge,
    naive_recurrent_attention,
    naive_recurrent_local_linear,
    unseen,
)

SETTINGS: list[dict[str, Any]] = [
    {},
    {"window": 1},
    {"window": 7},
    {"window": 7, "lag": 5},
    {"lag": 3},
    {"window": 100, "scale": 1.3},
]


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def tensors(length: int, *, batch: int = 2, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = (
        draw(batch, length, 2, size, seed=seed, dtype=dtype).requires_grad_() for seed, size in enumerate((4, 4, 3))
    )
    return q, k, v


def gradients(run: Callable[[], Attended], inputs: list[Tensor]) -> tuple[Tensor, ...]:
    """Of random upstream gradients of the output, the log-sum-exp and the state, with the outputs themselves."""
    found = run()
    assert found.final_state is not None
    results = (found.o, torch.where(torch.isinf(found.lse), 0, found.lse), *found.final_state[:2])
    total = torch.stack(
        [(one * draw(*one.shape, seed=7 + i).to(one.dtype)).sum() for i, one in enumerate(results)]
    ).sum()
    return (*results, *torch.autograd.grad(total, inputs))


def dense(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """softmax(q k^T / sqrt K) v with a mask [T, N], every query of which sees something."""
    scores = torch.einsum("bthk,bnhk->bhtn", q, k) * q.shape[-1] ** -0.5
    return torch.einsum("bhtn,bnhv->bthv", scores.masked_fill(~mask, -torch.inf).softmax(-1), v)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(("length", "chunk_size"), [(1, 16), (5, 1), (23, 5), (23, 16), (23, 23)])
def test_the_forms_agree_in_outputs_states_and_gradients(setting: dict[str, Any], length: int, chunk_size: int) -> None:
    q, k, v = tensors(length)
    pk, pv = draw(3, 2, 4, seed=11).requires_grad_(), draw(3, 2, 3, seed=12).requires_grad_()
    held = KV(draw(2, 4, 2, 4, seed=13).requires_grad_(), draw(2, 4, 2, 3, seed=14).requires_grad_())
    inputs = [q, k, v, pk, pv, held.k, held.v]
    given = {**setting, "prefix_k": pk, "prefix_v": pv, "initial_state": held}
    slow = gradients(lambda: naive_recurrent_attention(q, k, v, **given), inputs)
    fast = gradients(lambda: chunk_attention(q, k, v, **given, chunk_size=chunk_size), inputs)
    for one, other in zip(slow, fast, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("setting", [{}, {"window": 9}, {"epsilon": 10.0, "scale": 1.0}])
@pytest.mark.parametrize(("length", "chunk_size"), [(1, 16), (5, 1), (23, 5), (23, 23)])
def test_the_forms_of_local_linear_attention_agree(setting: dict[str, Any], length: int, chunk_size: int) -> None:
    q, k, v = tensors(length)
    held = KV(draw(2, 4, 2, 4, seed=13).requires_grad_(), draw(2, 4, 2, 3, seed=14).requires_grad_())
    given = {"epsilon": 0.1, **setting, "initial_state": held}
    slow = gradients(lambda: naive_recurrent_local_linear(q, k, v, **given), [q, k, v, held.k, held.v])
    fast = gradients(lambda: chunk_local_linear(q, k, v, **given, chunk_size=chunk_size), [q, k, v, held.k, held.v])
    for one, other in zip(slow, fast, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_forms_agree_in_low_precision_and_keep_the_dtype_of_the_values(dtype: torch.dtype) -> None:
    q, k, v = (one.detach().to(dtype) for one in tensors(40))
    for slow, fast in (
        (naive_recurrent_attention(q, k, v, window=12), chunk_attention(q, k, v, window=12)),
        (
            naive_recurrent_local_linear(q, k, v, window=12, epsilon=0.1),
            chunk_local_linear(q, k, v, window=12, epsilon=0.1),
        ),
    ):
        assert slow.o.dtype == fast.o.dtype == dtype
        assert fast.lse.dtype == torch.float32
        tolerance = 1e-4 if dtype is torch.float32 else 4e-2
        torch.testing.assert_close(slow.o, fast.o, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(slow.lse, fast.lse, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("window", "lag"), [(None, 0), (1, 0), (5, 0), (40, 0)])
def test_attention_is_the_masked_softmax(window: int | None, lag: int) -> None:
    q, k, v = tensors(23)
    t = torch.arange(23)
    mask = t[None] <= t[:, None]
    if window:
        mask &= t[None] > t[:, None] - window
    torch.testing.assert_close(attention(q, k, v, window=window).o, dense(q, k, v, mask), rtol=1e-12, atol=1e-12)


def test_a_window_of_one_returns_the_value_itself() -> None:
    q, k, v = tensors(9)
    torch.testing.assert_close(attention(q, k, v, window=1).o, v, rtol=0, atol=0)


def test_a_lag_hides_what_is_too_near() -> None:
    q, k, v = tensors(12)
    found = attention(q, k, v, window=2, lag=3)
    assert found.o[:, :3].eq(0).all()
    assert torch.isneginf(found.lse[:, :3]).all()
    t = torch.arange(12)
    mask = (t[None] <= t[:, None] - 3) & (t[None] > t[:, None] - 5)
    torch.testing.assert_close(found.o[:, 3:], dense(q[:, 3:], k, v, mask[3:]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("cut", [0, 1, 6, 20, 23])
def test_splitting_a_sequence_changes_nothing(setting: dict[str, Any], cut: int) -> None:
    """I23."""
    q, k, v = tensors(23)
    whole = attention(q, k, v, **setting)
    first = attention(q[:, :cut], k[:, :cut], v[:, :cut], **setting)
    rest = attention(q[:, cut:], k[:, cut:], v[:, cut:], **setting, initial_state=first.final_state)
    torch.testing.assert_close(torch.cat((first.o, rest.o), 1), whole.o, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.cat((first.lse, rest.lse), 1), whole.lse, rtol=1e-12, atol=1e-12)
    assert rest.final_state is not None
    assert whole.final_state is not None
    for one, other in zip(rest.final_state[:2], whole.final_state[:2], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_window_keeps_no_more_than_it_will_look_at() -> None:
    q, k, v = tensors(23)
    found = attention(q, k, v, window=5, lag=2).final_state
    assert found is not None
    assert found.k.shape[1] == 6
    assert attention(q, k, v, output_final_state=False).final_state is None


@pytest.mark.parametrize("lag", [0, 3])
def test_sequences_that_have_seen_fewer_tokens_go_on_in_one_batch(lag: int) -> None:
    """Padding at the front of a state is invisible, also to gradients, and a window's state keeps its size."""
    q, k, v = tensors(9)
    window = 5
    state = unseen(2, window - 1 + lag, 2, 4, 3, dtype=q.dtype)
    late = attention(q[1:, :4], k[1:, :4], v[1:, :4], window=window, lag=lag, initial_state=unseen(1, 4 + lag, 2, 4, 3))
    assert late.final_state is not None
    assert late.final_state.valid is not None
    assert late.final_state.k.shape[1] == window - 1 + lag
    joined = KV(*(torch.cat((one[:1], other)) for one, other in zip(state, late.final_state, strict=True)))  # type: ignore[index,arg-type]
    for form in (naive_recurrent_attention, chunk_attention):
        found = form(q[:, 4:], k[:, 4:], v[:, 4:], window=window, lag=lag, initial_state=joined)
        fresh = attention(q[:1, 4:], k[:1, 4:], v[:1, 4:], window=window, lag=lag)
        whole = attention(q[1:], k[1:], v[1:], window=window, lag=lag)
        torch.testing.assert_close(found.o[:1], fresh.o, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found.o[1:], whole.o[:, 4:], rtol=1e-12, atol=1e-12)
        assert found.final_state is not None
        assert found.final_state.k.shape[1] == window - 1 + lag
        assert torch.autograd.grad(found.o.sum(), q)[0].isfinite().all()


def test_later_tokens_change_nothing_before_them() -> None:
    q, k, v = tensors(23)
    changed_k, changed_v = k.detach().clone(), v.detach().clone()
    changed_k[:, 15:] += 1
    changed_v[:, 15:] += 1
    forms: list[Callable[..., Attended]] = [chunk_attention, chunk_local_linear]
    for form in forms:
        one, other = form(q, k, v, chunk_size=8), form(q, changed_k, changed_v, chunk_size=8)
        torch.testing.assert_close(one.o[:, :15], other.o[:, :15], rtol=0, atol=0)
        assert not torch.allclose(one.o[:, 15:], other.o[:, 15:])


def test_merged_partial_attentions_are_one_softmax_over_all_keys() -> None:
    q, k, v = tensors(17)
    whole, lse = attend(q, k, v)
    cuts = (0, 5, 6, 17)
    parts = [attend(q, k[:, a:b], v[:, a:b]) for a, b in pairwise(cuts)]
    o, merged = merge(parts)
    torch.testing.assert_close(o, whole, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(merged, lse, rtol=1e-10, atol=1e-10)
    uniform = torch.stack([one for one, _ in parts]).mean(0)
    assert not torch.allclose(uniform, whole, atol=1e-2)


def test_merging_with_what_saw_nothing_changes_nothing_and_gives_no_nan_gradient() -> None:
    q, k, v = tensors(6)
    o, lse = attend(q, k, v)
    none = attend(q, k[:, :0], v[:, :0])
    for parts in ([none, (o, lse)], [(o, lse), none], [none, none, (o, lse)]):
        merged, its = merge(parts)
        torch.testing.assert_close(merged, o, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(its, lse, rtol=1e-12, atol=1e-12)
    nothing, its = merge([none, none])
    assert nothing.eq(0).all()
    assert torch.isneginf(its).all()
    masked = attend(q, k, v, torch.zeros(6, 6, dtype=torch.bool))
    total = merge([masked, (o, lse)])[0].sum() + merge([masked, masked])[0].sum()
    assert all(one.isfinite().all() for one in torch.autograd.grad(total, (q, k, v)))


def test_a_prefix_is_seen_by_every_query_of_a_window() -> None:
    q, k, v = tensors(10)
    pk, pv = draw(2, 3, 2, 4, seed=5), draw(2, 3, 2, 3, seed=6)
    t = torch.arange(10)
    mask = torch.cat((torch.ones(10, 3, dtype=torch.bool), (t[None] <= t[:, None]) & (t[None] > t[:, None] - 4)), 1)
    found = attention(q, k, v, window=4, prefix_k=pk, prefix_v=pv)
    wanted = dense(q, torch.cat((pk, k), 1), torch.cat((pv, v), 1), mask)
    torch.testing.assert_close(found.o, wanted, rtol=1e-12, atol=1e-12)


def test_softmax_attention_of_unit_keys_is_a_gaussian_nadaraya_watson_estimate() -> None:
    """I18: weights exp(-s |q - k|^2 / 2); without normalised keys they are not."""
    q, k, v = tensors(15)
    unit_q, unit_k = (torch.nn.functional.normalize(one, dim=-1) for one in (q, k))

    def estimate(q: Tensor, k: Tensor) -> Tensor:
        squares = (q.transpose(1, 2)[:, :, :, None] - k.transpose(1, 2)[:, :, None]).square().sum(-1)
        weights = torch.exp(-2.5 * squares / 2).tril()
        return torch.einsum("bhtn,bnhv->bthv", weights / weights.sum(-1, keepdim=True), v)

    found = attention(unit_q, unit_k, v, scale=2.5).o
    torch.testing.assert_close(found, estimate(unit_q, unit_k), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(attention(q, k, v, scale=2.5).o, estimate(q, k), atol=1e-2)


def test_local_linear_attention_with_an_endless_ridge_is_softmax_attention() -> None:
    """I19, first half."""
    q, k, v = tensors(30)
    for form in (naive_recurrent_local_linear, chunk_local_linear):
        torch.testing.assert_close(form(q, k, v, epsilon=1e14).o, attention(q, k, v).o, rtol=1e-8, atol=1e-8)


def test_local_linear_attention_reproduces_affine_data_where_softmax_attention_does_not() -> None:
    """I19, second half: v = A k + b, from the first query that more than K keys lie before."""
    q, k, _ = tensors(30)
    v = torch.einsum("kv,bthk->bthv", draw(4, 3, seed=8), k) + draw(3, seed=9)
    wanted = torch.einsum("kv,bthk->bthv", draw(4, 3, seed=8), q) + draw(3, seed=9)
    found = local_linear(q, k, v, epsilon=1e-13).o
    torch.testing.assert_close(found[:, 8:], wanted[:, 8:], rtol=1e-8, atol=1e-8)
    assert (attention(q, k, v).o - wanted)[:, 8:].abs().mean() > 0.4


def test_local_linear_attention_is_the_weighted_least_squares_fit_at_each_query() -> None:
    q, k, v = (one.detach() for one in tensors(12))
    found = local_linear(q, k, v, epsilon=0.3).o
    for t in range(12):
        p = (q[0, t, 0] @ k[0, : t + 1, 0].T * 4**-0.5).softmax(-1)
        design = torch.cat((torch.ones(t + 1, 1, dtype=p.dtype), k[0, : t + 1, 0] - q[0, t, 0]), 1)
        ridge = 0.3 * torch.diag(torch.tensor([0.0, 1, 1, 1, 1], dtype=p.dtype))
        fit = torch.linalg.solve(design.T @ (p[:, None] * design) + ridge, design.T @ (p[:, None] * v[0, : t + 1, 0]))
        torch.testing.assert_close(found[0, t, 0], fit[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("op", [attention, local_linear])
def test_no_tokens_and_no_sequences_give_empty_outputs_and_the_state_unchanged(op: Any) -> None:
    state = KV(draw(2, 4, 2, 4), draw(2, 4, 2, 3))
    for form in (op.recurrent, op.chunk):
        found = form(*tensors(0), window=9, initial_state=state)
        assert found.o.shape == (2, 0, 2, 3)
        assert found.lse.shape == (2, 0, 2)
        torch.testing.assert_close(found.final_state[:2], state[:2], rtol=0, atol=0)
        assert form(*tensors(5, batch=0)).o.shape == (0, 5, 2, 3)


@pytest.mark.parametrize("spoilt", [0, 1, 2])
@pytest.mark.parametrize(("window", "lag"), [(None, 0), (3, 0), (3, 2)])
def test_nan_reaches_who_sees_it_and_nobody_else(spoilt: int, window: int | None, lag: int) -> None:
    given = [one.detach() for one in tensors(12)]
    wanted = naive_recurrent_attention(*given, window=window, lag=lag)
    given[spoilt][0, 6, 0, 0] = torch.nan
    last = 7 if spoilt == 0 else 12 if window is None else 6 + window + lag
    seen = torch.zeros(2, 12, 2, dtype=torch.bool)
    seen[0, 6 if spoilt == 0 else 6 + lag : last, 0] = True
    for form in (naive_recurrent_attention, chunk_attention):
        found = form(*given, window=window, lag=lag, chunk_size=8)
        assert found.o[seen].isnan().any(-1).all()
        torch.testing.assert_close(found.o[~seen], wanted.o[~seen], rtol=1e-12, atol=1e-12)


def test_nan_reaches_all_later_fits() -> None:
    q, k, v = (one.detach() for one in tensors(12))
    k[0, 6, 0, 0] = torch.nan
    for form in (naive_recurrent_local_linear, chunk_local_linear):
        found = form(q, k, v, chunk_size=4).o
        assert found[0, 6:, 0].isnan().all()
        assert found[0, :6].isfinite().all()
        assert found[1].isfinite().all()


def test_memory_grows_with_the_length_and_not_with_its_square() -> None:
    """What autograd keeps for the backward pass, counted: twice the length must not keep more than about twice."""

    def kept(length: int, window: int | None) -> int:
        sizes: dict[int, int] = {}

        def pack(one: Tensor) -> Tensor:
            storage = one.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return one

        q, k, v = tensors(length, batch=1)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one):
            held = chunk_attention(q, k, v, window=window, chunk_size=32)
        assert held.o.shape[1] == length
        return sum(sizes.values())

    for window in (None, 32):
        assert kept(1024, window) < 2.5 * kept(512, window)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"k": (2, 5, 2, 3)}, r"k \(2, 5, 2, 3\)"),
        ({"v": (2, 4, 2, 3)}, r"v \(2, 4, 2, 3\)"),
        ({"window": 0}, "window 0"),
        ({"lag": -1}, "lag -1"),
        ({"chunk_size": 0}, "chunk_size 0"),
        ({"prefix_k": (3, 2, 4)}, "belong together"),
        ({"prefix_k": (3, 1, 4), "prefix_v": (3, 1, 3)}, r"prefix .*\(2, 3, 1, 4\)"),
        ({"initial_state": ((1, 3, 2, 4), (1, 3, 2, 3))}, r"state .*\(1, 3, 2, 4\)"),
    ],
)
def test_what_does_not_fit_is_told_with_its_shapes(change: dict[str, Any], told: str) -> None:
    given: dict[str, Any] = {"q": (2, 5, 2, 4), "k": (2, 5, 2, 4), "v": (2, 5, 2, 3), **change}
    made: dict[str, Any] = {
        name: draw(*one) if isinstance(one, tuple) and isinstance(one[0], int) else one for name, one in given.items()
    }
    if "initial_state" in made:
        made["initial_state"] = KV(*(draw(*one) for one in made["initial_state"]))
    with pytest.raises(InvalidInput, match=told):
        chunk_attention(**made)


def test_merging_nothing_and_a_ridge_of_zero_are_told() -> None:
    with pytest.raises(InvalidInput, match="at least one"):
        merge([])
    with pytest.raises(InvalidInput, match=r"epsilon 0\.0"):
        local_linear(*tensors(3), epsilon=0.0)
