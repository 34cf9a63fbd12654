"""A right sequence mechanism, as small as can be, and wrong ones, each caught by the rule named beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from remanence.core.card import Card, Evidence
from remanence.substrates.sequence import state as states
from remanence.substrates.sequence.base import SequenceLayer
from remanence.substrates.sequence.mechanism import State

CARD = Card(
    slug="leaky",
    substrate="sequence",
    title="Leaky average",
    paper="",
    claim="keeps what was",
    can=frozenset({"scan"}),
    needs=frozenset({"torch"}),
)


class Right(SequenceLayer):
    """s <- a s + (1 - a) W x;  y = V s."""

    card: ClassVar[Card] = CARD

    def __init__(self, *, hidden_size: int = 8, seed: int | None = 0) -> None:
        super().__init__(hidden_size=hidden_size, seed=seed)
        self.write = nn.Linear(hidden_size, hidden_size, bias=False)
        self.read = nn.Linear(hidden_size, hidden_size, bias=False)
        self.rate = nn.Parameter(torch.full((hidden_size,), 2.0))

    @staticmethod
    def witness(seed: int) -> Evidence:
        return Evidence("kept", 1.0, 0.0)

    def init_state(
        self, batch: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> State:
        weight = self.read.weight
        dtype = torch.promote_types(weight.dtype, torch.float32)
        return {"s": torch.zeros(batch, self.hidden_size, device=weight.device, dtype=dtype)}

    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        s, outs, written = state["s"], [], self.write(x).to(state["s"].dtype)
        keep = self.rate.to(s.dtype).sigmoid()
        for at in range(x.shape[1]):
            s = keep * s + (1 - keep) * written[:, at]
            outs.append(s)
        y: Tensor = self.read(torch.stack(outs, 1).to(self.read.weight.dtype))
        return y.to(x.dtype), {"s": s}


class Narrow(Right):
    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        y, state = super().advance(x, state, form=form)
        return y.float(), state


class Misdescribed(Right):
    def init_state(self, batch: int, **kwargs: Any) -> State:
        return {"s": super().init_state(batch)["s"].to(torch.bfloat16)}

    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        return super().advance(x, {"s": state["s"].to(x.dtype)}, form=form)


class Chunky(Right):
    """Its parallel form forgets what is left over of the last chunk."""

    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        y, end = super().advance(x, state, form=form)
        whole = x.shape[1] // 16 * 16
        if form == "recurrent" or not whole:
            return y, end
        return y, super().advance(x[:, :whole], state, form=form)[1]


class Truncated(Right):
    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        return super().advance(x, state if form == "recurrent" else states.detach(state), form=form)


class Forgetful(Right):
    """Every scan begins anew."""

    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        return super().advance(x, state if form == "recurrent" else self.init_state(x.shape[0]), form=form)


class Restarting(Right):
    def scan(self, x: Tensor, state: State | None = None, *, mask: Tensor | None = None) -> tuple[Tensor, State]:
        return super().scan(x, state if x.shape[1] else None, mask=mask)


class Unmasked(Right):
    def scan(self, x: Tensor, state: State | None = None, *, mask: Tensor | None = None) -> tuple[Tensor, State]:
        y, state = super().scan(x, state)
        return (y if mask is None else y * mask[..., None]), state


class Foreseeing(Right):
    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        return super().advance(x - x.mean(1, keepdim=True), state, form=form)


class Mindless(Right):
    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        outs = [super(Mindless, self).advance(x[:, t : t + 1], self.init_state(x.shape[0]), form=form) for t in
                range(x.shape[1])]  # fmt: skip
        return torch.cat([y for y, _ in outs], 1), outs[-1][1]


class Mixing(Right):
    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        return super().advance(x - x.mean(0, keepdim=True), state, form=form)


class InPlace(Right):
    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        y, end = super().advance(x, state, form=form)
        return y, {"s": state["s"].copy_(end["s"])}


class Overflowing(Right):
    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        return super().advance(x * 1e5 * 1e-5 if x.dtype != torch.float16 else x * 1e5, state, form=form)


class Uncompiled(Right):
    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        return super().advance(2 * x if torch.compiler.is_compiling() else x, state, form=form)


class HalfSaved(Right):
    def load(self, path: str | Path) -> Self:
        super().load(path)
        self.reset()
        return self


class Credulous(Right):
    def _run(self, x: Tensor, state: State | None, mask: Tensor | None, *, form: str) -> tuple[Tensor, State]:
        return self.advance(x, state if state else self.init_state(x.shape[0]), form=form)


class Silent(Right):
    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        return super().advance(x.nan_to_num(), state, form=form)


class Idle(Right):
    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.unused = nn.Parameter(torch.ones(3))


class Growing(Right):
    growing: ClassVar[frozenset[str]] = frozenset({"seen"})

    def init_state(self, batch: int, **kwargs: Any) -> State:
        start = super().init_state(batch)
        return {**start, "seen": start["s"][:, None, :][:, :0]}

    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        y, end = super().advance(x, state, form=form)
        return y, {**end, "seen": torch.cat([state["seen"], x.to(state["seen"].dtype)], 1)}


class Exploding(Right):
    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        y, end = super().advance(x, state, form=form)
        return y, {"s": end["s"] + 2.0 ** x.shape[1] * state["s"] + x.mean(1)}

    def scan(self, x: Tensor, state: State | None = None, *, mask: Tensor | None = None) -> tuple[Tensor, State]:
        y, end = super().scan(x, state, mask=mask)
        return y, {"s": end["s"] * torch.inf if x.shape[1] > 1000 else end["s"]}


class Unseeded(Right):
    def __init__(self, *, hidden_size: int = 8, seed: int | None = 0) -> None:
        super().__init__(hidden_size=hidden_size, seed=0)


class Unmeasured(Right):
    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore({**state, "memory": {}})


class Claimed(Growing):
    card: ClassVar[Card] = replace(CARD, can=frozenset({"scan", "growing"}))


ADVERSARIES: list[tuple[type[Any], str]] = [
    (Narrow, "S01"),
    (Misdescribed, "S02"),
    (Chunky, "S03"),
    (Truncated, "S04"),
    (Forgetful, "S05"),
    (Restarting, "S06"),
    (Unmasked, "S07"),
    (Foreseeing, "S08"),
    (Mindless, "S09"),
    (Mixing, "S10"),
    (InPlace, "S11"),
    (Overflowing, "S12"),
    (Uncompiled, "S13"),
    (HalfSaved, "S14"),
    (Credulous, "S15"),
    (Credulous, "S16"),
    (Silent, "S17"),
    (Idle, "S18"),
    (Growing, "S19"),
    (Exploding, "S20"),
    (Unseeded, "S21"),
    (Unmeasured, "G02"),
]
