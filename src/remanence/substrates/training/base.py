"""What every optimizer does alike: parameters given late, checks before anything changes, its memory as data and files.

A mechanism gives `begin`, what it holds for a parameter before its first gradient, `direction`, which way to go given a
gradient, and `numbers`, how much it holds.
"""

from __future__ import annotations

import copy
import json
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.substrates.sequence import state as states
from remanence.substrates.training.mechanism import Limit, Source

Memory = dict[str, Any]
"""What is held for one parameter: tensors, and counters as plain numbers."""
Group = Mapping[str, Any]


class Memories(defaultdict[Any, Any]):
    """Torch's mapping from parameters to what is held for them; called, it gives the state as plain data."""

    def __init__(self, held: Mapping[Any, Any], owner: MemoryOptimizer) -> None:
        super().__init__(dict, held)
        self._owner = owner

    def __call__(self) -> dict[str, Any]:
        """Settings and memories by the number of the parameter, as copies in plain data and arrays."""
        return self._owner._plain()


class MemoryOptimizer(Optimizer, ABC):
    """An optimizer whose parameters may also be given later, by `attach`.

    Args:
        params: what is trained; None: nothing yet.
        defaults: settings by name; the constructor of a mechanism takes them as keywords behind `params`,
            each with a default.

    Gradients are taken as they are; the memory is kept in float32 at least. `weight_decay` is decoupled: weights shrink
    by lr * weight_decay in each step. A gradient that is not finite is refused before anything changes.

    """

    card: ClassVar[Card]

    def __init__(self, params: Source | None, defaults: dict[str, Any]) -> None:
        self._waiting: dict[str, Any] | None = None
        super().__init__([{"params": []}], defaults)
        if params is not None:
            self.attach(params)

    # What a mechanism gives.

    @abstractmethod
    def begin(self, parameter: Tensor, group: Group) -> Memory:
        """What is held for a parameter before its first gradient."""

    @abstractmethod
    def direction(self, gradient: Tensor, memory: Memory, parameter: Tensor, group: Group) -> Tensor:
        """What the weights are changed by, times -lr; `memory` is moved on in place.

        The gradient has the shape of the parameter and the type of the memory; it must not be changed.
        """

    @abstractmethod
    def numbers(self, shape: torch.Size, group: Group) -> int:
        """How many numbers are held for a parameter, at most."""

    def check(self, group: Group) -> None:
        """Raise `InvalidInput` for settings that cannot be used."""

    @classmethod
    @abstractmethod
    def limit(cls) -> Limit:
        """The setting at which it is a known optimizer."""

    # Parameters.

    def attach(self, source: Source) -> Self:
        """Train these too: a module's parameters that require gradients, or parameters or groups as torch takes them.

        Raises `InvalidInput` for what is no floating leaf, is trained already, or does not fit a restored state.
        """
        found = [one for one in source.parameters() if one.requires_grad] if isinstance(source, nn.Module) else source
        given: list[Any] = list(found)
        groups = given if given and isinstance(given[0], dict) else [{"params": given}]
        for group in groups:
            self.add_param_group(group)
        return self

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with settings of their own, as torch does. Raises `InvalidInput` as `attach` does."""
        merged = {**self.defaults, **param_group}
        self._check(merged)
        empty = [one for one in self.param_groups if not one["params"]]
        try:
            super().add_param_group(param_group)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"these parameters cannot be trained: {error}") from error
        added = self.param_groups[-1]["params"]
        unfit = [one for one in added if not one.is_floating_point()]
        if unfit:
            self.param_groups.pop()
            raise InvalidInput(f"parameters must be of a real floating type; got {unfit[0].dtype}")
        # The group without parameters, which stands for "none yet", goes when the first come.
        if added:
            self.param_groups = [one for one in self.param_groups if not any(one is none for none in empty)]
        if self._waiting is not None:
            self._take_if_complete(self._waiting)

    def _check(self, group: Group) -> None:
        for name in ("lr", "weight_decay"):
            value = group[name]
            if not isinstance(value, int | float) or not value >= 0:
                raise InvalidInput(f"{name} must be a number, at least 0; got {value!r}")
        self.check(group)

    def _trained(self) -> list[tuple[Tensor, dict[str, Any]]]:
        return [(one, group) for group in self.param_groups for one in group["params"]]

    # A step.

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient; what the closure, called once with gradients on, returned.

        Raises `InvalidInput`, and changes nothing, for a gradient that is sparse or not finite.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self._waiting is not None:
            raise InvalidInput(
                f"a state for {len(self._waiting['memory'])} parameters was restored, and {len(self._trained())} are "
                "attached"
            )
        self._sound()
        for parameter, group in self._trained():
            if parameter.grad is None:
                continue
            memory = self.state[parameter]
            if not memory:
                memory.update(self.begin(parameter, group))
            gradient = parameter.grad.to(wide(parameter.dtype))
            direction = self.direction(gradient, memory, parameter, group)
            if group["weight_decay"]:
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(direction, alpha=-group["lr"])
        return loss

    def _sound(self) -> None:
        """One look at all gradients together: on a device each look would wait for it."""
        trained = [one for one, _ in self._trained() if one.grad is not None]
        for number, one in enumerate(trained):
            assert one.grad is not None
            if one.grad.layout != torch.strided:
                raise InvalidInput(f"the gradient of parameter {number} is {one.grad.layout}; it must be dense")
        finite = [one.grad.isfinite().all() for one in trained if one.grad is not None]
        devices = {one.device for one in finite}
        for device in devices:
            if not bool(torch.stack([one for one in finite if one.device == device]).all()):
                number = next(at for at, one in enumerate(finite) if not bool(one))
                raise InvalidInput(
                    f"the gradient of parameter {number}, {tuple(trained[number].shape)}, is not finite; nothing was "
                    "changed: skip this batch, or lower the learning rate"
                )

    # What it holds.

    def measured_bytes(self) -> int:
        """Bytes that the tensors of its memory take."""
        return sum(states.size(_tensors(memory)) for memory in self.state.values())

    def claimed_bytes(self) -> int:
        """The most that it will ever hold, from the shapes of the parameters alone."""
        return sum(
            self.numbers(one.shape, group) * torch.empty(0, dtype=wide(one.dtype)).element_size()
            for one, group in self._trained()
        )

    @property
    def state(self) -> Memories:
        """Torch's mapping from parameters to what is held for them; called, the state as plain data."""
        held: Memories = vars(self)["state"]
        return held

    @state.setter
    def state(self, held: Mapping[Any, Any]) -> None:
        vars(self)["state"] = Memories(held, self)

    def _plain(self) -> dict[str, Any]:
        if self._waiting is not None:
            return copy.deepcopy(self._waiting)
        settings = [{name: one for name, one in group.items() if name != "params"} for group in self.param_groups]
        memory = {}
        for number, (parameter, _) in enumerate(self._trained()):
            held = self.state.get(parameter, {})
            memory[str(number)] = {**{n: one for n, one in held.items() if not isinstance(one, Tensor)},
                                   **states.arrays(_tensors(held))}  # fmt: skip
        return {"settings": copy.deepcopy(settings), "memory": memory}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state()` returned: weights are the model's and must be restored with it.

        Without parameters it waits until as many are attached. Raises `InvalidInput`, and changes nothing, for the
        state of other parameters.
        """
        if not {"settings", "memory"} <= state.keys():
            raise InvalidInput(f"a state has settings and memory; this has {', '.join(map(str, state)) or 'nothing'}")
        taken = {"settings": copy.deepcopy(list(state["settings"])), "memory": copy.deepcopy(dict(state["memory"]))}
        if self._trained():
            self._take(taken)
        else:
            self._waiting = taken if taken["memory"] else None

    def _take_if_complete(self, state: dict[str, Any]) -> None:
        if len(self._trained()) >= len(state["memory"]):
            self._take(state)

    def _take(self, state: dict[str, Any]) -> None:
        trained = self._trained()
        if len(state["memory"]) != len(trained) or len(state["settings"]) != len(self.param_groups):
            raise InvalidInput(
                f"the state is of {len(state['memory'])} parameters in {len(state['settings'])} groups, and "
                f"{len(trained)} in {len(self.param_groups)} are trained"
            )
        merged = [{**group, **new} for group, new in zip(self.param_groups, state["settings"], strict=True)]
        at = iter(trained)
        held: dict[Tensor, Memory] = {}
        for group in merged:
            self._check(group)
            for _ in group["params"]:
                number, (parameter, _) = len(held), next(at)
                held[parameter] = self._fitting(state["memory"][str(number)], parameter, group, number)
        for group, new in zip(self.param_groups, merged, strict=True):
            group.update(new)
        self._waiting = None
        self.state = {parameter: memory for parameter, memory in held.items() if memory}

    def _fitting(self, found: Mapping[str, Any], parameter: Tensor, group: Group, number: int) -> Memory:
        """A memory for a parameter from plain data."""
        if not found:
            return {}
        like = self.begin(parameter, group)
        arrays = states.tensors({name: one for name, one in found.items() if not isinstance(one, int | float)})
        try:
            states.check(arrays, _tensors(like))
        except InvalidInput as error:
            raise InvalidInput(f"parameter {number}, {tuple(parameter.shape)}: {error}") from error
        plain = {name: one for name, one in found.items() if isinstance(one, int | float)}
        return {**plain, **{name: one.to(parameter.device) for name, one in arrays.items()}}

    # Files, and torch's own way.

    def save(self, path: str | Path) -> None:
        """Write settings and memory to a safetensors file; the weights are the model's."""
        found = self.state()
        flat: dict[str, Any] = {}
        plain: dict[str, int | float] = {}
        for number, memory in found["memory"].items():
            for name, one in memory.items():
                (plain if isinstance(one, int | float) else flat)[f"{number}.{name}"] = one
        about = {"settings": found["settings"], "plain": plain, "parameters": len(found["memory"])}
        states.save(states.tensors(flat), path, about={"slug": self.card.slug, "about": json.dumps(about)})

    def load(self, path: str | Path) -> Self:
        """Continue from a file that `save` wrote. Raises `InvalidInput` if it is not for this optimizer."""
        found, header = states.load(path)
        if header.get("slug") != self.card.slug:
            raise InvalidInput(f"{path} holds {header.get('slug', 'no optimizer')!r}, not {self.card.slug!r}")
        about = json.loads(header["about"])
        memory: dict[str, dict[str, Any]] = {str(number): {} for number in range(about["parameters"])}
        for name, one in (*about["plain"].items(), *states.arrays(found).items()):
            number, _, part = name.partition(".")
            memory[number][part] = one
        self.restore({"settings": about["settings"], "memory": memory})
        return self

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what torch's `state_dict` returned, the memory in the type that it was in."""
        super().load_state_dict(state_dict)
        # Torch brings floating tensors to the type of the weights, in which sums over a long past do not survive.
        for number, (parameter, _) in enumerate(self._trained()):
            for name, one in state_dict["state"].get(number, {}).items():
                if isinstance(one, Tensor):
                    self.state[parameter][name] = one.detach().clone().to(parameter.device)

    def __getstate__(self) -> dict[str, Any]:
        found: dict[str, Any] = super().__getstate__()
        return {**found, "state": defaultdict(dict, found["state"]), "_waiting": self._waiting}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Torch writes into the instance's dictionary, past the property.
        super().__setstate__(state)
        self.state = vars(self)["state"]


def wide(dtype: torch.dtype) -> torch.dtype:
    """The type that memories are kept in: float32, or float64 for float64."""
    return torch.promote_types(dtype, torch.float32)


def matrix(one: Tensor) -> Tensor:
    """A gradient as a matrix: its first axis by all others; a vector is one row."""
    return one.reshape(1, -1) if one.ndim < 2 else one.reshape(one.shape[0], -1)


def rows_and_columns(shape: torch.Size) -> tuple[int, int]:
    """The shape of `matrix` for a parameter of a shape."""
    count = shape.numel()
    rows = shape[0] if len(shape) > 1 else 1
    return rows, count // rows if rows else 0


def zeros(parameter: Tensor, *shape: int) -> Tensor:
    """A memory of zeros, like the parameter or of another shape."""
    return torch.zeros(shape or parameter.shape, dtype=wide(parameter.dtype), device=parameter.device)


def _tensors(memory: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: one for name, one in memory.items() if isinstance(one, Tensor)}
