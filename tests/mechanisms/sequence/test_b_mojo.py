"""B'MOJO: three sets under one softmax, each empty in turn, and what the third one is for."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.attention import attention
from remanence.kernels.sequence.rotary import rotary
from remanence.mechanisms.sequence.b_mojo import BMojo
from remanence.substrates.sequence.probe import tokens
from remanence.witnesses.sequence.b_mojo import measure, witness
from tests.mechanisms.sequence.streams import by_steps, largest, perturbed

EVERY: list[dict[str, Any]] = [
    {},
    {"fading": "average", "tie": False},
    {"fading": "none", "qk_norm": True},
    {"eidetic": 0},
    {"eidetic": 1, "window": 1},
    {"tie": False, "qk_norm": True, "forget": 0.9, "chunk_size": 5},
]


def layer(**arguments: Any) -> BMojo:
    return perturbed(BMojo(**{"hidden_size": 16, "window": 4, "eidetic": 3, **arguments}))


def heads(x: Tensor) -> Tensor:
    split: Tensor = x.unflatten(-1, (2, 8))
    return split


def by_sets(made: BMojo, x: Tensor) -> tuple[Tensor, list[list[int]]]:
    """y of one sequence, from the three sets of each token written down, and the eidetic sets."""
    at = torch.arange(x.shape[1])
    f = x if made.recurrence is None else made.recurrence.advance(x, made.recurrence.init_state(1), form="auto")[0]
    q, k, v = made.q_norm(heads(made.q_proj(x))), made.k_norm(heads(made.k_proj(x))), heads(made.v_proj(x))
    faded_k = made.k_norm(heads((made.fading_k_proj or made.k_proj)(f)))
    faded_v = heads((made.fading_v_proj or made.v_proj)(f))
    q, k, faded_k = rotary(q, at), rotary(k, at), rotary(faded_k, at)
    score = made.surprise(f, made.init_state(1))[0][0] if made.eidetic else torch.zeros(x.shape[1])
    w, outputs, sets = made.window, [], []
    for t in range(x.shape[1]):
        window = list(range(max(0, t - w + 1), t + 1))
        old = sorted(range(max(0, t - w + 1)), key=lambda i: (-float(score[i]), i))
        sets.append(sorted(old[: made.eidetic]))
        fading = [] if made.recurrence is None else list(range(max(0, t - 2 * w + 1), max(0, t - w + 1)))
        keys = torch.cat((k[0, window], k[0, sets[-1]], faded_k[0, fading]))
        values = torch.cat((v[0, window], v[0, sets[-1]], faded_v[0, fading]))
        p = (torch.einsum("hk,nhk->nh", q[0, t], keys) / 8**0.5).softmax(0)
        outputs.append(torch.einsum("nh,nhv->hv", p, values))
    return made.o_proj(torch.stack(outputs)[None].flatten(2)), sets


@pytest.mark.parametrize("setting", EVERY, ids=str)
def test_it_is_one_softmax_over_the_union_of_its_three_sets(setting: dict[str, Any]) -> None:
    made = layer(**setting)
    x = tokens(0, made, batch=1, length=25)
    wanted, sets = by_sets(made, x)
    torch.testing.assert_close(made.scan(x)[0], wanted, rtol=1e-10, atol=1e-10)
    # The sets of surprising tokens do change, and not at every token.
    changes = sum(one != two for one, two in pairwise(sets))
    assert not made.eidetic or 1 < changes < 24


@pytest.mark.parametrize("setting", EVERY, ids=str)
def test_every_setting_scans_as_it_steps(setting: dict[str, Any]) -> None:
    made = layer(**setting)
    x = tokens(1, made, length=19)
    mask = torch.ones(2, 19, dtype=torch.bool)
    mask[0, 3:8] = False
    with torch.no_grad():
        _, warm = made.scan(tokens(2, made), mask=torch.tensor([[True] * 11, [True] * 3 + [False] * 8]))
        (y, end), (wanted, wanted_end) = made.scan(x, warm), by_steps(made, x, warm)
        padded, _ = made.scan(x, warm, mask=mask)
    assert largest(y - wanted) < 1e-10
    for name, one in wanted_end.items():
        torch.testing.assert_close(end[name], one, rtol=1e-9, atol=1e-9)
    assert largest(padded[1] - y[1]) < 1e-10


def attended(made: BMojo, x: Tensor, window: int | None) -> Tensor:
    at = torch.arange(x.shape[1])
    q, k = (rotary(heads(projection(x)), at) for projection in (made.q_proj, made.k_proj))
    y: Tensor = made.o_proj(attention(q, k, heads(made.v_proj(x)), window=window).o.flatten(2))
    return y


def test_without_recurrence_and_set_it_is_sliding_window_attention() -> None:
    """I22."""
    made = layer(fading="none", eidetic=0)
    x = tokens(3, made, length=20)
    torch.testing.assert_close(made.scan(x)[0], attended(made, x, 4), rtol=1e-12, atol=1e-12)


def test_with_a_window_over_everything_it_is_full_attention() -> None:
    """I22: nothing has left the window, so that the other sets are empty. They would not be if tokens were offered to
    them as they come, and then be counted twice."""
    x = tokens(3, layer(), length=20)
    for window, equal in ((20, True), (33, True), (19, False)):
        made = layer(window=window)
        assert torch.allclose(made.scan(x)[0], attended(made, x, None), rtol=1e-12, atol=1e-12) == equal


def test_the_set_is_a_set_of_old_tokens_word_for_word() -> None:
    made = layer()
    x = tokens(4, made, batch=1, length=30)
    _, state = made.scan(x)
    _, sets = by_sets(made, x)
    k = rotary(heads(made.k_proj(x)), torch.arange(30))
    torch.testing.assert_close(state["eidetic_k"][0], k[0, sets[-1]])
    torch.testing.assert_close(state["eidetic_v"][0], heads(made.v_proj(x))[0, sets[-1]])
    assert max(sets[-1]) <= 30 - 1 - 4


def test_old_tokens_in_the_set_learn_from_what_is_read_now() -> None:
    made = layer(fading="none")
    x = tokens(4, made, batch=1, length=30).requires_grad_()
    y, _ = made.scan(x)
    (gradient,) = torch.autograd.grad(y[0, -1].sum(), x)
    _, sets = by_sets(made, x)
    seen = [i for i in range(30) if gradient[0, i].any()]
    assert seen == sorted({*sets[-1], *range(26, 30)})


def test_reading_is_what_the_last_token_saw() -> None:
    made = layer()
    x = tokens(5, made, length=25)
    with torch.no_grad():
        y, state = made.scan(x)
    q = rotary(heads(made.q_proj(x[:, -1:])), torch.tensor([24]))
    before = {name: one.clone() for name, one in state.items()}
    found = made.o_proj(made.read(q, state).flatten(2))
    assert all(torch.equal(one, before[name]) for name, one in state.items())
    # But for the oldest output of the recurrence, which the state does not need any more.
    missing = layer(fading="none")
    missing.load_state_dict({name: one for name, one in made.state_dict().items() if "recurrence" not in name})
    assert found.shape == y[:, -1:].shape
    y, state = missing.scan(x)
    torch.testing.assert_close(missing.o_proj(missing.read(q, state).flatten(2)), y[:, -1:])


def test_an_empty_state_answers_nothing() -> None:
    made = layer()
    assert not made.read(torch.ones(2, 3, 2, 8, dtype=torch.float64), made.init_state(2)).any()


def test_the_choice_of_tokens_has_no_gradient_and_everything_else_has() -> None:
    for setting in EVERY:
        made = layer(**setting)
        made.scan(tokens(6, made, length=20))[0].square().sum().backward()
        idle = [name for name, one in made.named_parameters() if one.grad is None or not one.grad.any()]
        assert idle == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"num_heads": 3}, "hidden_size 16 must be an even multiple of num_heads 3"),
        ({"num_heads": 16}, "num_heads 16"),
        ({"window": 0}, "got 0, 64, 3"),
        ({"eidetic": -1}, "got 4, 64, -1"),
        ({"fading": "lstm"}, "'lstm' and 0.999"),
        ({"forget": 0.0}, "'mamba2' and 0.0"),
    ],
)
def test_unknown_settings_are_told(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        layer(**wrong)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_witness_holds(seed: int) -> None:
    evidence = witness(seed)
    assert evidence.holds
    assert evidence.value > 0.85
    assert evidence.baseline < 0.2


def test_recall_is_that_of_the_table() -> None:
    """0.925 of the planted tokens with a set of 16, none with the window alone."""
    found = [measure(seed) for seed in range(5)]
    assert sum(one["b_mojo"] for one in found) / 5 == pytest.approx(0.925, abs=0.04)
    assert sum(one["window"] for one in found) / 5 < 0.05
