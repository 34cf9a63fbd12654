"""Titans: what its memory is at its limits, its three architectures as streams, forgetting, momentum, surprise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.frozen import Mlp
from remanence.mechanisms.sequence.titans import Titans
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.probe import tokens
from remanence.witnesses.sequence import titans as witness
from tests.mechanisms.sequence.streams import by_steps, largest, perturbed

VARIANTS = ("lmm", "mac", "mag", "mal")


def small(variant: Any = "lmm", cls: type[Titans] = Titans, **settings: Any) -> Titans:
    """Chunks of four tokens, so that a short stream has many."""
    given = {"hidden_size": 16, "chunk_size": 4, "attention_window": 5, "persistent": 3, "max_lr": 0.1, **settings}
    return perturbed(cls(variant=variant, **given))


def pairs(count: int, dim: int, seed: int) -> tuple[Tensor, Tensor]:
    """Unit keys and values [1, N, 1, D]."""
    generator = torch.Generator().manual_seed(seed)
    k, v = (torch.randn(1, count, 1, dim, generator=generator, dtype=torch.float64) for _ in range(2))
    return functional.normalize(k, dim=-1), functional.normalize(v, dim=-1)


def bare(**settings: Any) -> tuple[Titans, State]:
    """A memory of one head without anything around it, and its first state."""
    layer = Titans(hidden_size=16, num_heads=1, conv_size=1, **settings).double()
    return layer, layer.init_memory(1, device=None, dtype=torch.float64)


def constant(like: Tensor, **gates: float) -> dict[str, Any]:
    return {name: torch.full_like(like[..., 0], value) for name, value in gates.items()}


def test_without_momentum_and_decay_a_matrix_memory_is_the_delta_rule() -> None:
    """I5: theta = beta / 2, as the loss has no half."""
    layer, state = bare(depth=1, chunk_size=1)
    k, v = pairs(12, 16, 0)
    with torch.no_grad():
        o, _ = layer.recall(k, k, v, state, **constant(k, theta=0.35, eta=0.0, g=0.0))
    m, wanted = torch.zeros(16, 16, dtype=torch.float64), []
    for key, value in zip(k[0, :, 0], v[0, :, 0], strict=True):
        m = m + 0.7 * torch.outer(key, value - m.T @ key)
        wanted.append(m.T @ key)
    assert largest(o[0, :, 0] - torch.stack(wanted)) < 1e-12


def test_it_reads_its_formulas_token_by_token() -> None:
    """S = eta S - theta grad, M = (1 - a) M + S, by autograd on the perceptron, with gates as the layer has them."""
    layer = small(depth=2, chunk_size=1, num_heads=1)
    x = tokens(0, layer, batch=1, length=6)
    with torch.no_grad():
        state = layer.init_state(1)
        gates = layer.gates(x)
        k, v = pairs(6, 16, 1)
        o, _ = layer.recall(k, k, v, {n: one for n, one in state.items() if n != "conv"}, **gates)  # type: ignore[arg-type]
    weights = [one.detach()[None].clone() for one in layer.initial]
    momentum = [torch.zeros_like(one) for one in weights]
    for t in range(6):
        at = [one.clone().requires_grad_() for one in weights]
        loss = (Mlp()(tuple(at), k[:, t : t + 1]) - v[:, t : t + 1]).square().sum()
        grads = torch.autograd.grad(loss, at)
        a, eta, theta = 1 - gates["g"][0, t, 0].exp(), gates["eta"][0, t, 0], gates["theta"][0, t, 0]
        momentum = [eta * s - theta * grad for s, grad in zip(momentum, grads, strict=True)]
        weights = [(1 - a) * m + s for m, s in zip(weights, momentum, strict=True)]
        said = Mlp()(tuple(weights), k[:, t : t + 1])
        assert largest(said - o[:, t : t + 1]) < 1e-12


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    "settings", [{}, {"residual": True, "max_lr": 0.01}, {"depth": 3, "persistent": 0, "window": 3}]
)
def test_every_architecture_is_a_stream(variant: str, settings: dict[str, Any]) -> None:
    """Scan is steps, and a cut at any token changes nothing: outputs and states."""
    layer = small(variant, **settings)
    x = tokens(1, layer, length=11)
    with torch.no_grad():
        y, end = layer.scan(x)
        stepped, state = by_steps(layer, x)
        assert largest(y - stepped) < 1e-9
        assert sorted(state) == sorted(end)
        for cut in range(12):
            first, state = layer.scan(x[:, :cut])
            second, state = layer.scan(x[:, cut:], state)
            assert largest(torch.cat((first, second), 1) - y) < 1e-9
            for name, one in end.items():
                assert largest(one.double() - state[name].double()) < 1e-9, name


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_of_every_architecture_are_those_of_steps(variant: str) -> None:
    layer = small(variant)
    x = tokens(1, layer, length=7)
    weight = tokens(2, layer, length=7)
    found = []
    for run in (layer.scan, lambda one: by_steps(layer, one)):
        given = x.clone().requires_grad_()
        found.append(torch.autograd.grad((run(given)[0] * weight).sum(), [given, *layer.parameters()]))
    for one, other in zip(*found, strict=True):
        assert largest(one - other) < 1e-9 * max(1.0, largest(other))
        assert other.abs().max() > 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_architecture_sees_the_future(variant: str) -> None:
    layer = small(variant)
    x = tokens(1, layer, length=13)
    with torch.no_grad():
        y, _ = layer.scan(x)
        for at in range(13):
            other = x.clone()
            other[:, at] += 1
            changed, _ = layer.scan(other)
            if at:
                assert largest(changed[:, :at] - y[:, :at]) < 1e-9
            assert largest(changed[:, at] - y[:, at]) > 1e-6


class SeesTheSegment(Titans):
    """As the formula of mac is written: attention over what the memory answers to the whole segment."""

    def _asked(self, x: Tensor, memory: State) -> Tensor:
        return super()._asked(x, memory).mean(1, keepdim=True).expand(-1, x.shape[1], -1)


def test_a_mac_that_sees_answers_to_its_whole_segment_would_be_noticed() -> None:
    layer = small("mac", SeesTheSegment)
    x = tokens(1, layer, length=8)
    other = x.clone()
    other[:, 3] += 1
    with torch.no_grad():
        assert largest(layer.scan(other)[0][:, :3] - layer.scan(x)[0][:, :3]) > 1e-6
        assert largest(layer.scan(x)[0] - by_steps(layer, x)[0]) > 1e-6


class ForgetsItsAnchor(Titans):
    """Takes gradients of a call at the memory as it stands, not at the one at the chunk's start."""

    def recall(self, q: Tensor, k: Tensor, v: Tensor, state: State, **others: Any) -> tuple[Tensor, State]:
        anchors = {name.replace("memory", "anchor"): one for name, one in state.items() if name.startswith("memory")}
        return super().recall(q, k, v, {**state, **anchors}, **others)


def test_a_stream_that_forgets_where_gradients_are_taken_would_be_noticed() -> None:
    layer = small("lmm", ForgetsItsAnchor)
    x = tokens(1, layer, length=8)
    with torch.no_grad():
        assert largest(layer.scan(x)[0] - by_steps(layer, x)[0]) > 1e-5


def test_learnt_tokens_are_what_the_memory_reads_first() -> None:
    """The memory of mal after x is that of a memory alone, of the same weights, after [p | x]."""
    layer, alone = small("mal"), small("lmm")
    weights = {name: one for name, one in layer.state_dict().items() if name in alone.state_dict()}
    alone.load_state_dict(weights)
    assert layer.persistent is not None
    x = tokens(1, layer, length=6)
    with torch.no_grad():
        _, state = layer.scan(x)
        _, wanted = alone.scan(torch.cat((layer.persistent.expand(2, -1, -1), x), 1))
        for name, one in wanted.items():
            assert largest(state[name].double() - one.double()) < 1e-12, name
        assert state["position"].tolist() == [9, 9]
        y, _ = layer.scan(x)
        layer.persistent.add_(0.5)
        assert largest(layer.scan(x)[0] - y) > 1e-4


def test_forgetting_lets_the_old_go() -> None:
    """The more is written after, the less comes back of what was written before; without decay more is kept."""
    first, then = pairs(8, 16, 0), pairs(24, 16, 1)
    cosines: dict[float, list[float]] = {}
    for a in (0.0, 0.05):
        layer, state = bare(depth=1, chunk_size=1)
        g = float(torch.log1p(torch.tensor(-a, dtype=torch.float64)))
        with torch.no_grad():
            for _ in range(6):
                _, state = layer.recall(first[0], *first, state, **constant(first[0], theta=0.4, eta=0.0, g=0.0))
            sizes = []
            for start in range(0, 24, 8):
                k, v = (one[:, start : start + 8] for one in then)
                sizes.append(float((layer.read(first[0], state) * first[1]).sum(-1).mean()))
                _, state = layer.recall(k, k, v, state, **constant(k, theta=0.1, eta=0.0, g=g))
            sizes.append(float((layer.read(first[0], state) * first[1]).sum(-1).mean()))
        cosines[a] = sizes
    assert cosines[0.05] == sorted(cosines[0.05], reverse=True)
    assert cosines[0.05][-1] < 0.5 * cosines[0.0][-1]


def test_momentum_carries_a_surprise_over_to_what_follows() -> None:
    """A token that is written strongly, and five near it that are hardly written: momentum brings these back better."""
    generator = torch.Generator().manual_seed(3)
    k = torch.randn(1, 1, 1, 16, generator=generator, dtype=torch.float64)
    followers = k + 0.3 * torch.randn(1, 5, 1, 16, generator=generator, dtype=torch.float64)
    keys = functional.normalize(torch.cat((k, followers), 1), dim=-1)
    value = functional.normalize(torch.randn(1, 1, 1, 16, generator=generator, dtype=torch.float64), dim=-1)
    values = value.expand(-1, 6, -1, -1)
    theta = torch.full_like(keys[..., 0], 0.001)
    theta[:, 0] = 0.05
    recalled = {}
    for eta in (0.0, 0.9):
        layer, state = bare(depth=1, chunk_size=1)
        with torch.no_grad():
            _, state = layer.recall(keys, keys, values, state, theta=theta, **constant(keys, eta=eta))
            recalled[eta] = float((layer.read(keys[:, 1:], state) * value).sum(-1).mean())
    assert recalled[0.9] > 2 * recalled[0.0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_surprise_is_large_for_what_is_new(variant: str) -> None:
    """A stream that repeats itself, and one token that does not fit."""
    layer = Titans(hidden_size=16, variant=variant, max_lr=0.1, forget=0.001, momentum=0.5, chunk_size=4).double()
    x = tokens(0, layer, batch=2, length=1).repeat(1, 41, 1)
    x[:, 36] = tokens(9, layer, batch=2, length=1)[:, 0]
    with torch.no_grad():
        found = layer.surprise(x)
        assert found.shape == (2, 41)
        assert (found[:, 35] < 0.7 * found[:, 4]).all()
        assert (found[:, 36] > 1.5 * found[:, 35]).all()
        _, state = layer.scan(x[:, :7])
        assert largest(layer.surprise(x[:, 7:], state) - found[:, 7:]) < 1e-9
        assert layer.surprise(x[:, :0]).shape == (2, 0)


def test_reset_begins_with_the_learnt_weights_and_a_file_continues() -> None:
    layer = small("mag")
    x = tokens(0, layer)
    with torch.no_grad():
        first = layer.stream(x)
        kept = layer.state()
        second = layer.stream(x)
        assert largest(first - second) > 1e-6
        layer.reset()
        assert torch.equal(layer.stream(x), first)
        layer.restore(kept)
        assert torch.equal(layer.stream(x), second)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_witness_shows_that_depth_holds_what_no_matrix_holds(seed: int) -> None:
    """Measured: 0.90, 0.90, 0.93 with two layers and 0.26, 0.23, 0.23 with one."""
    evidence = witness.witness(seed)
    assert evidence.value == pytest.approx(0.91, abs=0.05)
    assert evidence.baseline < 0.3
    assert witness.measure(seed, momentum=0.0, passes=8) < 0.5 * evidence.value


def test_wrong_settings_are_refused() -> None:
    for wrong, match in (
        ({"variant": "mab"}, "'mab'.*lmm, mac, mag, mal"),
        ({"persistent": -1}, "-1"),
        ({"attention_window": 0, "variant": "mag"}, "got 1, 0"),
        ({"max_lr": 0.0}, "max_lr"),
        ({"forget": 0.0}, "within"),
        ({"depth": 0}, "depth 0"),
        ({"residual": True, "expand_v": 2.0}, "residual"),
        ({"residual": True, "feature_name": "poly2"}, "residual"),
        ({"hidden_size": 15, "num_heads": 2, "head_dim": 4, "variant": "mal"}, "15"),
    ):
        with pytest.raises(InvalidInput, match=match):
            Titans(**wrong)
    layer = small("lmm")
    _, one = layer.scan(tokens(0, layer, batch=1, length=2))
    _, other = layer.scan(tokens(0, layer, batch=1, length=3))
    both = {name: torch.cat((one[name], other[name])) for name in one}
    with pytest.raises(InvalidInput, match=r"\[2, 3\] of a chunk"):
        layer.surprise(tokens(0, layer), both)
