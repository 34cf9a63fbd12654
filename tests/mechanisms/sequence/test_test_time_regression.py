"""Test-time regression: its presets are the named layers, its kernels the one update, and what cannot be is refused."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.frozen import Mlp
from remanence.kernels.sequence.newton_schulz import newton_schulz
from remanence.kernels.sequence.update import UpdateState, naive_update
from remanence.mechanisms.sequence.atlas import Atlas
from remanence.mechanisms.sequence.delta_net import DeltaNet
from remanence.mechanisms.sequence.gated_delta_net import GatedDeltaNet
from remanence.mechanisms.sequence.gated_kalmanet import GatedKalmaNet
from remanence.mechanisms.sequence.linear_attention import LinearAttention
from remanence.mechanisms.sequence.test_time_regression import TestTimeRegression
from remanence.mechanisms.sequence.titans import Titans
from remanence.substrates.sequence.families.regression import KERNELS, PRESETS
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.mixer import HeadMixer
from remanence.substrates.sequence.probe import tokens
from remanence.witnesses.sequence.test_time_regression import correlated, measure, witness

L = TypeVar("L", bound=HeadMixer)
SIZE = 8
THETA = "projections.theta"
GATE_ROWS = {
    "titans": ("forget", "eta", "theta"),
    "omega": ("forget", "theta", "gamma"),
    "atlas": ("forget", "rate", "gamma", "eta"),
}
"""What the parts of the one gate projection of a layer are."""
NAMED: dict[str, tuple[HeadMixer, dict[str, str]]] = {
    "linear_attention": (LinearAttention(hidden_size=SIZE), {}),
    "retnet": (LinearAttention.retnet(hidden_size=SIZE), {}),
    "mamba2": (LinearAttention.mamba2(hidden_size=SIZE), {}),
    "gla": (LinearAttention.gla(hidden_size=SIZE), {}),
    "delta_net": (DeltaNet(hidden_size=SIZE), {"b_proj": THETA}),
    "gated_delta_net": (GatedDeltaNet(hidden_size=SIZE), {"b_proj": THETA}),
    "kda": (GatedDeltaNet(gate="channel", hidden_size=SIZE), {"b_proj": THETA}),
    "mesa": (GatedKalmaNet.mesa(hidden_size=SIZE), {"b_proj": THETA}),
    "gka": (GatedKalmaNet(hidden_size=SIZE), {"b_proj": THETA, "alpha_proj": "projections.alpha"}),
    "titans": (Titans(hidden_size=SIZE), {}),
    "omega": (Atlas.published("omeganet", hidden_size=SIZE, num_heads=2), {}),
    "atlas": (Atlas(hidden_size=SIZE, num_heads=2), {}),
}
"""Named layers, and what their weights are called in the family."""
GRADIENT = ["retnet", "mamba2", "gla", "delta_net", "gated_delta_net", "kda", "titans", "omega", "atlas"]


def layer(preset: str, **axes: Any) -> TestTimeRegression:
    """In float64, with weights that are not special."""
    made = TestTimeRegression(preset=preset, **{"hidden_size": SIZE, "expansion": 2.0, **axes}).double()
    return stirred(made)


def stirred(made: L) -> L:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for one in made.parameters():
            one.add_(0.1 * torch.randn(one.shape, generator=generator, dtype=one.dtype))
    return made


def parts(made: TestTimeRegression, x: Tensor) -> tuple[Tensor, Tensor, Tensor, dict[str, Any]]:
    """What the memory is given for tokens."""
    q, k, v, _ = made.project(x, made.init_state(x.shape[0]))
    return made.features(q), made.features(k), v, dict(made.gates(x))


def renamed(preset: str, made: TestTimeRegression) -> dict[str, Tensor]:
    """The weights of a named layer as the family has them; what is not there (a bias) is 0."""
    named, names = NAMED[preset]
    found = {name: torch.zeros_like(one) for name, one in made.state_dict().items()}
    for name, one in named.state_dict().items():
        stem = name.partition(".")[0]
        if stem == "gate_proj":
            rows = GATE_ROWS[preset]
            parts = zip(rows, one.chunk(len(rows)), strict=True)
            found.update({name.replace(stem, f"projections.{own}"): part for own, part in parts})
        else:
            found[name.replace(stem, names.get(stem, stem), 1)] = one
    return found


@pytest.mark.parametrize("preset", NAMED)
def test_a_preset_is_the_named_layer(preset: str) -> None:
    """Same weights, same outputs, over more than one chunk."""
    named = stirred(NAMED[preset][0].double())
    made = TestTimeRegression(preset=preset, hidden_size=SIZE).double()
    weights = renamed(preset, made)
    if isinstance(named, Atlas):
        # ATLAS learns the coefficients of its features from those of the Taylor series on.
        assert named.coefficients is not None
        named.coefficients.data = torch.tensor([1.0, 1.0, 0.5], dtype=torch.float64)
        del weights["coefficients"]
    made.load_state_dict(weights)
    x = tokens(0, made, length=37)
    torch.testing.assert_close(made.scan(x)[0], named.scan(x)[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("preset", GRADIENT)
def test_gradient_presets_are_the_one_update(preset: str) -> None:
    """Each kernel that is chosen against the update written once, by autograd, with the axes as they are set."""
    made = layer(preset, depth=1 if preset == "atlas" else 2)
    settings = made.settings
    q, k, v, gates = parts(made, tokens(0, made, length=21))
    o, _ = made.recall(q, k, v, made.init_memory(2, device=None, dtype=q.dtype), **gates)
    start = tuple(one.expand(2, *one.shape) for one in made.initial)
    if not start:
        start = (torch.zeros(2, made.num_heads, q.shape[-1], v.shape[-1], dtype=q.dtype),)
    none = tuple(torch.zeros_like(one) for one in start)
    wanted, _ = naive_update(
        q,
        k,
        v,
        state=UpdateState(start, none, start, k[:, :0], v[:, :0], k[:, :0, :, 0]),
        apply=Mlp(),
        loss=settings.loss,
        grad_at=settings.grad_at,
        window=settings.window or 1,
        chunk_size=settings.chunk_size,
        post=newton_schulz if settings.solver == "muon" else lambda step: step,
        scale=1.0 if made.kernel.name == "frozen gradients" else q.shape[-1] ** -0.5,
        **gates,
    )
    torch.testing.assert_close(o, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("preset", PRESETS)
def test_scans_are_steps_and_a_stream_may_be_cut_anywhere(preset: str) -> None:
    made = layer(preset, **({"chunk_size": 4} if preset not in ("softmax", "local_linear") else {}))
    x = tokens(0, made, length=11)
    with torch.no_grad():
        whole, end = made.scan(x)
        first, middle = made.scan(x[:, :6])
        second, last = made.scan(x[:, 6:9], middle)
        outputs = [first, second]
        for t in (9, 10):
            y, last = made.step(x[:, t], last)
            outputs.append(y[:, None])
    torch.testing.assert_close(torch.cat(outputs, 1), whole, rtol=1e-8, atol=1e-8)
    for name, one in end.items():
        torch.testing.assert_close(last[name], one, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("preset", ["softmax", "local_linear"])
@pytest.mark.parametrize("window", [None, 4])
def test_sequences_of_different_length_attend_in_one_batch(preset: str, window: int | None) -> None:
    made = layer(preset, window=window)
    x = tokens(0, made, length=9)
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[0, [0, 3, 4]] = False
    more = tokens(1, made, length=5)
    y, state = made.scan(x, mask=mask)
    later, _ = made.scan(more, state)
    alone, its = made.scan(x[:1, mask[0]])
    torch.testing.assert_close(y[:1, mask[0]], alone)
    torch.testing.assert_close(later[:1], made.scan(more[:1], its)[0])
    torch.testing.assert_close(later[1:], made.scan(more[1:], made.scan(x[1:])[1])[0])


@pytest.mark.parametrize(
    ("axes", "kernel"),
    [
        ({"preset": "gated_delta_net", "read_at": "before"}, "naive update, token by token"),
        ({"preset": "gated_delta_net", "solver": "momentum"}, "naive update, token by token"),
        ({"preset": "titans", "grad_at": "decayed"}, "naive update, token by token"),
        ({"preset": "kda", "weights": "window", "window": 3}, "naive update with decay by channel"),
        ({"preset": "gla", "read_at": "before"}, "naive update with decay by channel"),
        ({"preset": "gated_delta_net", "grad_at": "previous"}, "delta rule"),
        ({"preset": "titans", "memory": "linear"}, "frozen gradients"),
        ({"preset": "titans", "grad_at": "previous"}, "frozen gradients"),
        ({"preset": "titans", "loss": "dot", "solver": "gd"}, "frozen gradients"),
        ({"preset": "omega", "loss": "dot", "memory": "linear"}, "frozen gradients"),
        ({"preset": "softmax", "window": 5}, "attention"),
        ({"preset": "gka", "solver": "exact", "feature": "poly2"}, "ridge"),
    ],
)
def test_other_choices_find_a_kernel_or_the_naive_update(axes: dict[str, Any], kernel: str) -> None:
    made = layer(**axes)
    assert made.kernel.name == kernel
    x = tokens(0, made, length=7)
    with torch.no_grad():
        whole, _ = made.scan(x)
        first, state = made.scan(x[:, :3])
        rest, _ = made.scan(x[:, 3:], state)
    torch.testing.assert_close(torch.cat((first, rest), 1), whole, rtol=1e-9, atol=1e-9)


def test_reading_before_the_write_lags_by_one_token() -> None:
    """A linear memory without decay, asked the same of two moments: before a write is after the one before it."""
    before, after = layer("delta_net", read_at="before"), layer("delta_net")
    q, k, v, gates = parts(after, tokens(0, after, length=9))
    same = q[:, :1].expand_as(q)
    start = after.init_memory(2, device=None, dtype=q.dtype)
    late, _ = before.recall(same, k, v, before.init_memory(2, device=None, dtype=q.dtype), **gates)
    early, _ = after.recall(same, k, v, start, **gates)
    torch.testing.assert_close(late[:, 1:] * q.shape[-1] ** -0.5, early[:, :-1])
    assert late[:, 0].eq(0).all()


def test_where_the_gradient_is_taken_matters_as_soon_as_the_past_fades() -> None:
    """I4: "decayed" and "previous" must not be merged; without decay they are the same."""
    for preset, differ in (("gated_delta_net", True), ("delta_net", False)):
        decayed, previous = layer(preset), layer(preset, grad_at="previous")
        previous.load_state_dict(decayed.state_dict())
        x = tokens(0, decayed, length=20)
        q, k, v, gates = parts(decayed, x)
        if differ:
            gates["g"] = 5 * gates["g"] - 0.3
        found = [
            made.recall(q, k, v, made.init_memory(2, device=None, dtype=q.dtype), **gates)[0]
            for made in (decayed, previous)
        ]
        off = ((found[0] - found[1]).norm() / found[0].norm()).item()
        assert off > 1e-2 if differ else off < 1e-12


def test_a_window_of_one_without_momentum_is_titans_without_momentum() -> None:
    omega = layer("omega", window=1, gate_window=False, feature="identity", max_step=0.02)
    titans = layer("titans", solver="gd")
    titans.load_state_dict(omega.state_dict())
    x = tokens(0, omega, length=37)
    torch.testing.assert_close(omega.scan(x)[0], titans.scan(x)[0], rtol=1e-10, atol=1e-10)


def test_a_line_without_slope_is_softmax_attention() -> None:
    line, mean = layer("local_linear", epsilon=1e14), layer("softmax")
    x = tokens(0, mean, length=20)
    torch.testing.assert_close(line.scan(x)[0], mean.scan(x)[0], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ({"preset": "perceiver"}, "no preset 'perceiver'; there are linear_attention"),
        ({"solver": "newton"}, "solver is one of gd, momentum.*'newton'"),
        ({"feature": "sine"}, "no feature map 'sine'"),
        ({"window": 4}, "weights='last' and window=4"),
        ({"preset": "softmax", "window": 0}, "window must be at least 1, or None; got 0"),
        ({"weights": "window"}, "window=None"),
        ({"weights": "uniform"}, "weights='uniform' and decay='token' contradict"),
        ({"preset": "delta_net", "weights": "decay"}, "weights='decay' and decay='none' contradict"),
        ({"mix": True}, "mix a solver that is exact"),
        ({"gate_window": True}, "gate_window needs weights='window'"),
        ({"normalize": True}, "normalize needs a Hebbian memory"),
        ({"step": "decay", "decay": "none"}, "step='decay' takes the step of decay='token'"),
        ({"hidden_size": 0}, "hidden_size must be at least 1"),
    ],
)
def test_what_does_not_go_together_is_told(axes: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        TestTimeRegression(**axes)


@pytest.mark.parametrize(
    "axes",
    [
        {"preset": "softmax", "decay": "token"},
        {"preset": "softmax", "solver": "gd"},
        {"preset": "local_linear", "read_at": "before"},
        {"preset": "titans", "decay": "channel"},
        {"preset": "titans", "solver": "exact", "weights": "decay"},
        {"preset": "gka", "decay": "channel"},
        {"preset": "gka", "memory": "mlp"},
        {"preset": "gka", "loss": "dot"},
        {"preset": "longhorn", "read_at": "before"},
        {"preset": "gated_delta_net", "weights": "decay"},
    ],
)
def test_what_no_memory_can_do_is_refused_with_all_that_is_possible(axes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="nothing fits") as caught:
        TestTimeRegression(**axes)
    assert all(kernel.name in str(caught.value) for kernel in KERNELS)


def test_every_kernel_but_the_naive_ones_has_a_preset() -> None:
    used = {layer(preset).kernel.name for preset in PRESETS}
    assert used == {kernel.name for kernel in KERNELS if "naive" not in kernel.name}


def test_names_of_leaves_that_grow_are_those_of_attention_alone() -> None:
    for preset in PRESETS:
        made = layer(preset)
        state: State = made.scan(tokens(0, made, length=5))[1]
        grown = {name for name, one in state.items() if one.shape != made.init_state(2)[name].shape}
        assert grown == (set(made.growing) if preset in ("softmax", "local_linear") else set())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_witness_holds(seed: int) -> None:
    evidence = witness(seed)
    assert evidence.holds
    assert evidence.value < 0.4 * evidence.baseline


def test_without_noise_the_line_is_nearly_exact_and_the_mean_is_not() -> None:
    found = measure(0, noise=0.0)
    assert found["line"] < 0.01 < 0.05 < found["mean"]


def test_the_more_a_memory_notes_how_keys_covary_the_more_it_recalls() -> None:
    """linear < delta < omega with 16 tokens < ridge, on keys that share half of themselves."""
    found = correlated(0)
    assert list(found) == sorted(found, key=lambda name: found[name]) == ["linear", "delta", "omega", "ridge"]
    assert found["ridge"] > 0.95
    assert found["omega"] - found["delta"] > 0.3
