"""What every sequence layer does alike: padding, checks, the memory that it carries itself, files.

A mechanism gives `init_state` and `advance`, and nothing about padding, saving or errors.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.substrates.sequence import state as states
from remanence.substrates.sequence.mechanism import State


class SequenceLayer(nn.Module, ABC):
    """A layer x [B, T, D] -> y [B, T, D] with a state.

    Args:
        hidden_size: D, the width of the tokens.
        seed: of the initial weights; None: from torch's own generator, as other modules do.

    """

    card: ClassVar[Card]
    growing: ClassVar[frozenset[str]] = frozenset()
    """Leaves of the state whose second axis grows."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = _seeded(cls.__init__)  # type: ignore[method-assign]

    def __init__(self, *, hidden_size: int = 64, seed: int | None = 0) -> None:
        super().__init__()
        if hidden_size < 1:
            raise InvalidInput(f"hidden_size must be at least 1, not {hidden_size}")
        self.hidden_size = hidden_size
        self.memory: State | None = None

    # What a mechanism gives.

    @abstractmethod
    def init_state(
        self, batch: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> State:
        """The state before the first token; device and type are those of the weights if left out."""

    @abstractmethod
    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        """All tokens x [B, T, D] of sequences without padding, T >= 1, B >= 1, to y and the state after the last.

        `form` is "recurrent" token by token, or "auto". Neither x nor state is changed.
        """

    def phase(self, state: State) -> Tensor | None:
        """Where in a cycle each sequence stands, [B], if only sequences at the same point can be advanced together."""
        return None

    # The verbs.

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One token: x [B, D] to y [B, D] and the next state. Raises `InvalidInput` for shapes that do not fit."""
        if x.ndim != 2:
            raise InvalidInput(f"step takes x [B, D] with D = {self.hidden_size}; got {tuple(x.shape)}")
        y, state = self._run(x[:, None], state, None, form="recurrent")
        return y[:, 0], state

    def scan(self, x: Tensor, state: State | None = None, *, mask: Tensor | None = None) -> tuple[Tensor, State]:
        """All tokens: x [B, T, D] to y [B, T, D] and the state after the last.

        Args:
            x: inputs; T and B may be 0.
            state: of what came before; the start of a sequence if left out.
            mask: [B, T], False for padding, anywhere. Padding changes nothing and gives zeros.

        Raises `InvalidInput`, with the shapes, for a wrong input or a state of another configuration.

        """
        return self._run(x, state, mask, form="auto")

    def forward(self, x: Tensor, state: State | None = None, *, mask: Tensor | None = None) -> tuple[Tensor, State]:
        """`scan`."""
        return self.scan(x, state, mask=mask)

    # The memory that the layer carries itself.

    def stream(self, x: Tensor) -> Tensor:
        """Continue from where the last call ended: x [B, T, D] to y [B, T, D]. `reset` begins anew.

        Raises `InvalidInput` as `scan` does, and for another number of sequences.
        """
        held = self.memory
        if held:
            batch = next(iter(held.values())).shape[0]
            if x.ndim == 3 and x.shape[0] != batch:
                raise InvalidInput(f"the memory is of {batch} sequences, x has {x.shape[0]}; reset() begins anew")
            # The layer may have been moved or cast since.
            like = self.init_state(batch)
            held = {name: one.to(like[name]) for name, one in held.items()}
        y, state = self.scan(x, held)
        self.memory = states.detach(state)
        return y

    def reset(self) -> None:
        """Forget what `stream` has seen; weights stay."""
        self.memory = None

    def state(self) -> dict[str, Any]:
        """Weights, and the memory of `stream`, as copies in numpy arrays."""
        return {"weights": states.arrays(self.state_dict()), "memory": states.arrays(self.memory or {})}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned. Raises `InvalidInput`, with both shapes, for another configuration's."""
        if not {"weights", "memory"} <= state.keys():
            raise InvalidInput(f"a state has weights and memory; this has {', '.join(map(str, state)) or 'nothing'}")
        self._take(states.tensors(state["weights"]), states.tensors(state["memory"]))

    def save(self, path: str | Path) -> None:
        """Write weights and memory to a safetensors file."""
        parts = {"weights": self.state_dict(), "memory": self.memory or {}}
        whole = {f"{part}.{name}": one for part, held in parts.items() for name, one in held.items()}
        states.save(whole, path, about={"slug": self.card.slug})

    def load(self, path: str | Path) -> Self:
        """Take weights and memory from a file that `save` wrote. Raises `InvalidInput` if it is not for this layer."""
        whole, about = states.load(path)
        if about.get("slug") != self.card.slug:
            raise InvalidInput(f"{path} holds {about.get('slug', 'no layer')!r}, not {self.card.slug!r}")
        weights, memory = (
            {name.removeprefix(part): one for name, one in whole.items() if name.startswith(part)}
            for part in ("weights.", "memory.")
        )
        self._take(weights, memory)
        return self

    def _take(self, weights: Mapping[str, Tensor], memory: State) -> None:
        states.check(weights, self.state_dict())
        if memory:
            batch = next(iter(memory.values())).shape[0]
            states.check(memory, self.init_state(batch), self.growing)
        self.load_state_dict(dict(weights))
        device = next(self.parameters(), torch.empty(0)).device
        # Copies, laid out by torch: sums may differ in the last bit with where in memory a file put its tensors.
        self.memory = {name: one.to(device).clone() for name, one in memory.items()} or None

    # How the verbs are run.

    def _run(self, x: Tensor, state: State | None, mask: Tensor | None, *, form: str) -> tuple[Tensor, State]:
        if x.ndim != 3 or x.shape[2] != self.hidden_size:
            raise InvalidInput(f"x must be [B, T, D] with D = {self.hidden_size}; got {tuple(x.shape)}")
        if not x.is_floating_point():
            raise InvalidInput(f"x must be of a floating type; got {x.dtype}")
        start = self.init_state(x.shape[0], device=x.device)
        if state is None:
            state = start
        else:
            states.check(state, start, self.growing)
        if mask is not None and (mask.shape != x.shape[:2] or mask.dtype != torch.bool):
            raise InvalidInput(
                f"mask must be boolean and [B, T] = {tuple(x.shape[:2])}; got {mask.dtype} {tuple(mask.shape)}"
            )
        if 0 in x.shape[:2]:
            return torch.zeros_like(x), state
        phase = self.phase(state)
        same_phase = phase is None or bool((phase == phase[0]).all())
        if same_phase and (mask is None or bool(mask.all())):
            return self.advance(x, state, form=form)
        return self._in_groups(x, state, mask, phase, form)

    def _in_groups(
        self, x: Tensor, state: State, mask: Tensor | None, phase: Tensor | None, form: str
    ) -> tuple[Tensor, State]:
        """Sequences of the same length and phase together, each without its padding."""
        batch, length, _ = x.shape
        real = torch.ones(batch, length, dtype=torch.bool, device=x.device) if mask is None else mask
        lengths = real.sum(1)
        kinds = torch.stack([lengths, torch.zeros_like(lengths) if phase is None else phase.to(lengths)], 1)
        y = torch.zeros_like(x)
        parts = []
        for kind in torch.unique(kinds, dim=0):
            rows = (kinds == kind).all(1).nonzero()[:, 0]
            held = states.select(state, rows)
            count = int(kind[0])
            if count:
                at = real[rows].nonzero()[:, 1].view(len(rows), count)
                out, held = self.advance(x[rows[:, None], at], held, form=form)
                y = y.index_put((rows[:, None], at), out)
            parts.append((rows, held))
        return y, states.join(parts, batch, self.growing)


def _seeded(build: Callable[..., None]) -> Callable[..., None]:
    """A constructor that draws initial weights from a generator of its own, unless `seed=None`."""

    @functools.wraps(build)
    def seeded(self: SequenceLayer, *args: Any, **kwargs: Any) -> None:
        seed = kwargs.get("seed", 0)
        # Only the outermost of the constructors that call each other sets the seed: before it no module is begun.
        if seed is None or "_parameters" in vars(self):
            build(self, *args, **kwargs)
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            build(self, *args, **kwargs)

    return seeded
