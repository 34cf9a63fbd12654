"""Rules S01 and following: what sequence mechanisms promise. Equalities are asked in float64."""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from remanence.conformance.rules import rule
from remanence.conformance.stage import expect, raises, same
from remanence.conformance.subject import Subject
from remanence.core.errors import InvalidInput
from remanence.substrates.sequence import state as states
from remanence.substrates.sequence.base import SequenceLayer
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.probe import tokens

EXACT = 1e-9
"""Largest difference in float64, relative to the largest value, between two ways to the same."""
LENGTHS = (1, 2, 7, 33, 66)
"""Odd ones, and such on both sides of a multiple of a usual chunk."""
LONG = 66
HALVES = (torch.bfloat16, torch.float16)


def layer(subject: Subject, **arguments: Any) -> SequenceLayer:
    """A layer in float64, its weights without special values such as zeros that would hide a path."""
    made: SequenceLayer = subject.make(**arguments).double()
    generator = torch.Generator().manual_seed(99)
    with torch.no_grad():
        for one in made.parameters():
            one.add_(0.05 * torch.randn(one.shape, generator=generator, dtype=one.dtype))
    return made


def close(got: Tensor, wanted: Tensor, what: str, tolerance: float = EXACT) -> None:
    """`Broken` unless two tensors are equal but for rounding."""
    same(tuple(got.shape), tuple(wanted.shape), f"shape of {what}")
    if not got.numel():
        return
    if got.dtype == torch.bool or not got.is_floating_point():
        expect(torch.equal(got, wanted), f"{what} differs")
        return
    expect(bool(torch.isfinite(got).all()), f"{what} is not finite")
    off = float((got - wanted).abs().max() / wanted.abs().max().clamp(min=1.0))
    expect(off <= tolerance, f"{what} is off by {off:.2g}")


def alike(got: State, wanted: State, what: str) -> None:
    """`Broken` unless two states are equal but for rounding."""
    same(sorted(got), sorted(wanted), f"names in {what}")
    for name, one in wanted.items():
        close(got[name], one, f"{name} in {what}")


def steps(made: SequenceLayer, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
    """The recurrence by `step`, token by token."""
    state = made.init_state(x.shape[0]) if state is None else state
    outs = []
    for at in range(x.shape[1]):
        y, state = made.step(x[:, at], state)
        outs.append(y)
    return torch.stack(outs, 1) if outs else torch.zeros_like(x), state


def warm(made: SequenceLayer, seed: int = 5, length: int = 9) -> State:
    """A state that holds something."""
    with torch.no_grad():
        return steps(made, tokens(seed, made, length=length))[1]


@contextmanager
def watched(tree: Mapping[str, Tensor], what: str) -> Iterator[None]:
    """`Broken` if a tensor is changed in place within."""
    before = {name: one.detach().clone() for name, one in tree.items()}
    yield
    for name, one in tree.items():
        expect(torch.equal(one.detach(), before[name]), f"{name} of {what} was changed in place")


@rule("S01")
def outputs_are_like_inputs(subject: Subject) -> None:
    """y has the shape, the type and the device of x, by step and by scan; nothing is computed in a lower type."""
    for type_ in (torch.float32, torch.float64):
        made: SequenceLayer = subject.make().to(type_)
        x = tokens(0, made)
        y, state = made.scan(x)
        same((tuple(y.shape), y.dtype, y.device), (tuple(x.shape), x.dtype, x.device), "y of scan")
        y, _ = made.step(x[:, 0], state)
        same((tuple(y.shape), y.dtype), (tuple(x[:, 0].shape), x.dtype), "y of step")


@rule("S02")
def the_first_state_says_what_a_state_is(subject: Subject) -> None:
    """States after tokens have the leaves of init_state, of the same types and shapes; what grows, in one axis."""
    made = layer(subject)
    start = made.init_state(2)
    for state in (made.scan(tokens(0, made))[1], made.step(tokens(0, made)[:, 0], start)[1]):
        states.check(state, start, made.growing)
        for name, one in state.items():
            same(one.dtype, start[name].dtype, f"type of {name}")
    fresh = made.init_state(3)
    same({one.shape[0] for one in fresh.values()} - {3}, set(), "batch sizes other than 3 in init_state(3)")


@rule("S03", when="scan")
def scan_is_steps(subject: Subject) -> None:
    """A scan gives the outputs and the state that steps give, for odd lengths too, from any state."""
    made = layer(subject)
    for state in (None, warm(made)):
        for length in LENGTHS:
            x = tokens(length, made, length=length)
            with torch.no_grad():
                (y, end), (wanted, wanted_end) = made.scan(x, state), steps(made, x, state)
            close(y, wanted, f"y of {length} tokens")
            alike(end, wanted_end, f"the state after {length} tokens")


@rule("S04", when="scan")
def gradients_are_those_of_steps(subject: Subject) -> None:
    """Gradients in the tokens, the state and every weight are the same through a scan as through steps."""
    made = layer(subject)
    held = {name: one for name, one in warm(made).items() if one.is_floating_point()}
    rest = {name: one for name, one in warm(made).items() if name not in held}
    x = tokens(1, made, length=19)

    def gradients(run: Callable[..., tuple[Tensor, State]]) -> dict[str, Tensor]:
        inputs = x.clone().requires_grad_()
        state = {name: one.clone().requires_grad_() for name, one in held.items()}
        y, end = run(inputs, {**rest, **state})
        total = (y * tokens(2, made, length=19)).sum()
        total = total + sum((one.square().sum() for one in end.values() if one.is_floating_point()), torch.zeros(()))
        wanted = {"x": inputs, **{f"state {n}": one for n, one in state.items()}, **dict(made.named_parameters())}
        found: tuple[Tensor | None, ...] = torch.autograd.grad(total, list(wanted.values()), allow_unused=True)
        return {
            name: torch.zeros_like(one) if grad is None else grad
            for (name, one), grad in zip(wanted.items(), found, strict=True)
        }

    scanned, stepped = gradients(made.scan), gradients(lambda x, s: steps(made, x, s))
    for name, one in stepped.items():
        close(scanned[name], one, f"gradient in {name}", 1e-7)


@rule("S05", when="scan")
def a_split_changes_nothing(subject: Subject) -> None:
    """Scanning two parts, the second from the state of the first, is scanning the whole, wherever it is split."""
    made = layer(subject)
    x = tokens(3, made, length=LONG)
    with torch.no_grad():
        y, end = made.scan(x)
        for at in (0, 1, 3, 16, 31, 64, LONG - 1, LONG):
            first, state = made.scan(x[:, :at])
            second, state = made.scan(x[:, at:], state)
            close(torch.cat([first, second], 1), y, f"y when split at {at}")
            alike(state, end, f"the state when split at {at}")


@rule("S06")
def nothing_is_nothing(subject: Subject) -> None:
    """No tokens leave the state as it is; no sequences give no outputs."""
    made = layer(subject)
    state = warm(made)
    y, end = made.scan(tokens(0, made, length=0), state)
    same(tuple(y.shape), (2, 0, made.hidden_size), "shape of y of no tokens")
    alike(end, state, "the state after no tokens")
    y, end = made.scan(tokens(0, made, batch=0))
    same(tuple(y.shape), (0, 11, made.hidden_size), "shape of y of no sequences")
    same({one.shape[0] for one in end.values()} - {0}, set(), "sequences in the state of none")


@rule("S07")
def padding_is_nothing(subject: Subject) -> None:
    """Padding, at the front, the end or within, changes neither outputs nor states, whatever stands in it."""
    made = layer(subject)
    x = tokens(4, made, batch=4, length=12)
    mask = torch.ones(4, 12, dtype=torch.bool)
    mask[0, :3], mask[1, 8:], mask[2, 4:6] = False, False, False
    loud = torch.where(mask[..., None], x, torch.full_like(x, 1e3))
    with torch.no_grad():
        first, state = made.scan(loud, mask=mask)
        second, end = made.scan(x, state)
        expect(not first[~mask].any(), "outputs at padding are not zero")
        for row in range(4):
            alone = x[row : row + 1, mask[row]]
            y, one = made.scan(alone)
            close(first[row : row + 1, mask[row]], y, f"y of padded sequence {row}")
            y, one = made.scan(x[row : row + 1], one)
            close(second[row : row + 1], y, f"y after padding of sequence {row}")
            mine = states.select(end, torch.tensor([row]))
            for name in set(one) - made.growing:
                close(mine[name], one[name], f"{name} of the state of sequence {row} after padding")


@rule("S08")
def the_future_is_not_seen(subject: Subject) -> None:
    """Changing a token changes no output before it, and one at or after it."""
    made = layer(subject)
    x = tokens(5, made, length=LONG)
    with torch.no_grad():
        y, _ = made.scan(x)
        for at in (0, 1, 15, 16, 40, LONG - 1):
            other = x.clone()
            other[:, at] += 1.0
            changed, _ = made.scan(other)
            close(changed[:, :at], y[:, :at], f"y before token {at}, which changed")
            expect(not torch.equal(changed[:, at:], y[:, at:]), f"token {at} has no influence on what follows")


@rule("S09")
def the_past_is_remembered(subject: Subject) -> None:
    """What was read changes what is answered later: the state matters."""
    made = layer(subject)
    x = tokens(6, made)
    with torch.no_grad():
        fresh, _ = made.scan(x)
        later, _ = made.scan(x, warm(made))
    expect(not torch.allclose(fresh, later), "the same tokens get the same answer whatever was read before")


@rule("S10")
def sequences_do_not_mix(subject: Subject) -> None:
    """What a sequence is answered does not depend on the others in its batch."""
    made = layer(subject)
    x = tokens(7, made, batch=3, length=17)
    with torch.no_grad():
        y, end = made.scan(x)
        alone, state = made.scan(x[1:2])
    close(y[1:2], alone, "y of one sequence among others")
    alike(states.select(end, torch.tensor([1])), state, "the state of one sequence among others")


@rule("S11")
def nothing_is_changed_in_place(subject: Subject) -> None:
    """Neither the inputs nor the given state nor the weights are changed; the same call gives the same again."""
    made = layer(subject)
    x, state = tokens(8, made), warm(made)
    with torch.no_grad(), watched({"x": x}, "the input"), watched(state, "the state"):
        with watched(made.state_dict(), "the weights"):
            one, _ = made.scan(x, state)
            made.step(x[:, 0], state)
        again, _ = made.scan(x, state)
    expect(torch.equal(one, again), "the same call gave something else the second time")


@rule("S12")
def half_precision_works(subject: Subject) -> None:
    """In bfloat16 and float16, and under autocast, y is finite and near that of float32; the type of x is kept."""
    made: SequenceLayer = subject.make()
    x = tokens(9, made)
    with torch.no_grad():
        wanted, _ = made.scan(x)
        for type_ in HALVES:
            half = copy.deepcopy(made).to(type_)
            y, state = half.scan(x.to(type_))
            same(y.dtype, type_, "type of y")
            _near(y, wanted, f"y in {type_}")
            half.step(x[:, 0].to(type_), state)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y, state = made.scan(x)
            made.scan(x, state)
        _near(y, wanted, "y under autocast")


def _near(y: Tensor, wanted: Tensor, what: str) -> None:
    expect(bool(torch.isfinite(y).all()), f"{what} is not finite")
    off = float((y.float() - wanted).norm() / wanted.norm())
    expect(off < 0.1, f"{what} is off by {off:.2g} of its length")


@rule("S13")
def it_compiles(subject: Subject) -> None:
    """torch.compile of a scan gives what the layer itself gives."""
    made = layer(subject)
    x = tokens(10, made)
    torch._dynamo.reset()
    with torch.no_grad(), warnings.catch_warnings():
        # The compiler instantiates functions as it tells others not to; where warnings are errors, that would end it.
        warnings.simplefilter("ignore", DeprecationWarning)
        y, end = torch.compile(made, backend="eager")(x)
        wanted, wanted_end = made.scan(x)
    close(y, wanted, "y of the compiled layer")
    alike(end, wanted_end, "the state of the compiled layer")


@rule("S14")
def files_keep_everything(subject: Subject) -> None:
    """A safetensors file brings back weights and memory bit by bit, into a layer that was initialised otherwise."""
    made, other = subject.make(seed=1), subject.make(seed=2)
    x = tokens(11, made)
    with torch.no_grad():
        made.stream(x)
        with tempfile.TemporaryDirectory() as folder:
            made.save(Path(folder) / "layer.safetensors")
            other.load(Path(folder) / "layer.safetensors")
        expect(torch.equal(made.stream(x), other.stream(x)), "a loaded layer does not continue like the saved one")


@rule("S15")
def strange_states_are_refused(subject: Subject) -> None:
    """A state of another configuration, or with leaves that are missing, is refused with the shapes."""
    made = layer(subject)
    x = tokens(12, made)
    other = subject.make(hidden_size=2 * made.hidden_size)
    foreign = other.scan(tokens(12, other))[1]
    raises(InvalidInput, lambda: made.scan(x, {}), "a state without leaves")
    raises(InvalidInput, lambda: made.step(x[:, 0], made.init_state(5)), "a state for 5 sequences, with 2")
    raises(InvalidInput, lambda: made.scan(x, foreign), "a state of a layer of twice the width")
    raises(InvalidInput, lambda: made.restore(other.state()), "what a layer of twice the width remembers")


@rule("S16")
def strange_inputs_are_refused(subject: Subject) -> None:
    """Inputs of a wrong shape or type are refused, and nothing is remembered of them."""
    made = layer(subject)
    x = tokens(13, made)
    for wrong in (x[0], x[..., 1:], torch.ones(2, 3, made.hidden_size, dtype=torch.long)):
        raises(InvalidInput, lambda wrong=wrong: made.stream(wrong), f"x of {tuple(wrong.shape)}, {wrong.dtype}")  # type: ignore[misc]
    expect(made.memory is None, "a refused input was remembered")
    raises(InvalidInput, lambda: made.step(x, made.init_state(2)), f"x of {tuple(x.shape)} in step")
    raises(InvalidInput, lambda: made.scan(x, mask=torch.ones(2, 3, dtype=torch.bool)), "a mask of another length")
    raises(InvalidInput, lambda: made.scan(x, mask=torch.ones(2, 11)), "a mask of numbers")


@rule("S17")
def not_a_number_is_not_hidden(subject: Subject) -> None:
    """A NaN shows at its token, and neither before it nor in other sequences."""
    made = layer(subject)
    x = tokens(14, made, length=21)
    spoiled = x.clone()
    spoiled[0, 9, 0] = torch.nan
    with torch.no_grad():
        wanted, _ = made.scan(x)
        y, _ = made.scan(spoiled)
    expect(bool(y[0, 9].isnan().any()), "a NaN in a token does not show in its output")
    close(y[0, :9], wanted[0, :9], "y before the NaN")
    close(y[1], wanted[1], "y of the other sequence")


@rule("S18")
def every_weight_learns(subject: Subject) -> None:
    """Each weight has a gradient, and a few steps downhill bring a loss down."""
    made = layer(subject)
    x, goal = tokens(15, made, length=24), tokens(16, made, length=24)
    optimizer = torch.optim.Adam(made.parameters(), lr=1e-2)
    losses: list[float] = []
    for _ in range(8):
        loss = (made.scan(x)[0] - goal).square().mean()
        optimizer.zero_grad()
        loss.backward()
        if not losses:
            idle = [name for name, one in made.named_parameters() if one.grad is None or not one.grad.any()]
            same(idle, [], "weights without a gradient")
        losses.append(loss.item())
        optimizer.step()
    expect(losses[-1] < losses[0], f"the loss went from {losses[0]:.4g} to {losses[-1]:.4g}")


@rule("S19", unless="growing")
def the_state_keeps_its_size(subject: Subject) -> None:
    """A state has the same size after many tokens as before the first."""
    made = layer(subject)
    with torch.no_grad():
        _, end = made.scan(tokens(17, made, length=200))
    same(states.size(end), states.size(made.init_state(2)), "bytes of the state after 200 tokens")


@rule("S20")
def long_sequences_stay_finite(subject: Subject) -> None:
    """Outputs and state stay finite over 2,000 tokens, also where the same token comes again and again."""
    made: SequenceLayer = subject.make()
    x = torch.cat([tokens(18, made, batch=1, length=1000), tokens(19, made, batch=1, length=1).expand(-1, 1000, -1)], 1)
    with torch.no_grad():
        y, end = made.scan(x)
    expect(bool(torch.isfinite(y).all()), "an output is not finite")
    for name, one in end.items():
        expect(not one.is_floating_point() or bool(torch.isfinite(one).all()), f"{name} of the state is not finite")


@rule("S21")
def the_seed_decides_the_weights(subject: Subject) -> None:
    """The same seed gives the same weights, another seed others, and torch's own generator is left alone."""
    before = torch.random.get_rng_state()
    one, other = (subject.make(seed=seed).state_dict() for seed in (3, 4))
    expect(torch.equal(before, torch.random.get_rng_state()), "making a layer moved torch's generator")
    again = subject.make(seed=3).state_dict()
    expect(all(torch.equal(one[name], again[name]) for name in one), "the same seed gave other weights")
    expect(not all(torch.equal(one[name], other[name]) for name in one), "another seed gave the same weights")
