"""Scores of a scope's rows for one query, channel by channel. Record mechanisms mix these as their papers say.

Arrays marked [n + 1] have one entry more than the index has rows: row -1, "no neighbour", scores 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from remanence.kernels.bm25 import K1, Posting, add_up, frequencies, idf, length_norms, saturate
from remanence.kernels.dense import scan
from remanence.kernels.quantize import quantize
from remanence.substrates.records.scope_index import WINDOW, ScopeIndex

Floats = NDArray[np.float32]
Rows = NDArray[np.intp]
Visible = NDArray[np.bool_] | None
"""What `ScopeIndex.visible` answers."""
Around = Mapping[int, Rows]
"""Rows at each distance, from `around`."""


def postings_of(index: ScopeIndex, terms: Sequence[str], visible: Visible = None) -> list[Posting]:
    """Postings of each distinct term, as far as rows are visible; terms that occur nowhere are left out."""
    integers = [term for term in index.lookup(tuple(dict.fromkeys(terms))) if term is not None]
    found = index.postings.of_many(integers)
    if visible is not None:
        found = [(docs[seen], tfs[seen]) for docs, tfs in found for seen in [visible[docs]]]
    return [pair for pair in found if len(pair[0])]


def around(index: ScopeIndex, rows: Rows, visible: Visible = None) -> Around:
    """`index.neighbours`, and -1 for those that cannot be seen: they must not shine on others either."""
    found = index.neighbours(rows)
    if visible is None:
        return found
    return {distance: np.where(visible[near], near, -1) for distance, near in found.items()}


def lexical(index: ScopeIndex, postings: Sequence[Posting]) -> Floats:
    """BM25 of every row, [n + 1]."""
    scores = np.zeros(len(index) + 1, np.float32)
    add_up(scores, postings, index.norms, [idf(len(index), len(docs)) for docs, _ in postings])
    return scores


def lexical_of(index: ScopeIndex, postings: Sequence[Posting], rows: Rows) -> Floats:
    """BM25 of the given rows only, [len(rows)]: for words so frequent that walking their postings would be slow."""
    scores = np.zeros(len(rows), np.float32)
    norms = index.norms[rows]
    for posting in postings:
        scores += saturate(frequencies(posting, rows, len(index)), norms, idf(len(index), len(posting[0])))
    return scores


def lexical_ceiling(index: ScopeIndex, terms: Sequence[str], found: Sequence[Posting]) -> float:
    """What BM25 would give a row that says every term many times: puts scores of different queries on one scale.

    Terms that occur nowhere count fully: a query about something never mentioned cannot score high.
    """
    absent = len(set(terms)) - len(found)
    weights = [idf(len(index), len(docs)) for docs, _ in found] + [idf(len(index), 0)] * absent
    return max(sum(weights) * (K1 + 1), 1e-9)


def lexical_window(index: ScopeIndex, postings: Sequence[Posting], around: Around) -> Floats:
    """BM25 of each row taken together with its neighbours as one document: frequencies and lengths add up."""
    places, weights = _window(around)
    scores = np.zeros(len(around[0]), np.float32)
    if not places.size:
        return scores
    lengths = np.where(places >= 0, index.lengths[places], np.float32(0))
    norms = length_norms(weights @ lengths, average=index.window_length)
    frequency = np.zeros(len(index) + 1, np.float32)
    for docs, tfs in postings:
        frequency[docs] = tfs
        scores += saturate(weights @ frequency[places], norms, idf(len(index), len(docs)))
        frequency[docs] = 0
    return scores


def session_lexical(index: ScopeIndex, postings: Sequence[Posting]) -> Floats:
    """BM25 of every session taken as one document, as a share of what the terms could reach, [sessions]."""
    # Sessions differ in length by what was said, not by padding: half of the usual length normalisation.
    norms = length_norms(index.session_lengths, k1=2.0, b=0.5)
    scores = np.zeros(index.sessions, np.float32)
    ceiling = 0.0
    for docs, tfs in postings:
        counts = np.bincount(index.session[docs], tfs, minlength=index.sessions).astype(np.float32)
        weight = idf(index.sessions, int(np.count_nonzero(counts)))
        scores += saturate(counts, norms, weight, k1=2.0)
        ceiling += weight * 3.0
    return scores / np.float32(max(ceiling, 1e-9))


def related_lexical(
    index: ScopeIndex, terms: Sequence[str], related: Callable[[str], Sequence[tuple[str, float]]]
) -> Floats:
    """Rows that say not the query's words but related ones, [n + 1]: sum over the query's terms of idf times the
    greatest relatedness of a term in the row, where the row lacks the query's term itself."""
    scores = np.zeros(len(index) + 1, np.float32)
    best = np.zeros(len(index) + 1, np.float32)
    near = [related(term)[::-1] for term in terms]
    # One look-up for all: the query's own terms first, then the related ones of each.
    words = (*terms, *(word for pairs in near for word, _ in pairs))
    found = iter(_docs_of(index, words))
    own = [next(found) for _ in terms]
    for docs, pairs in zip(own, near, strict=True):
        touched = [next(found) for _ in pairs]
        rows = np.concatenate([*touched, docs])
        # Least related first, so that a row that says several related words keeps the most related one.
        best[rows] = np.repeat(
            np.array([*(similarity for _, similarity in pairs), 0], np.float32), [*map(len, touched), len(docs)]
        )
        # A row may be listed twice; assignment through an index counts it once.
        scores[rows] += best[rows] * np.float32(idf(len(index), len(docs)))
    return scores


def _docs_of(index: ScopeIndex, words: Sequence[str]) -> list[NDArray[np.int32]]:
    integers = [-1 if integer is None else integer for integer in index.lookup(tuple(words))]
    return [docs for docs, _ in index.postings.of_many(integers)]


def bridge(
    index: ScopeIndex, seeds: Rows, weights: NDArray[np.floating], known: Sequence[int | None], terms: int = 12
) -> Floats:
    """BM25 for the rare words of the rows found first, as a share of what they could reach, [n + 1].

    The relevance model RM3 (N. Abdul-Jaleel et al., "UMass at TREC 2004") with idf in the choice of terms: what a
    first hop says leads to the second. `known` are the integers of the query's own terms, which are left out.
    """
    scores = np.zeros(len(index) + 1, np.float32)
    spoken = [index.terms_of(row) for row in seeds.tolist()]
    said = np.concatenate([np.zeros(0, np.int32), *spoken])
    if not len(said):
        return scores
    shares = np.concatenate([[], *(np.full(len(t), w / max(len(t), 1)) for t, w in zip(spoken, weights, strict=True))])
    distinct, place = np.unique(said, return_inverse=True)
    gains = np.bincount(place, shares, minlength=len(distinct))
    dfs = index.postings.df_many(distinct)
    # A word said once leads nowhere; one said all the time leads everywhere.
    asked = np.array([term for term in known if term is not None], np.int32)
    new = (distinct[:, None] != asked).all(axis=1)
    fit = (dfs > 1) & (dfs <= len(index) // 20) & new
    gains *= np.where(fit, np.log(1 + (len(index) - dfs + 0.5) / (dfs + 0.5)), 0.0)
    chosen = np.lexsort((distinct, -gains))[:terms]
    chosen = chosen[gains[chosen] > 0]
    ceiling = float(gains[chosen].sum()) * (K1 + 1)
    if len(chosen):
        add_up(scores, index.postings.of_many(distinct[chosen]), index.norms, (gains[chosen] / ceiling).tolist())
    return scores


def dense(index: ScopeIndex, query: NDArray[np.float32], visible: Visible = None) -> Floats:
    """Cosine of every row's vector with the query vector [dim], [n + 1]; 0 where a row has no vector or is hidden."""
    codes, scales = quantize(query[None, :])
    scores = np.zeros(len(index) + 1, np.float32)
    scores[:-1] = scan(index.codes, index.scales, codes[0], float(scales[0]))
    if visible is not None:
        scores[:-1][~visible] = 0
    return scores


def dense_window(index: ScopeIndex, scores: Floats, around: Around) -> Floats:
    """Cosine of the query with the weighted sum of each row's vector and its neighbours'. No second scan: the query's
    product with a sum is the sum of its products (`scores`, from `dense`)."""
    places, weights = _window(around)
    found: Floats = (weights @ scores[places]) / index.window_norms[around[0]]
    return found


def _window(around: Around) -> tuple[NDArray[np.intp], Floats]:
    """Rows of the windows [distances, rows] and the weight of each distance."""
    return np.stack(list(around.values())), np.array([WINDOW[distance] for distance in around], np.float32)
