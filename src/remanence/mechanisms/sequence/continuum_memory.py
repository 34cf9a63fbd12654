"""Continuum memory system: a memory of several levels, each updated at its own frequency.

    G_l <- G_l + theta_t grad_l |F(k_t) - v_t|^2 / 2,   o_t = F(q_t)
    every periods[l] tokens:  θ_l <- θ_l - rates[l] G_l,  G_l <- 0

F is a chain of the levels, a learnt mean of them, or the fastest alone, which begins again from the next slower one.
The update is `kernels.sequence.continuum`; the layer around it is `substrates.sequence.families.continuum`.
"""

from __future__ import annotations

from typing import ClassVar

from remanence.core.card import Card
from remanence.substrates.sequence.families.continuum import Continuum

CARD = Card(
    slug="continuum_memory",
    substrate="sequence",
    title="Continuum memory system",
    paper="nested_learning",
    claim="a fast level that begins again from a slow one errs less after a change of task than a level alone, and "
    "comes as far",
    idea="Perceptrons that differ in how often they are updated: the fastest holds the moment, slower ones what many "
    "moments have in common.",
    equation="θ_l <- θ_l - sum over the last C_l tokens of theta_t grad_l loss(F(k_t), v_t), every C_l tokens",
    can=frozenset({"scan"}),
    needs=frozenset({"torch"}),
    deviations=(
        "levels are trained on the layer's own keys and values while it reads; where an outer loss gives error "
        "signals, `taught` takes them",
        "a level adds up gradients instead of keeping tokens: the sum is the same, as a level does not move within its "
        "period, and the state has a fixed size",
        "the step of a level is by default on the mean over its period, not the sum: rates",
    ),
)


class ContinuumMemory(Continuum):
    """The layer; see `Continuum` for its settings."""

    card: ClassVar[Card] = CARD
