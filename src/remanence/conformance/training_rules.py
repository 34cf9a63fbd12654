"""Rules T01 and following: what training mechanisms promise. "The same weights" are the same bit by bit."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from remanence.conformance.rules import rule
from remanence.conformance.stage import expect, raises, same
from remanence.conformance.subject import Subject
from remanence.core.errors import InvalidInput
from remanence.substrates.training.base import MemoryOptimizer
from remanence.substrates.training.probe import batch, gradients, network, train

Trained = tuple[MemoryOptimizer, nn.Sequential]
HALVES = (torch.bfloat16, torch.float16)


def begin(subject: Subject, *, seed: int = 0, dtype: torch.dtype = torch.float32, **settings: Any) -> Trained:
    """An optimizer and the network that it trains."""
    layers = network(seed, dtype=dtype)
    made: MemoryOptimizer = subject.make(**settings)
    made.attach(layers)
    return made, layers


def weights(layers: nn.Module) -> list[Tensor]:
    """Copies of all weights."""
    return [one.detach().clone() for one in layers.parameters()]


def equal(got: list[Tensor], wanted: list[Tensor], what: str) -> None:
    """`Broken` unless tensors are the same bit by bit."""
    for number, (one, other) in enumerate(zip(got, wanted, strict=True)):
        expect(torch.equal(one, other), f"{what}: weight {number} is off by {(one - other).abs().max():.2g}")


def moved(subject: Subject, act: Callable[[MemoryOptimizer, nn.Sequential], Any]) -> list[Tensor]:
    """The weights after three steps, and after something was done to optimizer and network, three more."""
    made, layers = begin(subject)
    train(made, layers, 1, 3)
    made, layers = act(made, layers) or (made, layers)
    train(made, layers, 1, range(3, 6))
    return weights(layers)


def resumed(subject: Subject, hand_over: Callable[[MemoryOptimizer, MemoryOptimizer], Any], what: str) -> None:
    """`Broken` unless a new optimizer, on a copy of the network, goes on like the old one."""

    def act(made: MemoryOptimizer, layers: nn.Sequential) -> Trained:
        other, copied = subject.make(), copy.deepcopy(network(0))
        copied.load_state_dict(layers.state_dict())
        other.attach(copied)
        hand_over(made, other)
        return other, copied

    equal(moved(subject, act), moved(subject, lambda *_: None), what)


@rule("T01")
def it_is_an_optimizer_of_torch(subject: Subject) -> None:
    """It is a torch.optim.Optimizer: parameters now or later alike, schedules, gradients that are dropped."""
    made, layers = begin(subject)
    expect(isinstance(made, torch.optim.Optimizer), f"{type(made).__name__} is no torch.optim.Optimizer")
    other = network(0)
    given = subject.make(params=other)
    train(made, layers, 0, 3)
    train(given, other, 0, 3)
    equal(weights(other), weights(layers), "parameters given to the constructor")
    expect(all(one.grad is None for one in layers.parameters()), "zero_grad left gradients")
    schedule = torch.optim.lr_scheduler.MultiplicativeLR(made, lambda _: 0.0)
    train(made, layers, 0, 1)
    schedule.step()
    before = weights(layers)
    train(made, layers, 0, 2)
    equal(weights(layers), before, "a schedule that brings the step size to zero")
    same(type(made)(**made.defaults).defaults, made.defaults, "defaults of one that is made from another's")


@rule("T02")
def a_restored_one_goes_on(subject: Subject) -> None:
    """state() and restore(), before or after the parameters are attached, go on to the same weights."""
    resumed(subject, lambda one, other: other.restore(one.state()), "training resumed from state()")

    def early(made: MemoryOptimizer, layers: nn.Sequential) -> Trained:
        other, copied = subject.make(), copy.deepcopy(layers)
        other.restore(made.state())
        other.attach(copied)
        return other, copied

    equal(moved(subject, early), moved(subject, lambda *_: None), "restored before parameters were attached")


@rule("T03")
def a_file_goes_on(subject: Subject) -> None:
    """A safetensors file goes on to the same weights, and its settings with it."""

    def by_file(one: MemoryOptimizer, other: MemoryOptimizer) -> None:
        with tempfile.TemporaryDirectory() as folder:
            one.save(Path(folder) / "optimizer.safetensors")
            other.load(Path(folder) / "optimizer.safetensors")

    resumed(subject, by_file, "training resumed from a file")


@rule("T04")
def state_dict_goes_on(subject: Subject) -> None:
    """Torch's own state_dict and load_state_dict go on to the same weights, with weights in bfloat16 too."""
    resumed(subject, lambda one, other: other.load_state_dict(one.state_dict()), "training resumed from state_dict")
    made, layers = begin(subject, dtype=torch.bfloat16)
    train(made, layers, 1, 3)
    other, copied = subject.make(), copy.deepcopy(layers)
    other.attach(copied)
    other.load_state_dict(made.state_dict())
    train(made, layers, 1, range(3, 6))
    train(other, copied, 1, range(3, 6))
    equal(weights(copied), weights(layers), "training in bfloat16 resumed from state_dict")


@rule("T05")
def bytes_are_within_the_claim(subject: Subject) -> None:
    """measured_bytes is what it holds beside weights and gradients: none before use, at most as claimed, never more."""
    for dtype in (torch.float32, torch.bfloat16):
        made, layers = begin(subject, dtype=dtype)
        same(made.measured_bytes(), 0, "bytes before the first gradient")
        train(made, layers, 0, 2)
        first, known = made.measured_bytes(), {id(one) for one in layers.parameters()}
        same(first, sum(_bytes(list(_held(vars(made), known, set())))), "bytes that it says it holds")
        expect(first <= made.claimed_bytes(), f"it holds {first} bytes and claims {made.claimed_bytes()}")
        train(made, layers, 0, range(2, 30))
        same(made.measured_bytes(), first, "bytes after many steps")
        same(sum(_bytes(list(_held(vars(made), known, set())))), first, "bytes that it holds after many steps")


def _bytes(tensors: list[Tensor]) -> list[int]:
    return [one.numel() * one.element_size() for one in tensors]


def _held(value: Any, known: set[int], seen: set[int]) -> Iterator[Tensor]:
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        if id(value) not in known:
            yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _held(inner, known, seen)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _held(inner, known, seen)


@rule("T06")
def it_reduces_to_a_known_optimizer(subject: Subject) -> None:
    """At its limit setting it takes weights where the known optimizer takes them."""
    limit = subject.cls.limit()
    layers, other = (network(0, bias=not limit.matrices_only, dtype=torch.float64) for _ in range(2))
    start = torch.cat([one.flatten() for one in weights(layers)])
    made = subject.make(**limit.settings)
    made.attach(layers)
    train(made, layers, 0, 12)
    train(limit.reference(list(other.parameters())), other, 0, 12)
    got, wanted = (torch.cat([one.flatten() for one in weights(each)]) for each in (layers, other))
    off = float((got - wanted).norm() / (wanted - start).norm())
    expect(off <= limit.tolerance, f"it is off by {off:.2g} of how far the weights moved")


@rule("T07")
def nothing_is_left_to_chance(subject: Subject) -> None:
    """The same gradients give the same weights whatever torch's generator holds, and leave it alone."""
    found = []
    for seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            before = torch.random.get_rng_state()
            made, layers = begin(subject)
            train(made, layers, 0, 6)
            expect(torch.equal(before, torch.random.get_rng_state()), "torch's generator was moved")
        found.append(weights(layers))
    equal(found[1], found[0], "training again")


@rule("T08")
def groups_do_not_matter(subject: Subject) -> None:
    """In how many groups, and in which order, parameters come changes nothing; a group's own settings count for it."""
    made, layers = begin(subject)
    train(made, layers, 0, 6)
    other = network(0)
    grouped = subject.make()
    grouped.attach([{"params": [one]} for one in reversed(list(other.parameters()))])
    still = subject.make()
    frozen = network(0)
    parameters = list(frozen.parameters())
    still.attach([{"params": parameters[:1], "lr": 0.0}, {"params": parameters[1:]}])
    # Without a module it is not known what goes in: compare those that have no part in it.
    bare = network(0)
    plain = subject.make()
    plain.attach(list(bare.parameters()))
    for one, net in ((grouped, other), (plain, bare), (still, frozen)):
        train(one, net, 0, 6)
    equal(weights(other), weights(bare), "one group for each parameter, in reverse")
    start = weights(network(0))
    expect(torch.equal(parameters[0].detach(), start[0]), "a group with a step size of zero moved")
    expect(not torch.equal(parameters[1].detach(), start[1]), "the settings of one group stopped another")


@rule("T09")
def closures_are_called_once(subject: Subject) -> None:
    """step(closure) calls it once, with gradients on, steps by its gradients and gives back what it returned."""
    made, layers = begin(subject)
    other, copied = begin(subject)
    calls: list[bool] = []

    def closure() -> Tensor:
        calls.append(torch.is_grad_enabled())
        return gradients(layers, 0, 0)

    with torch.no_grad():
        answer = made.step(closure)
    same(calls, [True], "calls of the closure, each with gradients on or not")
    loss = gradients(copied, 0, 0)
    other.step()
    same(float(answer), float(loss), "what step(closure) returned")
    equal(weights(layers), weights(copied), "a step by a closure")


@rule("T10")
def parameters_without_gradient_stay(subject: Subject) -> None:
    """A parameter without a gradient stays as it is, costs nothing, and changes nothing for the others."""
    made, layers = begin(subject)
    idle = nn.Parameter(torch.ones(3, 5))
    other, copied = begin(subject)
    made.attach([idle])
    held = 0
    for one, net in ((made, layers), (other, copied)):
        train(one, net, 0, 4)
        held = one.measured_bytes()
    expect(torch.equal(idle.detach(), torch.ones(3, 5)), "a parameter without a gradient moved")
    same(made.measured_bytes(), held, "bytes held with a parameter that has no gradient")
    equal(weights(layers), weights(copied), "training beside a parameter without gradient")


@rule("T11")
def no_gradient_is_no_step(subject: Subject) -> None:
    """While all gradients have been zero, weights stay, and nothing becomes infinite."""
    made, layers = begin(subject)
    before = weights(layers)
    for _ in range(3):
        for one in layers.parameters():
            one.grad = torch.zeros_like(one)
        made.step()
    equal(weights(layers), before, "three steps with gradients of zero")
    train(made, layers, 0, 3)
    for one in layers.parameters():
        expect(bool(torch.isfinite(one).all()), "a weight is not finite after gradients of zero")


@rule("T12")
def strange_gradients_are_refused(subject: Subject) -> None:
    """A gradient that is not finite, or sparse, is refused before anything changes; training can go on after it."""
    made, layers = begin(subject)
    train(made, layers, 0, 3)
    other, copied = begin(subject)
    train(other, copied, 0, 3)
    parameters = list(layers.parameters())
    for value in (torch.nan, torch.inf):
        gradients(layers, 0, 3)
        gradient = parameters[-1].grad
        assert gradient is not None
        gradient.view(-1)[0] = value
        raises(InvalidInput, made.step, f"a gradient with {value}")
        equal(weights(layers), weights(copied), f"after a gradient with {value}")
    parameters[-1].grad = torch.ones_like(parameters[-1]).to_sparse()
    raises(InvalidInput, made.step, "a sparse gradient")
    made.zero_grad()
    for one, net in ((made, layers), (other, copied)):
        train(one, net, 0, range(3, 6))
    equal(weights(layers), weights(copied), "training after strange gradients")


@rule("T13")
def it_learns(subject: Subject) -> None:
    """The loss of a small regression goes down, with the settings that it has by default."""
    made, layers = begin(subject)
    x, y = batch(0, 0)

    def loss() -> Tensor:
        found: Tensor = (layers(x) - y).square().mean()
        return found

    first = loss().item()
    for _ in range(200):
        made.zero_grad()
        loss().backward()
        made.step()
    last = loss().item()
    expect(last < 0.9 * first, f"the loss went from {first:.4g} to {last:.4g} in 200 steps")


@rule("T14")
def weight_decay_is_decoupled(subject: Subject) -> None:
    """With gradients of zero, weight_decay shrinks weights by its share of the step size, whatever is remembered."""
    made, layers = begin(subject, lr=0.1, weight_decay=0.5)
    before = weights(layers)
    for one in layers.parameters():
        one.grad = torch.zeros_like(one)
    made.step()
    for one, old in zip(layers.parameters(), before, strict=True):
        off = float((one.detach() - 0.95 * old).abs().max())
        expect(off < 1e-6, f"a step of weight decay is off by {off:.2g}")


@rule("T15")
def half_precision_works(subject: Subject) -> None:
    """Weights in bfloat16 and float16 keep their type and come out near those of float32; memory is kept wider."""
    made, layers = begin(subject)
    start = torch.cat([one.flatten() for one in weights(layers)])
    train(made, layers, 0, 10)
    wanted = torch.cat([one.flatten() for one in weights(layers)])
    for dtype in HALVES:
        half, net = begin(subject, dtype=dtype)
        train(half, net, 0, 10)
        same({one.dtype for one in net.parameters()}, {dtype}, "types of the weights")
        got = torch.cat([one.flatten() for one in weights(net)]).float()
        expect(bool(torch.isfinite(got).all()), f"a weight in {dtype} is not finite")
        off, far = float((got - wanted).norm()), float((wanted - start).norm() + 0.05 * wanted.norm())
        expect(off < far, f"weights in {dtype} are off by {off:.2g}, where they moved by {far:.2g}")
        kinds = {one.dtype for memory in half.state.values() for one in memory.values() if isinstance(one, Tensor)}
        expect(kinds <= {torch.float32}, f"memory of weights in {dtype} is kept in {kinds}")


@rule("T16")
def only_weights_change(subject: Subject) -> None:
    """Weights change in place; gradients are left as they are."""
    made, layers = begin(subject)
    gradients(layers, 0, 0)
    kept = [(one.data_ptr(), one.grad.clone()) for one in layers.parameters() if one.grad is not None]
    made.step()
    for one, (place, gradient) in zip(layers.parameters(), kept, strict=True):
        expect(one.grad is not None and torch.equal(one.grad, gradient), "a gradient was changed")
        same(one.data_ptr(), place, "where a weight lies in memory")


@rule("T17")
def strange_settings_are_refused(subject: Subject) -> None:
    """Settings that cannot be used, and parameters that cannot be trained, are refused and not taken in."""
    for name in ("lr", "weight_decay"):
        for value in (-0.1, float("nan"), "fast"):
            raises(InvalidInput, lambda name=name, value=value: subject.make(**{name: value}), f"{name} = {value!r}")  # type: ignore[misc]
    made, layers = begin(subject)
    for what, wrong in (
        ("a parameter that is trained already", next(layers.parameters())),
        ("a whole number", torch.ones(2, dtype=torch.long)),
        ("what is computed from others", torch.ones(2, requires_grad=True) * 2),
    ):
        raises(InvalidInput, lambda wrong=wrong: made.attach([wrong]), what)  # type: ignore[misc]
        same(len(made.param_groups), 1, f"groups after {what}")


@rule("T18")
def strange_states_are_refused(subject: Subject) -> None:
    """The state of other parameters, or of no optimizer, is refused, and nothing changes."""
    made, layers = begin(subject)
    train(made, layers, 0, 3)
    before = made.state()
    small = nn.Linear(2, 2, device="meta").to_empty(device="cpu")
    other = subject.make()
    other.attach(small)
    for state, what in ((other.state(), "the state of another network"), ({}, "nothing"), ({"memory": {}}, "a part")):
        raises(InvalidInput, lambda state=state: made.restore(state), what)  # type: ignore[misc]
    spoilt = copy.deepcopy(before)
    for memory in spoilt["memory"].values():
        for name, one in memory.items():
            if hasattr(one, "shape"):
                memory[name] = one[..., :1]
    if any(hasattr(one, "shape") for memory in before["memory"].values() for one in memory.values()):
        raises(InvalidInput, lambda: made.restore(spoilt), "a state of other shapes")
    train(made, layers, 0, range(3, 6))
    equal(weights(layers), moved_alike(subject), "training after refused states")


def moved_alike(subject: Subject) -> list[Tensor]:
    """The weights after six steps on the batches of seed 0."""
    made, layers = begin(subject)
    train(made, layers, 0, 6)
    return weights(layers)
