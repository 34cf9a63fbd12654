"""MemMamba: without notes it is Mamba; notes are read a token after they were taken, and outlive the state."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.state_space import selective_scan
from remanence.mechanisms.sequence.mem_mamba import MemMamba
from remanence.scenarios.planted_tokens import planted_tokens
from remanence.substrates.sequence.families.mamba import Mamba
from remanence.substrates.sequence.probe import tokens
from remanence.witnesses.sequence.mem_mamba import fading, gated, notes
from tests.mechanisms.sequence.streams import largest, perturbed


def layer(**settings: Any) -> MemMamba:
    return perturbed(MemMamba(**{"hidden_size": 8, "pool_size": 5, "state_size": 3, **settings}))


def mamba(made: MemMamba, x: Tensor) -> Tensor:
    """The first layer's state space alone, all tokens together."""
    cell = made.cells[0]
    core = cell.get_submodule("mamba")
    assert isinstance(core, Mamba)
    state = core.init_state(len(x), device=None, dtype=None)
    h, z, _ = core.enter(cell.get_submodule("norm")(x), state["conv"])
    read, _ = core.scan(h, state["ssm"], form="chunk")
    return core.leave(read, z)


def test_without_notes_it_is_mamba() -> None:
    """Nothing is important enough; the parallel scan gives what the tokens one by one gave."""
    made = layer(depth=1, write_threshold=1.0)
    x = tokens(0, made, length=30)
    y, state = made.scan(x)
    assert largest(y - mamba(made, x)) < 1e-10
    assert not state["held_0"].any()


def test_mamba_writes_with_chosen_steps() -> None:
    """softplus(dt), A = -exp(A_log), B and C from the token: spelled out."""
    torch.manual_seed(0)
    core = Mamba(8, state_size=3, norm=True).double()
    h, state = torch.randn(2, 9, 16).double(), torch.randn(2, 16, 3).double()
    b, c = core.bc_proj(h).split(3, -1)
    dt = torch.log1p((core.dt_up(core.dt_down(h)) + core.dt_bias).exp())
    wanted, _ = selective_scan.recurrent(h, dt, -core.A_log.exp(), b, c, core.D, initial_state=state)
    assert largest(core.scan(h, state, form="chunk")[0] - wanted) < 1e-10
    out = wanted * h * h.sigmoid()
    out = out / (out.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    assert largest(core.leave(wanted, h) - out @ core.out_proj.weight.mT) < 1e-10


def test_state_notes_are_read_only_where_it_has_forgotten() -> None:
    """A threshold that no distance reaches: notes are taken and change nothing."""
    made, blind = (
        layer(depth=1, write_threshold=0.0, read_threshold=0.0),
        layer(depth=1, write_threshold=0.0, read_threshold=2.1),
    )
    x = tokens(0, made, length=30)
    plain = mamba(made, x)
    assert largest(blind.scan(x)[0] - plain) < 1e-10
    assert blind.scan(x)[1]["held_0"].all()
    assert largest(made.scan(x)[0] - plain) > 1e-3


def test_a_token_reads_the_notes_before_it_and_not_its_own() -> None:
    """The wrong variant inserts before it reads: then the first output would depend on how notes are made."""
    made, x = layer(depth=1, write_threshold=0.0, read_threshold=0.0), tokens(0, layer(depth=1), length=4)
    before, _ = made.scan(x)
    with torch.no_grad():
        made.cells[0].get_parameter("note.bias").add_(1)
    after, _ = made.scan(x)
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.allclose(before[:, 1], after[:, 1])


def test_every_other_layer_reads_the_notes_below_it() -> None:
    made = layer(depth=4, write_threshold=0.0, read_threshold=2.1, cross_every=2, group=2)
    assert [hasattr(cell, "cross_out") for cell in made.cells] == [False, True, False, True]
    assert not hasattr(layer(depth=2, cross_every=1).cells[0], "cross_out")
    x = tokens(0, made, length=6)
    before, _ = made.scan(x)
    with torch.no_grad():
        made.cells[0].get_parameter("note.bias").add_(1)
    assert largest(made.scan(x)[0] - before) > 1e-6
    blind = layer(depth=4, write_threshold=0.0, read_threshold=2.1, cross_every=5)
    before, _ = blind.scan(x)
    with torch.no_grad():
        blind.cells[0].get_parameter("note.bias").add_(1)
    assert torch.equal(blind.scan(x)[0], before)


@pytest.mark.parametrize("settings", [{}, {"policy": "fifo", "window": 2, "pooling": "mean"}])
def test_a_split_changes_nothing(settings: dict[str, Any]) -> None:
    made = layer(**settings)
    x = tokens(0, made, length=14)
    whole, end = made.scan(x)
    for at in (1, 9):
        first, state = made.scan(x[:, :at])
        second, last = made.scan(x[:, at:], state)
        assert largest(torch.cat((first, second), 1) - whole) < 1e-10
        assert all(torch.allclose(last[name].double(), one.double()) for name, one in end.items())


def test_notes_are_the_more_important_tokens_and_a_fifo_keeps_the_latest() -> None:
    x = tokens(0, layer(), length=40)
    for policy in ("priority", "fifo"):
        made = layer(depth=1, policy=policy, write_threshold=0.0)
        _, state = made.scan(x)
        cell = made.cells[0]
        normed = cell.get_submodule("norm")(x)
        scores = torch.sigmoid(cell.get_submodule("importance")(normed))[..., 0]
        kept = scores.topk(5).indices.sort(1).values if policy == "priority" else torch.arange(35, 40).expand(2, 5)
        wanted = cell.get_submodule("note")(normed).gather(1, kept[..., None].expand(-1, -1, made.note_size))
        assert largest(made.pool(state).notes - wanted) < 1e-10


def test_notes_hold_what_the_state_has_lost_and_a_fifo_pool_loses() -> None:
    """Measured: 1.0 by priority; .15 to .58 by fifo; below .13 in a state fading by .95, .42 to .52 in a gated one."""
    world = planted_tokens(0)
    assert notes(world) > 0.9
    assert notes(world, policy="fifo") < 0.7
    assert fading(world) < 0.2
    assert gated(world) < 0.6


def test_choices_learn_through_their_scores() -> None:
    """Importance and the decoder have no other way to a gradient."""
    made = layer(write_threshold=0.0)
    x = tokens(0, made, length=12)
    (made.scan(x)[0] * tokens(1, made, length=12)).sum().backward()
    for name in ("importance.0.weight", "importance.2.weight", "decode.weight", "query.weight", "note.weight"):
        grad = made.cells[0].get_parameter(name).grad
        assert grad is not None
        assert grad.any(), name


def test_nonsense_is_told() -> None:
    wrongs: list[dict[str, Any]] = [
        {"depth": 0}, {"pool_size": 0}, {"policy": "lifo"}, {"pooling": "sum"}, {"group": 0}, {"note_size": 0},
        {"state_size": 0},
    ]  # fmt: skip
    for wrong in wrongs:
        with pytest.raises(InvalidInput):
            MemMamba(**wrong)
