"""Feature maps φ: what a memory sees of queries and keys. They act on the last axis and leave the others alone.

A polynomial map makes the inner product of features a polynomial of the inner product: φ(q)·φ(k) = Σ_i a_i (q·k)^i.
With a_i = 1/i! that is the Taylor series of exp(q·k). Every monomial occurs once, weighted by the square root of how
often it occurs in the tensor power: degree p of K coordinates takes C(K+p-1, p) features in place of K^p.
Source: Katharopoulos et al., Transformers are RNNs (arXiv:2006.16236) for elu + 1; Behrouz et al., ATLAS
(arXiv:2505.23735) for polynomials as capacity.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import comb, factorial, prod, sqrt
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from remanence.core.errors import InvalidInput

EPS = 1e-6
MOST_FEATURES = 1 << 16
"""More monomials than this are refused: a memory has as many rows."""


class Feature(Protocol):
    """A map of the last axis."""

    def __call__(self, x: Tensor) -> Tensor:
        """[..., K] to [..., size(K)], in the dtype of x."""

    def size(self, dim: int) -> int:
        """How many features K coordinates have."""


@dataclass(frozen=True)
class Pointwise:
    """A map that keeps the number of coordinates; `silu` first, then `unit` length or elu + 1."""

    silu: bool = False
    unit: bool = False
    elu1: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        """[..., K] to [..., K]."""
        if self.silu:
            x = functional.silu(x)
        if self.elu1:
            x = functional.elu(x) + 1
        return l2norm(x) if self.unit else x

    def size(self, dim: int) -> int:
        """K."""
        return dim


def l2norm(x: Tensor, eps: float = EPS) -> Tensor:
    """x over its length along the last axis, computed in fp32 at least; a zero vector stays zero."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return (wide * torch.rsqrt(wide.square().sum(-1, keepdim=True) + eps * eps)).to(x.dtype)


@dataclass(frozen=True)
class Polynomial:
    """Monomials of degree `degree` (homogeneous) or up to it, so that φ(q)·φ(k) = Σ_i a_i (q·k)^i.

    `coefficients` are a_0, …, a_p (only a_p counts where homogeneous); None: all 1. At the call they can be given as a
    tensor [p+1] >= 0, to be learnt.
    """

    degree: int
    homogeneous: bool = True
    coefficients: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.degree < 1:
            raise InvalidInput(f"degree {self.degree} of a polynomial must be at least 1")
        given = self.coefficients
        if given is not None and (len(given) != self.degree + 1 or not all(a >= 0 for a in given)):
            raise InvalidInput(f"degree {self.degree} takes {self.degree + 1} coefficients >= 0; got {given}")

    @property
    def degrees(self) -> tuple[int, ...]:
        """The degrees whose monomials are features."""
        return (self.degree,) if self.homogeneous else tuple(range(self.degree + 1))

    def size(self, dim: int) -> int:
        """Σ C(K+i-1, i) over the degrees."""
        return sum(comb(dim + i - 1, i) for i in self.degrees)

    def __call__(self, x: Tensor, coefficients: Tensor | None = None) -> Tensor:
        """[..., K] to [..., size(K)].

        Raises `InvalidInput` where that is more than `MOST_FEATURES`, and for coefficients of another shape.
        """
        if self.size(x.shape[-1]) > MOST_FEATURES:
            raise InvalidInput(
                f"degree {self.degree} of {x.shape[-1]} coordinates has {self.size(x.shape[-1])} features, more than "
                f"{MOST_FEATURES}; take a smaller degree or project first"
            )
        if coefficients is not None and tuple(coefficients.shape) != (self.degree + 1,):
            raise InvalidInput(f"coefficients must be [{self.degree + 1}]; got {list(coefficients.shape)}")
        parts = []
        for i in self.degrees:
            part = power(x, i)
            if coefficients is not None:
                part = part * coefficients[i].clamp_min(0).sqrt().to(x.dtype)
            elif self.coefficients is not None:
                part = part * sqrt(self.coefficients[i])
            parts.append(part)
        return torch.cat(parts, -1)


def taylor(degree: int) -> Polynomial:
    """The Taylor series of exp(q·k) up to a degree."""
    return Polynomial(degree, homogeneous=False, coefficients=tuple(1 / factorial(i) for i in range(degree + 1)))


def power(x: Tensor, degree: int) -> Tensor:
    """[..., K] to [..., C(K+p-1, p)]: power(q, p)·power(k, p) = (q·k)^p."""
    if degree == 0:
        return torch.ones_like(x[..., :1])
    indices, weights = _monomials(x.shape[-1], degree)
    result = x.new_tensor(weights).expand(*x.shape[:-1], len(weights))
    for axis in range(degree):
        chosen = torch.tensor([index[axis] for index in indices], dtype=torch.long, device=x.device)
        result = result * x.index_select(-1, chosen)
    return result


Monomials = tuple[list[tuple[int, ...]], list[float]]
# By (dimension, degree). No lru_cache, which torch.compile warns of.
_MONOMIALS: dict[tuple[int, int], Monomials] = {}


def _monomials(dim: int, degree: int) -> Monomials:
    """Which coordinates each monomial multiplies, and the square root of its multinomial coefficient."""
    known = _MONOMIALS.get((dim, degree))
    if known is None:
        indices = list(combinations_with_replacement(range(dim), degree))
        times = (factorial(degree) // prod(factorial(n) for n in Counter(index).values()) for index in indices)
        known = _MONOMIALS[dim, degree] = indices, [sqrt(n) for n in times]
    return known


@dataclass(frozen=True)
class Chain:
    """One map after another, the first first."""

    maps: tuple[Feature, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Apply all."""
        for one in self.maps:
            x = one(x)
        return x

    def size(self, dim: int) -> int:
        """Features of the last map."""
        for one in self.maps:
            dim = one.size(dim)
        return dim


FEATURES: dict[str, Feature] = {
    "identity": Pointwise(),
    "l2norm": Pointwise(unit=True),
    "silu_l2norm": Pointwise(silu=True, unit=True),
    "elu1": Pointwise(elu1=True),
    "poly2": Polynomial(2),
    "poly3": Polynomial(3),
    "full2": Polynomial(2, homogeneous=False),
    "full3": Polynomial(3, homogeneous=False),
    "taylor2": taylor(2),
    "taylor3": taylor(3),
}
"""Maps by name; poly: one degree alone, full: all degrees up to it, taylor: the same weighted by 1/i!."""


def feature(name: str | Sequence[str]) -> Feature:
    """A feature map by its name, or several after each other.

    >>> feature("poly2").size(32)
    528

    Raises `InvalidInput`, with the names that there are, for one that is not there.
    """
    names = [name] if isinstance(name, str) else list(name)
    if missing := [one for one in names if one not in FEATURES]:
        raise InvalidInput(f"no feature map {missing[0]!r}; there are {', '.join(FEATURES)}")
    return FEATURES[names[0]] if len(names) == 1 else Chain(tuple(FEATURES[one] for one in names))
