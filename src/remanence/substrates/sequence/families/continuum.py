"""The layer around a continuum memory: levels of perceptrons for each head, trained on the stream at their frequencies.

The kernel is `kernels.sequence.continuum`. A state has the levels, what each has gathered and the position; sequences
are advanced together where the same levels are due.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence import continuum as kernel
from remanence.kernels.sequence.continuum import Arrangement, ContinuumState, Levels
from remanence.kernels.sequence.update_frequency import cycle
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.mixer import HeadMixer, wide

_PARTS = ("w1", "b1", "w2", "b2")
_POSITION = "position"


class Continuum(HeadMixer):
    """Levels that answer together and learn at their own frequencies.

    Args:
        periods: tokens between two updates, from the fastest level to the slowest.
        arrangement: "chain", each level reads what the one before it says; "parallel", a learnt mean of what they say;
            "nested", the fastest answers and begins again from the next slower one.
        context: for "nested"; tokens between two beginnings; None: whenever the slower level was updated.
        expansion: width of a level within, over that of a key.
        rates: factor on the step size of each level; None: 1 over its period, a step on the mean of what it gathered.
        lr: the largest step size, over the width of a level within; steps above 2 / periods may diverge.
        others: those of `HeadMixer`; values are as wide as keys.

    """

    def __init__(
        self,
        *,
        periods: Sequence[int] = (8, 64, 512),
        arrangement: Arrangement = "chain",
        context: int | None = None,
        expansion: float = 4.0,
        rates: Sequence[float] | None = None,
        lr: float = 1.0,
        **others: Any,
    ) -> None:
        super().__init__(**others)
        if self.value_dim != self.head_dim:
            raise InvalidInput(f"levels give values as wide as keys; expand_v must be 1, not {others.get('expand_v')}")
        if not lr > 0:
            raise InvalidInput(f"lr must be above 0, not {lr}")
        self.periods, self.arrangement, self.context = tuple(periods), arrangement, context
        self.cycle = cycle(self.periods if context is None else (*self.periods, context))
        self.rates = tuple(rates) if rates is not None else tuple(1 / period for period in self.periods)
        self.step_proj = nn.Linear(self.hidden_size, self.num_heads)
        self.step_size = lr / round(expansion * self.head_dim)
        # Nested levels begin alike: the fastest is what the slowest knows.
        own = 1 if arrangement == "nested" else len(self.periods)
        first = kernel.initial_levels(self.num_heads, self.head_dim, count=own, expansion=expansion)
        self.initial = nn.ParameterList(nn.Parameter(one) for level in first for one in level)
        self.mix = nn.Parameter(torch.zeros(len(self.periods))) if arrangement == "parallel" else None

    def init_memory(self, batch: int, *, device: torch.device | str | None, dtype: torch.dtype) -> State:
        """Levels as they were learnt, nothing gathered, at position 0."""
        state: State = {}
        for number in range(len(self.periods)):
            at = 0 if self.arrangement == "nested" else number
            for part, one in zip(_PARTS, self.initial[4 * at : 4 * at + 4], strict=True):
                level = as_learnt(one, batch, device=device, dtype=dtype)
                state[f"level_{number}_{part}"] = level
                state[f"gathered_{number}_{part}"] = torch.zeros_like(level)
        state[_POSITION] = torch.zeros(batch, dtype=torch.long, device=device)
        return state

    def phase(self, state: State) -> Tensor:
        """Where in the cycle of updates each sequence stands."""
        return state[_POSITION] % self.cycle

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """The step size of each token."""
        return {"theta": self.step_size * torch.sigmoid(self.step_proj(x).to(wide(x.dtype)))}

    def recall(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, *, form: str = "auto", **gates: Tensor
    ) -> tuple[Tensor, State]:
        """Answer with the levels as they are, and train them on pairs where they are due."""
        return self._read_and_train(q, k, v, state, gates["theta"], "l2", form)

    def taught(self, k: Tensor, errors: Tensor, state: State, theta: Tensor) -> State:
        """Train by error signals from outside, in place of own values.

        Args:
            k: what the levels were given, [B, T, H, K], after features.
            errors: the gradient of a loss in what they answered, [B, T, H, K].
            state: of sequences that stand at the same point of the cycle.
            theta: step sizes [B, T, H].

        """
        return self._read_and_train(k, k, -errors, state, theta, "dot", "auto")[1]

    def _read_and_train(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, theta: Tensor, loss: Any, form: str
    ) -> tuple[Tensor, State]:
        levels, gathered = self._levels(state)
        o, after = kernel.continuum.in_form(form)(
            q, k, v, theta,
            initial_state=ContinuumState(levels, gathered, int(state[_POSITION][0]) % self.cycle),
            periods=self.periods, rates=self.rates, arrangement=self.arrangement, mix=self.mix, context=self.context,
            loss=loss,
        )  # fmt: skip
        assert after is not None
        return o, self._state(state, after, state[_POSITION] + q.shape[1])

    def finalize(self, state: State) -> State:
        """The end of a stream: each level takes in what it has gathered, however little, and counting begins anew."""
        return self._state(
            state, kernel.finalize(ContinuumState(*self._levels(state))), torch.zeros_like(state[_POSITION])
        )

    def read(self, q: Tensor, state: State) -> Tensor:
        """What the levels answer to q [B, N, H, K], after features, without learning."""
        return kernel.read(self._levels(state)[0], q, arrangement=self.arrangement, mix=self.mix)

    def _levels(self, state: State) -> tuple[Levels, Levels]:
        levels, gathered = (
            tuple(tuple(state[f"{name}_{number}_{part}"] for part in _PARTS) for number in range(len(self.periods)))
            for name in ("level", "gathered")
        )
        return levels, gathered

    def _state(self, state: State, after: ContinuumState, position: Tensor) -> State:
        found = {
            f"{name}_{number}_{part}": one.contiguous()
            for name, held in (("level", after.levels), ("gathered", after.gathered))
            for number, level in enumerate(held)
            for part, one in zip(_PARTS, level, strict=True)
        }
        return {**state, **found, _POSITION: position}


def as_learnt(weight: Tensor, batch: int, *, device: torch.device | str | None, dtype: torch.dtype) -> Tensor:
    """A weight as the beginning of a memory of each sequence, [batch, …]."""
    # A view of a parameter asks for gradients also where none are recorded.
    weight = weight if torch.is_grad_enabled() else weight.detach()
    return weight.to(device=device, dtype=dtype).expand(batch, *weight.shape)
