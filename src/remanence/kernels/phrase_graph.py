"""Phrases as a graph: which stand in one triple, which in which passage, and which mean the same.

Phrases are numbered in the order in which they first appear, passages in the order in which they are appended; support
is counted by construction, since a graph is made from the passages that there are: whatever no passage says any more is
in none. The weights are those of HippoRAG (B. Jiménez Gutiérrez et al., NeurIPS 2024):

    relation  (i, j): triples that relate i and j
    place     P[i, j]: how often phrase i appears in the triples of passage j (an entity without a triple: once)
    synonym   (i, j): their cosine, where it is at least tau, for the `most` nearest of each phrase
    specificity s_i = 1 / number of passages with i
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import InvalidInput
from remanence.kernels.analyzer import is_stopword
from remanence.kernels.openie import Extraction, Triple, phrase_key
from remanence.kernels.pagerank import Graph

__all__ = ["Pairs", "PhraseGraph", "capped", "is_linkable", "mentioned", "synonym_pairs", "synonym_pairs_naive"]

Floats = NDArray[np.float64]
Whole = NDArray[np.intp]

BLOCK = 256
"""Rows compared with all others at once."""
_EXACT = 1 << 24
"""Whole numbers up to here are exact in float32, whatever the order in which they are added up."""
_SLACK = 1e-4
_LEAST_SIGNS = 3


class Pairs(NamedTuple):
    """Pairs of rows or nodes, `first[e] < second[e]` unless told otherwise, each with a weight. Shapes: [m]."""

    first: Whole
    second: Whole
    weight: Floats

    @classmethod
    def none(cls) -> Pairs:
        """No pairs."""
        return cls(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0))

    @classmethod
    def joined(cls, parts: Sequence[Pairs]) -> Pairs:
        """The pairs of all parts, one after the other."""
        first, second, weight = zip(*parts, strict=True)
        return cls(np.concatenate(first), np.concatenate(second), np.concatenate(weight))

    def of(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> Pairs:
        """Some of the pairs, by position or mask."""
        return Pairs(self.first[which], self.second[which], self.weight[which])

    def among(self, number: Whole) -> Pairs:
        """The pairs of rows that have a number, by their numbers; -1 is none."""
        first, second = number[self.first], number[self.second]
        kept = (first >= 0) & (second >= 0)
        low, high = np.minimum(first, second)[kept], np.maximum(first, second)[kept]
        order = np.lexsort((high, low))
        return Pairs(low[order], high[order], self.weight[kept][order])


class PhraseGraph:
    """The phrases of passages, appended one after the other."""

    def __init__(self) -> None:
        self.number: dict[str, int] = {}
        """Node of each phrase, by `phrase_key`."""
        self.origin: list[int] = []
        """The first passage of each phrase."""
        self.facts: dict[Triple, int] = {}
        """Distinct triples, subject and object by `phrase_key`, and the first passage of each."""
        self.passages = 0
        self._ends: list[tuple[int, int]] = []
        self._places: list[tuple[int, int, int]] = []
        self._arrays: tuple[int, Pairs, Pairs] = (0, Pairs.none(), Pairs.none())

    @property
    def phrases(self) -> int:
        """How many phrases there are."""
        return len(self.number)

    def append(self, extraction: Extraction) -> None:
        """One passage more. Triples without a subject or object are passed over."""
        counts: dict[int, int] = {}
        for subject, relation, thing in extraction.triples:
            ends = phrase_key(subject), phrase_key(thing)
            if not all(ends):
                continue
            one, other = self._node(ends[0]), self._node(ends[1])
            self.facts.setdefault((ends[0], relation, ends[1]), self.passages)
            if one != other:
                self._ends.append((one, other) if one < other else (other, one))
            for node in (one, other):
                counts[node] = counts.get(node, 0) + 1
        for entity in extraction.entities:
            if key := phrase_key(entity):
                counts.setdefault(self._node(key), 1)
        self._places += [(node, self.passages, count) for node, count in counts.items()]
        self.passages += 1

    def _node(self, key: str) -> int:
        node = self.number.setdefault(key, len(self.number))
        if node == len(self.origin):
            self.origin.append(self.passages)
        return node

    def relations(self) -> Pairs:
        """Phrases that triples relate, each pair once, by the number of triples."""
        return self._columns()[0]

    def places(self) -> Pairs:
        """P: phrase (`first`), passage (`second`) and how often it appears there (`weight`)."""
        return self._columns()[1]

    def _columns(self) -> tuple[Pairs, Pairs]:
        if self._arrays[0] != self.passages:
            ends, counts = np.unique(np.array(self._ends, np.intp).reshape(-1, 2), axis=0, return_counts=True)
            relations = Pairs(ends[:, 0], ends[:, 1], counts.astype(np.float64))
            found = np.array(self._places, np.intp).reshape(-1, 3)
            places = Pairs(found[:, 0], found[:, 1], found[:, 2].astype(np.float64))
            self._arrays = (self.passages, relations, places)
        return self._arrays[1:]

    def spread(self) -> Whole:
        """[phrases] in how many passages each phrase stands; 1 / spread is its specificity."""
        found: Whole = np.bincount(self.places().first, minlength=self.phrases)
        return found

    def walk(self, synonyms: Pairs, *, passages: bool = False) -> Graph:
        """The graph to walk on: phrases, joined by relations and synonyms; `passages`: and passages as nodes behind
        them, each joined with its phrases by an edge of weight 1. Errors: `InvalidInput` when it would be empty."""
        parts = [self.relations(), synonyms]
        if passages:
            places = self.places()
            parts.append(Pairs(places.first, places.second + self.phrases, np.ones(len(places.first))))
        first, second, weight = Pairs.joined(parts)
        return Graph.of(self.phrases + (self.passages if passages else 0), first, second, weight)


def is_linkable(key: str) -> bool:
    """Whether a phrase may have synonyms: with two letters and digits or fewer, nearness says nothing."""
    return sum(one.isalnum() for one in key) >= _LEAST_SIGNS


def synonym_pairs(codes: NDArray[np.int8], scales: NDArray[np.float32], least: float, *, since: int = 0) -> Pairs:
    """Pairs of rows with a cosine of at least `least`, whose second row is `since` or later. Ordered by row.

    Rows are unit vectors as `codes` int8 [n, d] times `scales` [n]; rows with scale 0 pair with none. Exact: the sums
    are whole numbers, which float32 holds up to 2^24, so that neither blocks nor machines make a difference.
    """
    _check(codes, scales, least)
    # |a · b| <= |a| |b|, also of every part of the sum.
    squares = np.einsum("ij,ij->i", codes, codes, dtype=np.float64)
    wide: NDArray[np.floating] = codes.astype(np.float32 if squares.max(initial=0.0) < _EXACT else np.float64)
    found = [Pairs.none()]
    for low in range(since, len(codes), BLOCK):
        high = min(low + BLOCK, len(codes))
        dots = wide[low:high] @ wide[:high].T
        # A threshold per column and a little slack spare the scaling of what is far away.
        bounds = (least - _SLACK) / np.maximum(scales[:high] * scales[low:high].max(), np.finfo(np.float32).tiny)
        second, first = np.nonzero(dots >= bounds)
        cosines = dots[second, first].astype(np.float64) * scales[second + low] * scales[first]
        kept = (cosines >= least) & (first < second + low)
        found.append(Pairs(first[kept], second[kept] + low, cosines[kept]))
    joined = Pairs.joined(found)
    order = np.lexsort((joined.second, joined.first))
    return joined.of(order)


def synonym_pairs_naive(codes: NDArray[np.int8], scales: NDArray[np.float32], least: float, *, since: int = 0) -> Pairs:
    """`synonym_pairs`, pair by pair."""
    _check(codes, scales, least)
    pairs = []
    for first in range(len(codes)):
        for second in range(max(first + 1, since), len(codes)):
            dot = sum(int(a) * int(b) for a, b in zip(codes[first], codes[second], strict=True))
            cosine = float(np.float64(dot) * scales[second] * scales[first])
            if cosine >= least and scales[first] > 0 and scales[second] > 0:
                pairs.append((first, second, cosine))
    first_, second_, weight = zip(*pairs, strict=True) if pairs else ((), (), ())
    return Pairs(np.array(first_, np.intp), np.array(second_, np.intp), np.array(weight, np.float64))


def capped(pairs: Pairs, most: int) -> Pairs:
    """The pairs that are among the `most` heaviest of either side; equal weights in order of the other side."""
    if most < 1:
        raise InvalidInput(f"most={most} must be at least 1 synonym per phrase")
    nodes = np.concatenate([pairs.first, pairs.second])
    neighbours = np.concatenate([pairs.second, pairs.first])
    order = np.lexsort((neighbours, -np.tile(pairs.weight, 2), nodes))
    rank = np.empty(len(order), np.intp)
    rank[order] = np.arange(len(order)) - np.searchsorted(nodes[order], nodes[order])
    kept = rank.reshape(2, -1).min(axis=0) < most
    return pairs.of(kept)


def _check(codes: NDArray[np.int8], scales: NDArray[np.float32], least: float) -> None:
    if codes.ndim != 2 or scales.shape != (len(codes),):
        raise InvalidInput(f"{scales.shape} scales do not fit codes of shape {codes.shape}; give one per row")
    if not 0 < least <= 1:
        raise InvalidInput(f"least={least} must be a cosine over 0, up to 1; phrases that are unlike are no synonyms")


def mentioned(phrases: Sequence[str], question: str) -> list[bool]:
    """Which phrases (by `phrase_key`) stand in a question, word by word; those of words that say nothing do not."""
    padded = f" {phrase_key(question)} "
    return [f" {phrase} " in padded and not all(map(is_stopword, phrase.split())) for phrase in phrases]
