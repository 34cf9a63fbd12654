"""Self-modifying memories: chunks against differentiation token by token, and the phases that contain each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.deep import deep
from remanence.kernels.sequence.frozen import Mlp
from remanence.kernels.sequence.self_modifying import (
    NAMES,
    Fixed,
    Memories,
    Perceptron,
    Phase,
    SelfState,
    chunk_self_modifying,
    initial_memories,
    naive_recurrent_self_modifying,
    self_modifying,
    start,
)
from remanence.kernels.sequence.update import start as start_update

B, H, K, E = 2, 2, 4, 5


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def inputs(length: int, dtype: torch.dtype = torch.float64) -> dict[str, Any]:
    return {"q": drawn(B, length, H, K, seed=1, dtype=dtype), "x": drawn(B, length, H, K, seed=2, dtype=dtype)}


def fixed(dtype: torch.dtype = torch.float64) -> Fixed:
    return Fixed(
        0.3 * drawn(H, K, seed=3, dtype=dtype), 0.3 * drawn(H, K, seed=4, dtype=dtype),
        drawn(H, seed=5, dtype=dtype), 3 + 0.1 * drawn(H, seed=6, dtype=dtype),
    )  # fmt: skip


def memories(seed: int = 10, dtype: torch.dtype = torch.float64) -> Memories:
    return {
        name: Perceptron(
            0.4 * drawn(B, H, E, 1 if name in ("eta", "alpha") else K, seed=seed + at, dtype=dtype),
            0.5 * drawn(B, H, K, E, seed=seed + 20 + at, dtype=dtype),
        )
        for at, name in enumerate(NAMES)
    }


def leaves(state: SelfState) -> list[Tensor]:
    return [one for held in (state.memories, state.anchors) for name in NAMES for one in held[name]]


def _leaves_of(held: Memories) -> Memories:
    return {name: Perceptron(*(one.clone().requires_grad_() for one in memory)) for name, memory in held.items()}


def everything(
    run: Callable[..., tuple[Tensor, SelfState | None]],
    tensors: dict[str, Any],
    still: Fixed,
    state: SelfState,
    **settings: Any,
) -> list[Tensor]:
    """Outputs, final state, and gradients in all that is given, for random gradients of both."""
    tensors = {name: one.clone().requires_grad_() for name, one in tensors.items()}
    still = Fixed(*(one.clone().requires_grad_() for one in still))
    state = SelfState(_leaves_of(state.memories), _leaves_of(state.anchors), state.offset)
    o, final = run(**tensors, fixed=still, initial_state=state, **settings)
    assert final is not None
    out = [o, *leaves(final)]
    total = torch.stack([(one * drawn(*one.shape, seed=7, dtype=one.dtype)).sum() for one in out]).sum()
    given = [*tensors.values(), *still, *leaves(state)]
    found: tuple[Tensor | None, ...] = torch.autograd.grad(total, given, allow_unused=True)
    gradients = [torch.zeros_like(one) if g is None else g for one, g in zip(given, found, strict=True)]
    return [*(one.detach() for one in out), *gradients]


def assert_equal(found: list[Tensor], wanted: list[Tensor], tolerance: float = 1e-10) -> None:
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("phase", [1, 2, 3])
@pytest.mark.parametrize(
    ("length", "chunks", "offset"), [(1, (1, 1), 0), (5, (2, 4), 3), (13, (4, 8), 0), (7, (8, 3), 5)]
)
def test_both_forms_are_equal_with_all_gradients(
    phase: Phase, length: int, chunks: tuple[int, int], offset: int
) -> None:
    """I1: the delta rule and linear attention on frozen gradients are the differentiated loss, step by step."""
    state = SelfState(memories(), memories(seed=100), offset)
    settings: dict[str, Any] = {"phase": phase, "chunks": chunks, "eta_scale": 0.1, "plasticity": 0.5}
    found = everything(chunk_self_modifying, inputs(length), fixed(), state, **settings)
    wanted = everything(naive_recurrent_self_modifying, inputs(length), fixed(), state, **settings)
    assert_equal(found, wanted)


def run(state: SelfState | None = None, length: int = 13, **settings: Any) -> tuple[Tensor, SelfState]:
    arguments: dict[str, Any] = {"eta_scale": 0.1, "chunks": (4, 8), **settings}
    o, end = self_modifying(**inputs(length), fixed=fixed(), initial_state=state or start(memories()), **arguments)
    assert end is not None
    return o, end


def test_each_phase_contains_the_one_before() -> None:
    """Phase 2 whose projections learn nothing is phase 1; phase 3 differs from 2 in its targets only."""
    static, end = run(phase=1)
    for name in NAMES[:4]:
        assert torch.equal(end.memories[name].w2, memories()[name].w2)
    still, _ = run(phase=2, plasticity=0.0)
    torch.testing.assert_close(still, static, rtol=1e-12, atol=1e-12)
    adaptive, _ = run(phase=2)
    assert (adaptive - static).abs().max() > 1e-3
    own, _ = run(phase=3)
    assert (own - adaptive).abs().max() > 1e-3
    silent, end = run(phase=3, eta_scale=0.0)
    o, _ = run(phase=1, eta_scale=0.0)
    # Without a step size memories only fade.
    assert (end.memories["mem"].w2 / memories()["mem"].w2).std() < 0.1
    torch.testing.assert_close(silent[:, :4], o[:, :4])


def test_without_erasing_phase_one_is_a_perceptron_of_titans() -> None:
    """The same gradients; what W_2 gives up along the key, -eta k k^T W_2, is what delta gradient descent adds."""
    x, q = inputs(8)["x"], inputs(8)["q"]
    state = start(memories())
    held, still = memories(), fixed()
    k = functional.normalize(
        x + torch.einsum("bnhe,bhek->bnhk", functional.gelu(torch.einsum("bnhk,bhke->bnhe", x, held["k"].w2)),
                         held["k"].w1), dim=-1)  # fmt: skip
    a, b = ({name: Perceptron(w1, w2) for name, (w1, w2) in one.items()} for one in (held, held))
    _, end = run(replace(state, memories=a, anchors=b), length=8, phase=1, chunks=(99, 99))
    v, eta, alpha = (
        (x if name == "v" else (x * getattr(still, name)).sum(-1, keepdim=True))
        + torch.einsum("bnhe,bheo->bnho", functional.gelu(torch.einsum("bnhk,bhke->bnhe", x, held[name].w2)),
                       held[name].w1)
        for name in ("v", "eta", "alpha")
    )  # fmt: skip
    eta = 0.1 * functional.softplus(eta[..., 0] + still.eta_bias)
    alpha = torch.sigmoid(alpha[..., 0] + still.alpha_bias)
    weights = (held["mem"].w2, held["mem"].w1)
    _, plain = deep(
        q, k, v - k, initial_state=start_update(weights, k, v), theta=eta, g=alpha.log(), memory=Mlp(), chunk_size=99
    )
    assert plain is not None
    torch.testing.assert_close(end.memories["mem"].w1, plain.parameters[1], rtol=1e-9, atol=1e-9)
    assert (end.memories["mem"].w2 - plain.parameters[0]).abs().max() > 1e-2


@pytest.mark.parametrize("form", ["recurrent", "chunk"])
@pytest.mark.parametrize("cuts", [(7,), (1, 2, 3, 12), (8,)])
def test_a_stream_may_be_cut_anywhere(form: str, cuts: tuple[int, ...]) -> None:
    """I23."""
    tensors = inputs(15)
    settings: dict[str, Any] = {"fixed": fixed(), "chunks": (4, 8), "eta_scale": 0.1, "form": form}
    whole, end = self_modifying(**tensors, initial_state=start(memories()), **settings)
    state: SelfState | None = start(memories())
    outputs = []
    for first, last in pairwise((0, *cuts, 15)):
        assert state is not None
        part = {name: one[:, first:last] for name, one in tensors.items()}
        o, state = self_modifying(**part, initial_state=state, **settings)
        outputs.append(o)
    assert state is not None
    assert end is not None
    assert_equal([torch.cat(outputs, 1), *leaves(state)], [whole, *leaves(end)])


def test_all_is_read_before_anything_is_written() -> None:
    """Within a chunk every token sees the memories at its beginning."""
    o, _ = run(length=8, chunks=(8, 8))
    h = functional.gelu(torch.einsum("bnhk,bhke->bnhe", inputs(8)["q"], memories()["mem"].w2))
    torch.testing.assert_close(o, inputs(8)["q"] + torch.einsum("bnhe,bhek->bnhk", h, memories()["mem"].w1))


@pytest.mark.parametrize("form", ["recurrent", "chunk"])
def test_nothing_and_not_a_number(form: str) -> None:
    o, end = run(length=0, form=form)
    assert o.shape == (B, 0, H, K)
    assert all(map(torch.equal, leaves(end), leaves(start(memories()))))
    spoiled = inputs(12)
    spoiled["x"][0, 5, 0, 0] = torch.nan
    o, _ = self_modifying(
        **spoiled,
        fixed=fixed(),
        initial_state=start(memories()),
        chunks=(4, 8),
        form=form,  # type: ignore[call-arg]
    )
    assert not o[0, :8].isnan().any()
    assert o[0, 8:, 0].isnan().all()
    assert not o[1].isnan().any()
    assert not o[0, :, 1].isnan().any()


def test_single_precision_and_half() -> None:
    single, still = inputs(20, torch.float32), fixed(torch.float32)
    state = start(memories(dtype=torch.float32))
    settings: dict[str, Any] = {"chunks": (4, 8), "eta_scale": 0.01}
    found = everything(chunk_self_modifying, single, still, state, **settings)
    assert_equal(found, everything(naive_recurrent_self_modifying, single, still, state, **settings), 1e-3)
    half = {name: one.bfloat16() for name, one in single.items()}
    o, end = self_modifying(**half, fixed=still, initial_state=state, chunks=(4, 8))
    assert o.dtype == torch.bfloat16
    assert end is not None
    assert {one.dtype for one in leaves(end)} == {torch.float32}
    assert {name: memory.w1.shape[-1] for name, memory in initial_memories(1, 3).items()} == {
        "k": 3, "v": 3, "eta": 1, "alpha": 1, "mem": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"x": drawn(B, 3, H, K + 1)}, "q and x must be"),
        ({"phase": 4}, "got 4"),
        ({"chunks": (0, 1)}, r"got 3 and \(0, 1\)"),
        ({"fixed": fixed()._replace(eta=drawn(K))}, r"eta must be \(2, 4\)"),
        ({"initial_state": start({"k": memories()["k"]})}, "this has k"),
        ({"initial_state": start({**memories(), "eta": memories()["k"]})}, r"eta must be W_1 \[B, H, E, 1\]"),
    ],
)
def test_what_does_not_fit_is_told(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        self_modifying(**{**inputs(3), "fixed": fixed(), "initial_state": start(memories()), **wrong})
