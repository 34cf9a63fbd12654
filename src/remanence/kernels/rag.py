"""Answers from several documents at once: the marginals of retrieval-augmented generation.

For a question x, retrieved documents z with scores s_z and an answer y of tokens y_1 .. y_m (P. Lewis et al.,
"Retrieval-Augmented Generation for Knowledge-Intensive NLP Tasks", NeurIPS 2020):

    p(z|x)               = softmax over the k retrieved scores
    RAG-Sequence  p(y|x) = sum over z of p(z|x) · product over i of p(y_i | x, z, y_<i)
    RAG-Token     p(y|x) = product over i of sum over z of p(z|x) · p(y_i | x, z, y_<i)
    posterior     p(z|x,y) ∝ p(z|x) · p(y|x,z)
    gradient of -log p_sequence(y|x) with respect to s_z:  p(z|x) - p(z|x,y)

All probabilities are natural logarithms; -inf is an impossible token, nan and inf are refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from remanence.core.errors import InvalidInput

Floats = NDArray[np.float64]
Answer = TypeVar("Answer")


def log_sum_exp(values: Floats, axis: int = 0) -> Floats:
    """log of the sum of exp along an axis, without overflow; -inf where every value is -inf."""
    greatest = values.max(axis=axis, keepdims=True)
    shift = np.where(np.isfinite(greatest), greatest, 0.0)
    with np.errstate(divide="ignore"):
        found: Floats = np.log(np.exp(values - shift).sum(axis=axis)) + np.squeeze(shift, axis=axis)
    return found


def log_prior(scores: ArrayLike) -> Floats:
    """log p(z|x) [k]: the log softmax of the retrieval scores [k]. Raises `InvalidInput` for none or infinite ones."""
    found = np.asarray(scores, dtype=np.float64)
    if found.ndim != 1 or not found.size:
        raise InvalidInput(f"scores of shape {found.shape} are not a list; give one score for each of k >= 1 documents")
    if not np.isfinite(found).all():
        raise InvalidInput(f"scores {found.tolist()} are not all finite; leave a document out that cannot be meant")
    # Shifted first: a small logarithm added to a score of 10⁴ would lose four digits.
    found = found - found.max()
    normalised: Floats = found - log_sum_exp(found)
    return normalised


def sequence_log_prob(prior: ArrayLike, tokens: ArrayLike) -> float:
    """RAG-Sequence: log p(y|x) from log p(z|x) [k] and log p(y_i|x,z,y_<i) [k, m]."""
    weights, table = _checked(prior, tokens)
    return float(log_sum_exp(weights + table.sum(axis=1)))


def sequence_naive(prior: Sequence[float], tokens: Sequence[Sequence[float]]) -> float:
    """What `sequence_log_prob` gives, by plain loops over probabilities; they underflow for long answers."""
    total = 0.0
    for weight, row in zip(prior, tokens, strict=True):
        product = math.exp(weight)
        for token in row:
            product *= math.exp(token)
        total += product
    return math.log(total) if total else -math.inf


def token_log_prob(prior: ArrayLike, tokens: ArrayLike) -> float:
    """RAG-Token: log p(y|x) from log p(z|x) [k] and log p(y_i|x,z,y_<i) [k, m]."""
    weights, table = _checked(prior, tokens)
    return float(log_sum_exp(weights[:, None] + table).sum())


def token_naive(prior: Sequence[float], tokens: Sequence[Sequence[float]]) -> float:
    """What `token_log_prob` gives, by plain loops over probabilities."""
    product = 1.0
    for column in zip(*tokens, strict=True):
        product *= sum(math.exp(weight) * math.exp(token) for weight, token in zip(prior, column, strict=True))
    return math.log(product) if product else -math.inf


def next_token(prior: ArrayLike, table: ArrayLike) -> Floats:
    """log of the mixed distribution [v] of the next token, from log p(z|x) [k] and log p(v|x,z,y_<i) [k, v].

    It sums to 1 where each row does: what a beam search of RAG-Token expands.
    """
    weights, rows = _checked(prior, table)
    return log_sum_exp(weights[:, None] + rows)


def next_token_naive(prior: Sequence[float], table: Sequence[Sequence[float]]) -> list[float]:
    """What `next_token` gives, by plain loops over probabilities."""
    mixed = [
        sum(math.exp(weight) * math.exp(token) for weight, token in zip(prior, column, strict=True))
        for column in zip(*table, strict=True)
    ]
    return [math.log(share) if share else -math.inf for share in mixed]


def posterior(prior: ArrayLike, tokens: ArrayLike) -> Floats:
    """p(z|x,y) [k], from log p(z|x) [k] and log p(y_i|x,z,y_<i) [k, m]: which document the answer came from.

    Raises `InvalidInput` for an answer that no document allows.
    """
    weights, table = _checked(prior, tokens)
    joint = weights + table.sum(axis=1)
    total = log_sum_exp(joint)
    if not np.isfinite(total):
        raise InvalidInput("no document gives the answer a probability above 0, so it came from none; smooth the model")
    found: Floats = np.exp(joint - total)
    return found


def posterior_naive(prior: Sequence[float], tokens: Sequence[Sequence[float]]) -> list[float]:
    """What `posterior` gives, by plain loops over probabilities."""
    joint = [math.exp(weight) * math.exp(math.fsum(row)) for weight, row in zip(prior, tokens, strict=True)]
    return [share / math.fsum(joint) for share in joint]


def score_gradient(scores: ArrayLike, tokens: ArrayLike) -> Floats:
    """[k] the gradient of -log p_sequence(y|x) with respect to the retrieval scores [k]: prior minus posterior."""
    prior = log_prior(scores)
    found: Floats = np.exp(prior) - posterior(prior, tokens)
    return found


def decode(
    prior: ArrayLike,
    hypotheses: Mapping[Answer, ArrayLike],
    found: Mapping[Answer, Sequence[int]] | None = None,
    *,
    decoding: Literal["thorough", "fast"] = "thorough",
) -> list[tuple[Answer, float]]:
    """Answers of RAG-Sequence by falling log p(y|x), ties in the order given.

    `hypotheses` has log p(y|x,z) [k] for each answer y; `found` names the documents in whose beam it was. Thorough
    decoding counts every document; fast decoding gives an answer probability 0 under documents whose beam had not found
    it, so that their log p(y|x,z) need not be known and may be nan.
    """
    if decoding not in ("thorough", "fast"):
        raise InvalidInput(f"decoding is {decoding!r}; choose 'thorough' or 'fast'")
    if decoding == "fast" and found is None:
        raise InvalidInput(
            "fast decoding needs to know which beams found an answer; give `found`, or decode thoroughly"
        )
    ranked = []
    for answer, given in hypotheses.items():
        row = np.asarray(given, dtype=np.float64)
        if decoding == "fast" and found is not None:
            beams = list(found.get(answer, ()))
            if row.ndim != 1 or any(not 0 <= beam < len(row) for beam in beams):
                raise InvalidInput(f"{answer!r} is said to be found by {beams}, and has scores of shape {row.shape}")
            kept = np.full(len(row), -np.inf)
            kept[beams] = row[beams]
            row = kept
        ranked.append((answer, sequence_log_prob(prior, row[..., None])))
    return sorted(ranked, key=lambda pair: -pair[1])


def decode_naive(
    prior: Sequence[float],
    hypotheses: Mapping[Answer, Sequence[float]],
    found: Mapping[Answer, Sequence[int]] | None = None,
) -> dict[Answer, float]:
    """p(y|x) of each answer, by plain loops; with `found`, only over the documents in whose beam it was."""
    totals: dict[Answer, float] = {}
    for answer, row in hypotheses.items():
        totals[answer] = 0.0
        for document, weight in enumerate(prior):
            if found is None or document in found.get(answer, ()):
                totals[answer] += math.exp(weight) * math.exp(row[document])
    return totals


def _checked(prior: ArrayLike, tokens: ArrayLike) -> tuple[Floats, Floats]:
    weights, table = np.asarray(prior, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
    if weights.ndim != 1 or not weights.size or table.ndim != 2 or len(table) != len(weights):
        raise InvalidInput(
            f"a prior of shape {weights.shape} does not fit log probabilities of shape {table.shape}; give [k], [k, m]"
        )
    for name, values in (("the log priors", weights), ("the log probabilities", table)):
        if np.isnan(values).any() or (values == np.inf).any():
            raise InvalidInput(f"{name} hold nan or inf; a log probability is finite, or -inf where impossible")
    return weights, table
