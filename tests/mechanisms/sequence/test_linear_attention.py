"""Linear attention: its outputs are weighted means of values, its decays those of other layers, its scan its steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.hebbian import hebbian
from remanence.mechanisms.sequence.linear_attention import LinearAttention
from remanence.substrates.sequence.probe import tokens
from remanence.witnesses.sequence.linear_attention import measure, witness

SETTINGS: dict[str, LinearAttention] = {
    "linear attention": LinearAttention(hidden_size=16),
    "taylor": LinearAttention(hidden_size=16, feature_name="taylor2"),
    "with a gate": LinearAttention(hidden_size=16, decay="channel"),
    "retnet": LinearAttention.retnet(hidden_size=16),
    "mamba2": LinearAttention.mamba2(hidden_size=16),
    "gla": LinearAttention.gla(hidden_size=16, expand_v=2.0),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_in_every_setting_a_scan_is_steps(name: str) -> None:
    made = SETTINGS[name].double()
    x = tokens(0, made, length=21)
    y, end = made.scan(x)
    state, ys = made.init_state(2), []
    for t in range(21):
        out, state = made.step(x[:, t], state)
        ys.append(out)
    torch.testing.assert_close(y, torch.stack(ys, 1), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(end, state, rtol=1e-9, atol=1e-9)


def pairs(made: LinearAttention, length: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (1, length, made.num_heads, made.head_dim)
    q, k, v = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3))
    return made.features(q), made.features(k), v


def test_it_is_attention_with_another_kernel_than_exp() -> None:
    """A softmax without exponential: weights phi(q) . phi(k) over their sum."""
    made = LinearAttention(hidden_size=16).double()
    q, k, v = pairs(made)
    o, state = made.recall(q, k, v, made.init_memory(1, device=None, dtype=v.dtype))
    kernel = torch.einsum("bthk,bshk->bhts", q, k).tril()
    weights = kernel / kernel.sum(-1, keepdim=True)
    torch.testing.assert_close(o, torch.einsum("bhts,bshv->bthv", weights, v))
    torch.testing.assert_close(made.read(q[:, -1:], state), o[:, -1:])


def test_a_sum_that_is_not_divided_is_no_mean() -> None:
    """The plausible mistake: values that are all 1 come back as 1 only if z is kept."""
    means, sums = (LinearAttention(hidden_size=16, normalize=one).double() for one in (True, False))
    q, k, v = pairs(means)
    ones = torch.ones_like(v)
    o, _ = means.recall(q, k, ones, means.init_memory(1, device=None, dtype=v.dtype))
    torch.testing.assert_close(o, ones)
    o, _ = sums.recall(q, k, ones, sums.init_memory(1, device=None, dtype=v.dtype))
    assert (o - ones).abs().max() > 1


def test_taylor_features_are_the_series_of_exp() -> None:
    """Reads tend to those of softmax attention, as far as two terms of the series go."""
    made = LinearAttention(hidden_size=16, feature_name="taylor2").double()
    generator = torch.Generator().manual_seed(1)
    q, k, v = (0.4 * torch.randn(1, 12, 2, 8, generator=generator, dtype=torch.float64) for _ in range(3))
    o, _ = made.recall(made.features(q), made.features(k), v, made.init_memory(1, device=None, dtype=v.dtype))
    scores = torch.einsum("bthk,bshk->bhts", q, k)
    later = torch.ones(12, 12, dtype=torch.bool).triu(1)
    softmax = torch.einsum("bhts,bshv->bthv", scores.masked_fill(later, -torch.inf).softmax(-1), v)
    assert (o - softmax).abs().max() < 0.1 * softmax.abs().max()
    uniform = v.cumsum(1) / torch.arange(1, 13)[None, :, None, None]
    assert (uniform - softmax).abs().max() > 0.1 * softmax.abs().max()


def test_retnet_decays_every_head_by_its_own_constant() -> None:
    made = LinearAttention.retnet(hidden_size=32, num_heads=4).double()
    g = made.gates(torch.zeros(1, 5, 32))["g"]
    torch.testing.assert_close(g.exp()[0, 3], torch.tensor([31 / 32, 63 / 64, 127 / 128, 255 / 256], dtype=g.dtype))
    q, k, v = pairs(made)
    o, _ = made.recall(q, k, v, made.init_memory(1, device=None, dtype=v.dtype), g=g[:, :1].expand(-1, 12, -1))
    since = torch.arange(12)[:, None] - torch.arange(12)
    for head in range(4):
        weights = (q[0, :, head] @ k[0, :, head].mT * g[0, 0, head].exp() ** since.clamp(min=0)).tril() / 8**0.5
        torch.testing.assert_close(o[0, :, head], weights @ v[0, :, head])


def test_mamba2_writes_with_the_step_that_its_decay_is_made_of() -> None:
    """a = exp(-A dt) and the write is dt k v^T: for small steps, beta A + log a = 0."""
    made = LinearAttention.mamba2(hidden_size=16).double()
    assert made.decay is not None
    gates = made.gates(tokens(0, made))
    torch.testing.assert_close(gates["g"], -gates["beta"] * made.decay.A_log.exp())
    assert (gates["beta"] > 0).all()
    assert "beta" not in LinearAttention.gla(hidden_size=16).gates(tokens(0, made).float())


def test_decay_by_channel_reaches_features_not_coordinates() -> None:
    made = LinearAttention(hidden_size=16, feature_name="poly2", decay="channel")
    assert made.gates(tokens(0, made))["g"].shape == (2, 11, 2, 36)
    assert made.init_state(3)["memory"].shape == (3, 2, 36, 9)


def test_without_features_divisor_and_decay_it_is_the_kernel_alone() -> None:
    made = LinearAttention(hidden_size=16, feature_name="identity", normalize=False).double()
    q, k, v = pairs(made)
    o, _ = made.recall(q, k, v, made.init_memory(1, device=None, dtype=v.dtype))
    torch.testing.assert_close(o, hebbian(q, k, v)[0])


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"decay": "sometimes"}, "decay is one of none, head, token, channel; got 'sometimes'"),
        ({"step": True}, "decay is 'none'"),
        ({"feature_name": "identity"}, "for 'identity' pass normalize=False"),
        ({"feature_name": "cosine"}, "no feature map 'cosine'"),
    ],
)
def test_settings_that_make_no_sense_are_told(setting: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        LinearAttention(**setting)
    assert told in str(raised.value)


def test_it_beats_the_delta_rule_on_unrelated_pairs_alone() -> None:
    """Where keys have much in common the sum confuses more than the delta rule does: the claim goes no further."""
    for seed in range(3):
        assert witness(seed).holds
        found = measure(seed, pairs=24, correlation=0.5)
        assert found["linear"] < found["delta"]
