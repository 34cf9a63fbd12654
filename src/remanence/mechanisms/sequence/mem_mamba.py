"""MemMamba: state spaces that take notes of what matters, and read them when they seem to have forgotten.

    note     S^l <- insert(N(x_t))              if I_token(x_t) > write_threshold; bounded, the least important goes
    recall   c_tok = attn(x_t; S^l_{t-1})       if I_state = 1 - cos(decode(z_{t-1}), summary(S^l)) > read_threshold
             c_lay = attn(x_t; S^{l-g..l-1})    every `cross_every` layers
    state    xbar = x_t + w_tok F_tok(c_tok) + w_lay F_lay(c_lay),  z_t = ssm(xbar)

Whether a token recalls depends on the state before it, so that tokens come one after the other.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.kernels.sequence import note_pool
from remanence.kernels.sequence.note_pool import NotePool, Policy, Pooling
from remanence.substrates.sequence.base import SequenceLayer
from remanence.substrates.sequence.families.mamba import Mamba
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.mixer import wide
from remanence.substrates.sequence.model import RMSNorm

CARD = Card(
    slug="mem_mamba",
    substrate="sequence",
    title="MemMamba",
    paper="mem_mamba",
    claim="tells what mattered hundreds of tokens ago, which a fading state of the same kind has lost",
    idea="Keeps short notes of important tokens beside each state, and attends to them, and to those of lower layers.",
    equation="xbar = x + w_tok F_tok(attn(x; S^l)) + w_lay F_lay(attn(x; S^{l-g..l-1})), z = ssm(xbar)",
    needs=frozenset({"torch"}),
    deviations=(
        "a token is noted above a fixed importance, not among the top of a sequence, which is not known in advance; "
        "the bound of the pool does the rest. Thresholds, I_token and I_state are not given in the paper",
        "gradients go through the hard choices as if they were the scores behind them",
        "a mechanism is one layer of a model, so that the stack whose layers read each other is within; depth is 2, "
        "not 24",
    ),
)


class _Cell(nn.Module):
    """One layer: its state space, its notes, and how it reads those of others."""

    def __init__(self, hidden_size: int, note_size: int, crossed: bool, settings: dict[str, Any]) -> None:
        super().__init__()
        self.norm = RMSNorm(hidden_size)
        self.mamba = Mamba(hidden_size, **settings)
        self.importance = nn.Sequential(
            nn.Linear(hidden_size, max(1, hidden_size // 4)), nn.SiLU(), nn.Linear(max(1, hidden_size // 4), 1)
        )
        self.note = nn.Linear(hidden_size, note_size)
        self.decode = nn.Linear(self.mamba.width, note_size)
        self.query = nn.Linear(hidden_size, note_size)
        # Without a bias: what recalls nothing adds nothing.
        self.token_out = nn.Linear(note_size, hidden_size, bias=False)
        self.crossed = crossed
        if crossed:
            self.cross_query = nn.Linear(hidden_size, note_size)
            self.cross_out = nn.Linear(note_size, hidden_size, bias=False)
        self.weights = nn.Parameter(torch.ones(2 if crossed else 1))


class MemMamba(SequenceLayer):
    """A stack of layers with notes; for each layer l the state has conv_l, ssm_l, read_l (what was read of the state
    last), and notes_l [B, P, N], priority_l, held_l.

    Args:
        hidden_size: D.
        depth: layers of the stack.
        pool_size: P, notes that a layer keeps.
        note_size: N, width of a note; D if left out, 64 at most.
        policy: which note goes from a full pool: priority, the least important, or fifo, the oldest.
        write_threshold: importance, 0 to 1, above which a token is noted.
        read_threshold: distance, 0 to 2, between state and notes above which they are read.
        cross_every: every how many layers those below are read.
        group: of how many layers below.
        window: neighbouring notes that are pooled into one before they are read.
        pooling: how.
        expand, state_size, conv_size: of the state spaces.
        seed: of the initial weights.

    """

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        *,
        hidden_size: int = 64,
        depth: int = 2,
        pool_size: int = 50,
        note_size: int | None = None,
        policy: Policy = "priority",
        write_threshold: float = 0.5,
        read_threshold: float = 0.5,
        cross_every: int = 2,
        group: int = 4,
        window: int = 1,
        pooling: Pooling = "max",
        expand: float = 2.0,
        state_size: int = 16,
        conv_size: int = 4,
        seed: int | None = 0,
    ) -> None:
        super().__init__(hidden_size=hidden_size, seed=seed)
        note_size = min(hidden_size, 64) if note_size is None else note_size
        if min(depth, pool_size, note_size, cross_every, group, window) < 1:
            raise InvalidInput(
                "depth, pool_size, note_size, cross_every, group and window must be at least 1; got "
                f"{depth}, {pool_size}, {note_size}, {cross_every}, {group}, {window}"
            )
        if policy not in ("fifo", "priority") or pooling not in ("max", "mean"):
            raise InvalidInput(f"policy is fifo or priority, pooling max or mean; got {policy!r} and {pooling!r}")
        self.pool_size, self.policy, self.group, self.window, self.pooling = pool_size, policy, group, window, pooling
        self.note_size = note_size
        self.write_threshold, self.read_threshold = write_threshold, read_threshold
        settings = {"expand": expand, "state_size": state_size, "conv_size": conv_size}
        self.cells = nn.ModuleList(
            # The first layer has none below to read.
            _Cell(hidden_size, self.note_size, number > 0 and (number + 1) % cross_every == 0, settings)
            for number in range(depth)
        )

    def init_state(
        self, batch: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> State:
        """Empty states and pools."""
        state: State = {}
        for number, cell in enumerate(self._cells()):
            weight = cell.note.weight
            place, type_ = weight.device if device is None else device, weight.dtype if dtype is None else dtype
            parts = cell.mamba.init_state(batch, device=place, dtype=type_)
            parts["read"] = torch.zeros(batch, cell.mamba.width, device=place, dtype=type_)
            pool = note_pool.empty(batch, capacity=self.pool_size, size=self.note_size, device=place, dtype=wide(type_))
            state |= {f"{name}_{number}": one for name, one in (parts | pool._asdict()).items()}
        return state

    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        """Token by token, through all layers."""
        ys, state = [], dict(state)
        for t in range(x.shape[1]):
            h = x[:, t]
            pools: list[NotePool] = []
            for number in range(len(self.cells)):
                h = h + self._token(number, h, state, pools)
            ys.append(h - x[:, t])
        return torch.stack(ys, 1), state

    def pool(self, state: State, layer: int = 0) -> NotePool:
        """The notes that a layer has."""
        return NotePool(*(state[f"{name}_{layer}"] for name in NotePool._fields))

    def recall(self, x: Tensor, state: State, layer: int = 0) -> Tensor:
        """What the notes of a layer answer to a token x [B, D] as the layer gets it, [B, N]; nothing is changed."""
        return self._attend(self._cells()[layer].query(self._cells()[layer].norm(x)), [self.pool(state, layer)])

    def _token(self, number: int, h: Tensor, state: State, pools: list[NotePool]) -> Tensor:
        """What one layer adds to a token [B, D]; its part of the state, and the pools so far, move on."""
        cell, pool = self._cells()[number], self.pool(state, number)
        x = cell.norm(h)
        summary = note_pool.summary(pool, pooling=self.pooling)
        told = cell.decode(state[f"read_{number}"].to(x.dtype))
        distance = 1 - functional.cosine_similarity(told.to(summary), summary, dim=-1)
        recalled = self._attend(cell.query(x), [pool])
        gate = _hard(distance, distance > self.read_threshold) * pool.held.any(1)
        mixed = x + cell.weights[0] * cell.token_out((gate[:, None] * recalled).to(x.dtype))
        if cell.crossed:
            others = self._attend(cell.cross_query(x), pools[-self.group :])
            mixed = mixed + cell.weights[1] * cell.cross_out(others.to(x.dtype))
        importance = torch.sigmoid(cell.importance(x)[:, 0]).to(pool.notes.dtype)
        noted = importance > self.write_threshold
        note = cell.note(x).to(pool.notes.dtype) * _hard(importance, torch.ones_like(noted))[:, None]
        pool = note_pool.insert(pool, note, importance, noted, policy=self.policy)
        pools.append(pool)
        written, z, tail = cell.mamba.enter(mixed[:, None], state[f"conv_{number}"])
        read, ssm = cell.mamba.scan(written, state[f"ssm_{number}"], form="recurrent")
        after = {"conv": tail, "ssm": ssm, "read": read[:, 0].to(state[f"read_{number}"].dtype), **pool._asdict()}
        state.update({f"{name}_{number}": one for name, one in after.items()})
        y: Tensor = cell.mamba.leave(read, z)[:, 0]
        return y.to(h.dtype)

    def _attend(self, query: Tensor, pools: list[NotePool]) -> Tensor:
        """A query [B, N] to the pooled notes of several pools."""
        parts = [note_pool.windowed(pool, window=self.window, pooling=self.pooling) for pool in pools]
        notes, held = (torch.cat([part[at] for part in parts], 1) for at in (0, 1))
        return note_pool.read(query.to(notes.dtype), notes, notes, held)

    def _cells(self) -> list[_Cell]:
        return [cell for cell in self.cells if isinstance(cell, _Cell)]


def _hard(score: Tensor, choice: Tensor) -> Tensor:
    """1 or 0 by choice, with the gradient of the score."""
    return choice.to(score.dtype) + score - score.detach()
