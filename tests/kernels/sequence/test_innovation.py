"""Innovations are those of the regression on each prefix; the set holds the most surprising tokens at every time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence import recursive
from remanence.kernels.sequence.attention import attend, attention, merge
from remanence.kernels.sequence.innovation import Kept, Predictor, eidetic, innovation, nothing


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(found: Any, wanted: Any, tolerance: float = 1e-10) -> None:
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def rotating(seed: int, length: int, width: int) -> Tensor:
    """An AR(1) stream that turns: predictable from the last token, but not by it alone."""
    turn = torch.linalg.qr(draw(width, width, seed=seed)).Q
    noise, x = draw(length, width, seed=seed + 100), [draw(width, seed=seed + 200)]
    for t in range(1, length):
        x.append(0.97 * turn @ x[-1] + (1 - 0.97**2) ** 0.5 * noise[t])
    return torch.stack(x)[None, :, None]


def by_prefix(x: Tensor, forget: float, ridge: float) -> Tensor:
    """The formulas as they stand: at every token, sums over all tokens before."""
    batch, length, _, width = x.shape
    rs, found = torch.zeros(batch, length, dtype=x.dtype), torch.ones(batch, length, dtype=x.dtype)
    for t in range(1, length):
        fade = forget ** torch.arange(t - 2, -1, -1, dtype=x.dtype)
        old, new, query = x[:, : t - 1], x[:, 1:t], x[:, t - 1]
        h = torch.einsum("n,bnhk,bnhl->bhkl", fade, old, old)
        u = torch.einsum("n,bnhk,bnhl->bhkl", fade, old, new)
        energy = torch.einsum("n,bnhk->bh", fade, old.square()) + query.square().sum(-1)
        lam = ridge * energy / (fade.sum() + 1) / width
        z = torch.linalg.solve(h + lam[..., None, None] * torch.eye(width, dtype=x.dtype), query)
        e = x[:, t] - torch.einsum("bhkl,bhk->bhl", u, z)
        rs[:, t] = (e.square().mean(-1) / (1 + (query * z).sum(-1))).mean(-1)
        if t > 1:
            found[:, t] = rs[:, t] * fade.sum() / (fade * rs[:, 1:t]).sum(-1)
    return doubted(found)


def doubted(ratios: Tensor) -> Tensor:
    """Less surprising after a surprise."""
    return ratios / torch.cat((torch.ones_like(ratios[:, :1]), ratios[:, :-1]), 1).clamp(min=1)


@pytest.mark.parametrize(("forget", "ridge"), [(1.0, 1.0), (0.9, 0.1)])
def test_each_token_is_judged_by_the_regression_on_those_before_it(forget: float, ridge: float) -> None:
    x = draw(2, 23, 2, 3)
    found, _ = innovation.recurrent(x, forget=forget, ridge=ridge)
    torch.testing.assert_close(found, by_prefix(x, forget, ridge), rtol=1e-9, atol=1e-9)


def predictor() -> Predictor:
    _, state = innovation.recurrent(draw(2, 9, 2, 3, seed=5))
    assert state is not None
    return state


@pytest.mark.parametrize("length", [1, 5, 63])
@pytest.mark.parametrize("chunk_size", [1, 5, 16, 63])
def test_chunks_are_tokens_one_by_one(length: int, chunk_size: int) -> None:
    """I1, with gradients in the stream."""
    for state in (None, predictor()):
        results: list[list[Tensor]] = []
        for form in ("recurrent", "chunk"):
            x = draw(2, length, 2, 3).requires_grad_()
            found, after = innovation.in_form(form)(x, forget=0.95, initial_state=state, chunk_size=chunk_size)
            assert after is not None
            total = (found * draw(*found.shape, seed=3)).sum() + sum(one.square().sum() for one in after)
            results.append([found, *after, *torch.autograd.grad(total, x)])
        close(results[0], results[1], 1e-8)


def test_a_stream_may_be_split_anywhere() -> None:
    """I23."""
    x = draw(2, 20, 2, 3)
    whole, end = innovation(x, chunk_size=4)
    for at in (0, 1, 7, 20):
        first, state = innovation(x[:, :at], chunk_size=4)
        second, after = innovation(x[:, at:], initial_state=state, chunk_size=4)
        close([torch.cat((first, second), 1), *(after or ())], [whole, *(end or ())])


def test_where_nothing_fades_and_all_are_as_long_it_is_recursive_least_squares() -> None:
    x = torch.nn.functional.normalize(draw(1, 40, 1, 4), dim=-1)
    state = recursive.start(1, 1, 4, 4, lam=2.0 / 4, dtype=x.dtype)
    found, rs = [1.0], list[float]()
    for t in range(1, 40):
        query, new = x[:, t - 1 : t], x[:, t : t + 1]
        e = new[0, 0, 0] - query[0, 0, 0] @ state.m[0, 0]
        r = float(e.square().mean() / (1 + query[0, 0, 0] @ state.p[0, 0] @ query[0, 0, 0]))
        found.append(r * len(rs) / sum(rs) if rs else 1.0)
        rs.append(r)
        _, after = recursive.least_squares(query, query, new, initial_state=state)
        assert after is not None
        state = after
    wanted = doubted(torch.tensor(found, dtype=x.dtype)[None])
    torch.testing.assert_close(innovation(x, forget=1.0, ridge=2.0)[0], wanted, rtol=1e-8, atol=1e-8)


def test_the_scale_of_a_stream_does_not_matter() -> None:
    x = draw(1, 50, 2, 4)
    wanted, _ = innovation(x)
    for scale in (1e-3, 1e3):
        torch.testing.assert_close(innovation(scale * x)[0], wanted, rtol=1e-8, atol=1e-8)
    assert 0.5 < wanted.mean() < 1.1


def test_what_does_not_belong_in_a_predictable_stream_stands_out() -> None:
    """Steps from one token to the next do not show it: they are as large everywhere."""
    x = rotating(0, 200, 8)
    places = [60, 95, 130, 171]
    x[0, places, 0] = draw(4, 8, seed=9)
    scores = innovation(x)[0][0]
    steps = (x[0, 1:, 0] - x[0, :-1, 0]).square().sum(-1)
    assert set(places) <= set(scores.topk(10).indices.tolist())
    assert not set(places) <= set((1 + steps.topk(10).indices).tolist())


def test_what_follows_a_surprise_is_not_one_itself() -> None:
    """It is predicted from what does not belong there, and badly: as badly as that was."""
    x = rotating(0, 200, 8)
    x[0, 120, 0] = draw(8, seed=9)
    scores = innovation(x)[0][0]
    assert scores[120] > 4 * scores[121]


def test_the_first_tokens_are_not_the_surprising_ones() -> None:
    """Without the doubt of a prediction from little, a stream would begin with its largest surprises."""
    x = torch.cat([rotating(seed, 100, 8) for seed in range(16)])
    scores = innovation(x)[0]
    assert scores[:, :12].mean() < 2 * scores[:, 50:].mean()


@pytest.mark.parametrize("form", ["recurrent", "chunk"])
def test_silence_repetition_and_what_is_no_number(form: str) -> None:
    for x in (torch.zeros(1, 40, 1, 3), torch.ones(1, 40, 1, 3)):
        found, state = innovation.in_form(form)(x)
        assert found.isfinite().all()
        assert state is not None
        assert all(one.isfinite().all() for one in state)
    x = draw(2, 20, 2, 3)
    wanted, _ = innovation(x)
    x[0, 9, 1, 0] = torch.nan
    found, state = innovation.in_form(form)(x, chunk_size=16)
    assert found[0, 9:].isnan().all()
    close([found[0, :9], found[1]], [wanted[0, :9], wanted[1]])
    assert state is not None
    assert innovation(x[:, :3], initial_state=state)[0][0].isnan().all()


def test_streams_that_cannot_be_read_are_told() -> None:
    with pytest.raises(InvalidInput, match=r"x \(2, 3, 4\)"):
        innovation(draw(2, 3, 4))
    with pytest.raises(InvalidInput, match=r"got 0.0 and 1.0"):
        innovation(draw(1, 3, 1, 2), forget=0.0)
    with pytest.raises(InvalidInput, match=r"\(2, 2, 4, 4\)"):
        innovation(draw(2, 3, 2, 4), initial_state=predictor())
    assert innovation(draw(2, 0, 2, 3))[0].shape == (2, 0)
    assert innovation(draw(0, 5, 2, 3))[0].shape == (0, 5)


# The set.


def offers(length: int, *, ties: bool = False, batch: int = 2) -> dict[str, Any]:
    sizes = {"q": 4, "k": 4, "v": 3}
    given: dict[str, Any] = {name: draw(batch, length, 2, size, seed=i) for i, (name, size) in enumerate(sizes.items())}
    given["score"] = draw(batch, length, seed=8)
    if ties:
        given["score"] = given["score"].round()
        given["score"][:, ::7] = -torch.inf
    return given


def held() -> Kept:
    _, kept, _ = eidetic(**offers(7, ties=True), size=3)
    assert kept is not None
    return kept


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("chunk_size", [1, 5, 16, 40])
@pytest.mark.parametrize("size", [0, 1, 3, 50])
def test_sets_by_chunks_are_sets_one_by_one(size: int, chunk_size: int, ties: bool) -> None:
    """I1, with gradients; among equal scores the order decides."""
    for length, state in ((1, None), (33, None), (33, held() if size == 3 else None)):
        results: list[list[Tensor]] = []
        for form in ("recurrent", "chunk"):
            given = offers(length, ties=ties)
            leaves = [given[name].requires_grad_() for name in "qkv"]
            o, kept, lse = eidetic.in_form(form)(**given, size=size, chunk_size=chunk_size, initial_state=state)
            assert kept is not None
            total = (o * draw(*o.shape, seed=3)).sum() + kept.k.square().sum() + kept.v.square().sum()
            gradients = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
            results.append([o, lse, *kept, *gradients])
        close(results[0], results[1])


def test_the_set_is_the_largest_scores_so_far_the_first_of_equals_in_the_order_of_time() -> None:
    given = offers(30, ties=True)
    for t in range(1, 31):
        o, kept, lse = eidetic(**{name: one[:, :t] for name, one in given.items()}, size=4)
        assert kept is not None
        for b in range(2):
            score = given["score"][b, :t]
            ranked = sorted((i for i in range(t) if score[i] > -torch.inf), key=lambda i: (-score[i], i))
            best = sorted(ranked[:4])
            found = kept.score[b] > -torch.inf
            assert torch.equal(kept.score[b, found], score[best])
            assert torch.equal(kept.k[b, found], given["k"][b, best])
            one = slice(b, b + 1)
            wanted = attend(given["q"][one, t - 1 : t], given["k"][one, best], given["v"][one, best])
            close((o[one, -1:], lse[one, -1:]), wanted)


def test_window_and_set_together_are_one_softmax_over_both() -> None:
    given = offers(12)
    window, _, its = attention(given["q"], given["k"], given["v"], window=3)
    lagged = {**given, "q": given["q"][:, 3:], **{n: given[n][:, :-3] for n in ("k", "v", "score")}}
    old, _, its_old = eidetic(**lagged, size=2)
    o, _ = merge(((window[:, 3:], its[:, 3:]), (old, its_old)))
    for t in range(3, 12):
        for b in range(2):
            best = given["score"][b, : t - 2].topk(min(2, t - 2)).indices.tolist()
            seen = [*best, t - 2, t - 1, t]
            shares = (given["k"][b, seen] * given["q"][b, t] / 2).sum(-1).softmax(0)
            wanted = (shares[..., None] * given["v"][b, seen]).sum(0)
            torch.testing.assert_close(o[b, t - 3], wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("form", ["recurrent", "chunk"])
def test_what_is_no_number_is_never_kept(form: str) -> None:
    given = offers(10)
    given["score"][0, 2] = torch.nan
    given["score"][0, 4] = torch.inf
    given["v"][0, 4, 1, 0] = torch.nan
    o, kept, _ = eidetic.in_form(form)(**given, size=10)
    assert kept is not None
    assert (kept.score[0] > -torch.inf).sum() == 8
    assert o.isfinite().all()


def test_sets_that_do_not_fit_are_told() -> None:
    with pytest.raises(InvalidInput, match=r"score \(2, 4\)"):
        eidetic(**{**offers(5), "score": torch.zeros(2, 4)})
    with pytest.raises(InvalidInput, match="size -1"):
        eidetic(**offers(5), size=-1)
    with pytest.raises(InvalidInput, match=r"score \(2, 6\)"):
        eidetic(**offers(5), initial_state=held()._replace(score=torch.zeros(2, 6)))
    o, kept, lse = eidetic(**offers(0), size=3)
    given = offers(1)
    assert kept is not None
    close(kept, nothing(2, 3, given["k"], given["v"]), 0.0)
    assert (o.shape, lse.shape) == ((2, 0, 2, 3), (2, 0, 2))
