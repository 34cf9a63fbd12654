"""Near-duplicates among a handful of hits: sets of terms that are almost the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from remanence.core.errors import InvalidInput


def fold(texts: Sequence[Iterable[str]], threshold: float = 0.9) -> list[int]:
    """The index of the representative of each text: an earlier one that it repeats, or its own.

    A text repeats the first representative before it whose set of terms (or shingles) has a Jaccard similarity of at
    least `threshold` with its own; only texts that repeat none become representatives. Texts without terms repeat each
    other.

    Sets can only be that similar if the smaller has `threshold` times as many terms as the larger, and if they share
    one of the rarest terms: of a set of n terms at most ``floor((1 - threshold) n)`` are missing from the other, so one
    of any ``floor((1 - threshold) n) + 1`` of them is shared (S. Chaudhuri et al., "A primitive operator for similarity
    joins", ICDE 2006). Representatives are therefore looked up by those terms alone.

    Args:
        texts: Terms of each text; order and repetition do not matter.
        threshold: In (0, 1]; 1 folds equal sets only.

    Raises:
        InvalidInput: The threshold is outside (0, 1].
    """
    _check(threshold)
    sets = [frozenset(terms) for terms in texts]
    frequency: dict[str, int] = {}
    for terms in sets:
        for term in terms:
            frequency[term] = frequency.get(term, 0) + 1
    representatives_with: dict[str, list[int]] = {}
    empty: int | None = None
    out: list[int] = []
    for index, terms in enumerate(sets):
        if not terms:
            empty = index if empty is None else empty
            out.append(empty)
            continue
        # One more than the bound: 1 - 0.9 is a little more than 0.1 in floating point, or a little less.
        probes = sorted(terms, key=lambda term: (frequency[term], term))[: int((1 - threshold) * len(terms)) + 2]
        candidates = sorted({other for term in probes for other in representatives_with.get(term, ())})
        found = next((other for other in candidates if _similar(terms, sets[other], threshold)), None)
        out.append(index if found is None else found)
        if found is None:
            for term in terms:
                representatives_with.setdefault(term, []).append(index)
    return out


def naive_fold(texts: Sequence[Iterable[str]], threshold: float = 0.9) -> list[int]:
    """`fold`, each text against every representative before it."""
    _check(threshold)
    sets = [set(terms) for terms in texts]
    out: list[int] = []
    for index, terms in enumerate(sets):
        representative = index
        for other in range(index):
            union = len(terms | sets[other])
            if out[other] == other and (union == 0 or len(terms & sets[other]) >= threshold * union):
                representative = other
                break
        out.append(representative)
    return out


def _check(threshold: float) -> None:
    if not 0 < threshold <= 1:
        raise InvalidInput(f"threshold {threshold!r} must be above 0 and at most 1")


def _similar(a: frozenset[str], b: frozenset[str], threshold: float) -> bool:
    small, large = sorted((len(a), len(b)))
    if small < threshold * large:
        return False
    shared = len(a & b)
    return shared >= threshold * (small + large - shared)
