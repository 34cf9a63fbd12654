"""Deep memories: batch algebra against autograd, streaming, memory that does not grow, and what it is at its limits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.deep import chunk_deep, deep, initial_weights, naive_recurrent_deep, surprise
from remanence.kernels.sequence.frozen import Mlp, gradients
from remanence.kernels.sequence.momentum import chunk_titans
from remanence.kernels.sequence.newton_schulz import newton_schulz
from remanence.kernels.sequence.omega import chunk_omega
from remanence.kernels.sequence.update import Loss, Parameters, UpdateState, start
from tests.kernels.sequence.updates import assert_equal, cut, draw, everything, flat, inputs, random_state

RESIDUAL = Mlp(residual=True)
PLAIN = Mlp()


def muon(matrices: Tensor) -> Tensor:
    return newton_schulz(matrices, 3)


def weights(depth: int, *, key: int = 4, value: int = 3, residual: bool = False, batch: int = 2) -> Parameters:
    made = initial_weights(
        2, key, value, depth=depth, hidden=6, residual=residual,
        generator=torch.Generator().manual_seed(3), dtype=torch.float64,
    )  # fmt: skip
    return tuple(one.expand(batch, *one.shape) for one in made)


@pytest.mark.parametrize(("length", "size"), [(1, 16), (5, 1), (5, 5), (11, 4), (10, 64)])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("residual", [False, True])
def test_chunks_and_autograd_agree(length: int, size: int, depth: int, residual: bool) -> None:
    """I1 for deep memories: outputs, states, all gradients, also by the weights before the first token (M_0)."""
    value = 4 if residual else 3
    tensors = inputs(length, value=value)
    state, held = random_state(weights(depth, value=value, residual=residual), tensors, offset=3, pairs=2)
    arguments = {**tensors, "initial_state": state, "chunk_size": size, "window": 3, "memory": Mlp(residual)}
    found, wanted = everything(chunk_deep, arguments, held), everything(naive_recurrent_deep, arguments, held)
    assert_equal(found, wanted, 1e-9)


@pytest.mark.parametrize("depth", [2, 3])
@pytest.mark.parametrize("residual", [False, True])
def test_with_newton_schulz_on_every_weight_matrix(depth: int, residual: bool) -> None:
    tensors = inputs(7, value=4)
    state, held = random_state(weights(depth, value=4, residual=residual), tensors, offset=1, pairs=2)
    arguments = {
        **tensors, "initial_state": state, "chunk_size": 4, "window": 3, "memory": Mlp(residual), "post": muon
    }  # fmt: skip
    found, wanted = everything(chunk_deep, arguments, held), everything(naive_recurrent_deep, arguments, held)
    assert_equal(found, wanted, 1e-8)


@pytest.mark.parametrize("loss", ["squared", "l2", "dot"])
@pytest.mark.parametrize("left_out", [(), ("eta",), ("gamma",), ("eta", "g", "theta", "gamma", "rate")])
def test_every_loss_and_every_gate_that_is_left_out(loss: Loss, left_out: tuple[str, ...]) -> None:
    tensors = {name: one for name, one in inputs(6).items() if name not in left_out}
    state, held = random_state(weights(2), tensors, offset=2)
    arguments = {**tensors, "initial_state": state, "chunk_size": 4, "loss": loss, "scale": 0.7}
    found, wanted = everything(chunk_deep, arguments, held), everything(naive_recurrent_deep, arguments, held)
    assert_equal(found, wanted, 1e-9)


def test_the_gradient_of_each_pair_is_autograds() -> None:
    """Also of the layer norm: the slip of putting its bracket together wrongly would show here."""
    k, v = draw(1, 1, 5, 4), draw(1, 1, 5, 4, seed=1)
    parameters = tuple(one + 0.1 * draw(*one.shape, seed=9) for one in weights(3, value=4, residual=True, batch=1))
    heads = tuple(one[:, :1] for one in parameters)
    outer, of_gain = gradients(RESIDUAL, heads, k, v, "squared")
    assert of_gain is not None
    for i in range(5):

        def total(*given: Tensor, i: int = i) -> Tensor:
            f = RESIDUAL(given, k[:, :, i : i + 1].transpose(1, 2))
            return (f - v[:, :, i : i + 1].transpose(1, 2)).square().sum()

        wanted = torch.func.grad(total, argnums=tuple(range(4)))(*heads)
        for (x, delta), one in zip(outer, wanted[:-1], strict=True):
            torch.testing.assert_close(x[:, :, i, :, None] * delta[:, :, i, None], one, rtol=0, atol=1e-12)
        torch.testing.assert_close(of_gain[:, :, i], wanted[-1], rtol=0, atol=1e-12)


def test_one_layer_is_the_matrix_memory() -> None:
    tensors = inputs(21)
    state, held = random_state(weights(1), tensors, offset=2, pairs=3)
    arguments = {**tensors, "initial_state": state, "chunk_size": 8, "window": 4}
    assert_equal(everything(chunk_deep, arguments, held), everything(chunk_omega, arguments, held), 1e-12)
    plain = {name: one for name, one in arguments.items() if name not in ("gamma", "rate", "window")}
    assert_equal(everything(chunk_deep, plain, held), everything(chunk_titans, plain, held), 1e-12)


@pytest.mark.parametrize("form", ["recurrent", "chunk"])
@pytest.mark.parametrize("cuts", [(7,), (1, 2, 3, 12), (8,)])
def test_a_stream_may_be_cut_anywhere(form: str, cuts: tuple[int, ...]) -> None:
    """I23, with gradients through the state."""
    tensors = inputs(15)
    run_form = deep.in_form(form)

    def run(**arguments: Any) -> tuple[Tensor, UpdateState | None]:
        state: UpdateState | None = arguments.pop("initial_state")
        outputs = []
        for first, last in pairwise((0, *cuts, 15)):
            assert state is not None
            o, state = run_form(**cut(arguments, first, last), initial_state=state, chunk_size=8, window=4)
            outputs.append(o)
        return torch.cat(outputs, 1), state

    state, held = random_state(weights(2), tensors, offset=5)
    given = {**tensors, "initial_state": state}
    whole = everything(partial(chunk_deep, chunk_size=8, window=4), given, held)
    assert_equal(everything(run, given, held), whole, 1e-9)


def test_single_precision() -> None:
    single = inputs(40, dtype=torch.float32)
    state, held = random_state([one.float() for one in weights(2)], single)
    arguments = {**single, "initial_state": state, "chunk_size": 16, "window": 4}
    found, wanted = everything(chunk_deep, arguments, held), everything(naive_recurrent_deep, arguments, held)
    assert_equal(found[:10], wanted[:10], 1e-4)
    assert_equal(found[10:], wanted[10:], 1e-3)
    half = {name: one.detach().bfloat16() for name, one in single.items()}
    o, kept = deep(**half, initial_state=start(tuple(one.float() for one in weights(2)), half["k"], half["v"]))
    assert o.dtype == torch.bfloat16
    assert kept is not None
    assert {one.dtype for one in kept.parameters} == {torch.float32}


@pytest.mark.parametrize("loss", ["squared", "l2", "dot"])
def test_surprise_is_the_loss_under_the_memory_before_the_token(loss: Loss) -> None:
    tensors = {name: one.detach() for name, one in inputs(9).items() if name != "q"}
    k, v = tensors.pop("k"), tensors.pop("v")
    state: UpdateState | None = start(weights(2), k, v)
    assert state is not None
    found, last = surprise(k, v, initial_state=state, loss=loss, chunk_size=4, **tensors)
    for t in range(9):
        assert state is not None
        f = PLAIN(state.parameters, k[:, t : t + 1])
        squares = (f - v[:, t : t + 1]).square().sum(-1)
        wanted = {"dot": -(f * v[:, t : t + 1]).sum(-1), "squared": squares, "l2": squares / 2}[loss]
        torch.testing.assert_close(found[:, t : t + 1], wanted, rtol=0, atol=1e-12)
        now = cut({"q": k, "k": k, "v": v, **tensors}, t, t + 1)
        _, state = naive_recurrent_deep(**now, initial_state=state, loss=loss, chunk_size=4)
    assert_equal(flat(k, last), flat(k, state))
    assert surprise(k[:, :0], v[:, :0], initial_state=start(weights(2), k, v))[0].shape == (2, 0, 2)


@contextmanager
def saved_numbers() -> Iterator[list[int]]:
    """How many numbers are kept for the backward pass while this is open; what is kept twice counts once."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // tensor.element_size()
        return tensor

    counted: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield counted
    counted.append(sum(kept.values()))


def test_weights_are_not_kept_for_every_token() -> None:
    """With Newton-Schulz S is formed for each token of a chunk, and formed again for the gradient; without, never."""
    sizes = {}
    for post in (None, muon):
        for length in (32, 64):
            tensors = inputs(length, batch=1, key=16, value=16)
            parameters = initial_weights(2, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
            state = start(tuple(one[None].requires_grad_() for one in parameters), tensors["k"], tensors["v"])
            with saved_numbers() as counted:
                deep(**tensors, initial_state=state, chunk_size=16, post=post)
            sizes[post, length] = counted[0]
    of_all = sum(2 * one.numel() for one in parameters)
    for post in (None, muon):
        for_each_token = (sizes[post, 64] - sizes[post, 32]) / 32
        assert for_each_token < of_all


@pytest.mark.parametrize("form", ["recurrent", "chunk"])
def test_nothing_to_do_changes_nothing(form: str) -> None:
    tensors = inputs(0)
    state, _ = random_state(weights(2), tensors, offset=3, pairs=3)
    o, kept = deep.in_form(form)(**tensors, initial_state=state, window=4)
    assert o.shape == (2, 0, 2, 3)
    assert_equal(flat(o, kept), flat(o, state), 0)
    none = inputs(7, batch=0)
    state = start(weights(2, batch=0), none["k"], none["v"])
    assert deep.in_form(form)(**none, initial_state=state, post=muon)[0].shape == (0, 7, 2, 3)


@pytest.mark.parametrize("form", ["recurrent", "chunk"])
@pytest.mark.parametrize("post", [None, muon])
def test_without_gradients_nothing_is_recorded(form: str, post: Any) -> None:
    """Else the history of a stream would grow with every token."""
    tensors = inputs(5)
    state, _ = random_state(weights(2), tensors)
    with torch.no_grad():
        o, kept = deep.in_form(form)(**tensors, initial_state=state, post=post)
    assert kept is not None
    assert not any(one.requires_grad for one in (o, *kept.parameters, *kept.momentum))


@pytest.mark.parametrize("form", ["recurrent", "chunk"])
def test_nan_is_not_hidden(form: str) -> None:
    tensors = {name: one.detach() for name, one in inputs(9).items()}
    tensors["v"][0, 6, 0] = torch.nan
    o, _ = deep.in_form(form)(**tensors, initial_state=start(weights(2), tensors["k"], tensors["v"]), chunk_size=4)
    assert o[0, 6:, 0].isnan().all()
    assert o[0, :6].isfinite().all()
    assert o[1].isfinite().all()


def test_initial_weights_are_drawn_as_by_xavier_and_seeded() -> None:
    first, second, gain = initial_weights(3, 8, 8, residual=True, generator=torch.Generator().manual_seed(1))
    assert (tuple(first.shape), tuple(second.shape), tuple(gain.shape)) == ((3, 8, 32), (3, 32, 8), (3, 8))
    assert gain.abs().sum() == 0
    bound = (6 / 40) ** 0.5
    assert 0.95 * bound < float(first.abs().max()) <= bound
    again = initial_weights(3, 8, 8, residual=True, generator=torch.Generator().manual_seed(1))
    assert torch.equal(first, again[0])


def test_arguments_that_do_not_fit_are_told() -> None:
    tensors = {name: one.detach() for name, one in inputs(5).items()}
    k, v = tensors["k"], tensors["v"]
    first, second = weights(2)
    with pytest.raises(InvalidInput, match=r"lead from K to V.*parameter 1 \(2, 2, 6, 3\)"):
        deep(**tensors, initial_state=start((first[..., :5], second), k, v))
    with pytest.raises(InvalidInput, match="K = V"):
        deep(**tensors, initial_state=start((*weights(2), draw(2, 2, 3)), k, v), memory=RESIDUAL)
    square = {name: one.detach() for name, one in inputs(5, value=4).items()}
    state = start((*weights(2, value=4), draw(2, 2, 3)), square["k"], square["v"])
    with pytest.raises(InvalidInput, match=r"gain must be \[B, H, V\]"):
        deep(**square, initial_state=state, memory=RESIDUAL)
    for wrong in ({"depth": 0}, {"hidden": 0}, {"residual": True}):
        with pytest.raises(InvalidInput, match=r"depth|wide"):
            initial_weights(2, 4, 3, **wrong)
