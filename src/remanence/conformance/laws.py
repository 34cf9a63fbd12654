"""Rules G01 and following: what every mechanism promises, of whatever substrate. Stated through the probes."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from remanence.conformance.rules import rule
from remanence.conformance.stage import expect, same
from remanence.conformance.subject import Subject
from remanence.core.card import Evidence

_PLAIN = (str, bytes, int, float, bool, type(None), np.ndarray)


@rule("G01")
def constructed_without_arguments(subject: Subject) -> None:
    """It can be made without arguments; all that it takes are keywords with defaults."""
    # torch's own interface gives an optimizer its parameters by position, and who makes optimizers relies on that.
    by_position = {"params"} if subject.card.substrate == "training" else set()
    for name, parameter in subject.parameters.items():
        expect(
            name in by_position or parameter.kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD),
            f"argument {name} can be given by position; write it behind a *",
        )
        expect(
            parameter.default is not inspect.Parameter.empty or parameter.kind is inspect.Parameter.VAR_KEYWORD,
            f"argument {name} has no default",
        )
    subject.make()


@rule("G02")
def a_used_instance_survives_save_and_load(subject: Subject) -> None:
    """What it remembers is the same after state() and restore() into a new instance."""
    one, other = subject.make(), subject.make()
    subject.probe.drive(one, 0)
    other.restore(copy.deepcopy(one.state()))
    same(subject.probe.observe(other), subject.probe.observe(one), "what a restored instance remembers")


@rule("G03")
def the_state_is_plain_data(subject: Subject) -> None:
    """state() holds strings, numbers, lists, mappings and arrays only, so that it can be kept without pickle."""
    one = subject.make()
    subject.probe.drive(one, 0)
    _plain(one.state(), "state()")


@rule("G04")
def the_state_is_a_copy(subject: Subject) -> None:
    """Neither changing what state() returned nor using the mechanism further changes the other of the two."""
    one = subject.make()
    subject.probe.drive(one, 0)
    before = subject.probe.observe(one)
    taken = one.state()
    kept = copy.deepcopy(taken)
    subject.probe.drive(one, 1)
    expect(_equal(taken, kept), "a state that was taken changed when the mechanism was used further")
    other = subject.make()
    other.restore(taken)
    _spoil(taken)
    same(subject.probe.observe(other), before, "what is remembered after the restored state was overwritten")


@rule("G05")
def use_leaves_a_trace(subject: Subject) -> None:
    """A used instance remembers something that a new one does not."""
    one = subject.make()
    subject.probe.drive(one, 0)
    expect(subject.probe.observe(one) != subject.probe.observe(subject.make()), "remembers nothing")


@rule("G06")
def instances_share_nothing(subject: Subject) -> None:
    """A new instance remembers nothing of what another one was used for."""
    blank = subject.probe.observe(subject.make())
    subject.probe.drive(subject.make(), 0)
    same(subject.probe.observe(subject.make()), blank, "what a new instance remembers after another was used")


@rule("G07")
def the_same_use_gives_the_same_memory(subject: Subject) -> None:
    """Two instances that are used alike remember the same: no clock and no chance of their own."""
    seen = []
    for _ in range(2):
        one = subject.make()
        subject.probe.drive(one, 1)
        subject.probe.drive(one, 2)
        seen.append(subject.probe.observe(one))
    same(seen[1], seen[0], "what a second instance remembers after the same use")


@rule("G08")
def the_witness_beats_its_baseline(subject: Subject) -> None:
    """On three seeds the witness shows the direction of the claim."""
    for seed, evidence in enumerate(subject.evidence):
        expect(isinstance(evidence, Evidence), f"seed {seed}: the witness returned {evidence!r}")
        finite = math.isfinite(evidence.value) and math.isfinite(evidence.baseline)
        expect(finite and evidence.holds, f"seed {seed}: {evidence}")


@rule("G09")
def the_witness_repeats(subject: Subject) -> None:
    """The witness gives the same evidence for the same seed."""
    same(subject.testify(0), subject.evidence[0], "evidence of seed 0, measured again")


def _plain(value: Any, where: str) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            expect(isinstance(key, str | int), f"{where} has the key {key!r}")
            _plain(inner, f"{where}[{key!r}]")
    elif isinstance(value, list | tuple):
        for at, inner in enumerate(value):
            _plain(inner, f"{where}[{at}]")
    else:
        expect(isinstance(value, _PLAIN), f"{where} is of type {type(value).__name__}")
        expect(not isinstance(value, np.ndarray) or value.dtype != object, f"{where} is an array of objects")


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other, equal_nan=True)
    if isinstance(one, Mapping):
        return isinstance(other, Mapping) and one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


def _spoil(value: Any) -> None:
    """Overwrite everything in some plain data that can be overwritten."""
    if isinstance(value, dict):
        for inner in value.values():
            _spoil(inner)
        value.clear()
    elif isinstance(value, list):
        for inner in value:
            _spoil(inner)
        value.clear()
    elif isinstance(value, np.ndarray) and value.flags.writeable:
        value.fill(0)
