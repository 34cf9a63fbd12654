from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from remanence.core.errors import InvalidInput
from remanence.kernels.rag import (
    decode,
    decode_naive,
    log_prior,
    log_sum_exp,
    next_token,
    next_token_naive,
    posterior,
    posterior_naive,
    score_gradient,
    sequence_log_prob,
    sequence_naive,
    token_log_prob,
    token_naive,
)

Floats = NDArray[np.float64]
Sizes = st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(0, 10_000))


def _case(documents: int, length: int, seed: int) -> tuple[Floats, Floats]:
    """Retrieval scores [k] and log probabilities [k, m], some of them -inf."""
    rng = np.random.default_rng(seed)
    tokens = np.log(rng.uniform(0.01, 1, (documents, length)))
    tokens[rng.random((documents, length)) < 0.1] = -np.inf
    return rng.normal(0, 2, documents), tokens


@given(Sizes)
def test_equals_naive(sizes: tuple[int, int, int]) -> None:
    scores, tokens = _case(*sizes)
    prior = log_prior(scores)
    assert prior.tolist() == pytest.approx([s - math.log(sum(map(math.exp, scores))) for s in scores])
    assert sequence_log_prob(prior, tokens) == pytest.approx(sequence_naive(prior.tolist(), tokens.tolist()))
    assert token_log_prob(prior, tokens) == pytest.approx(token_naive(prior.tolist(), tokens.tolist()))
    assert next_token(prior, tokens).tolist() == pytest.approx(next_token_naive(prior.tolist(), tokens.tolist()))
    if np.isfinite(tokens.sum(axis=1)).any():
        assert posterior(prior, tokens).tolist() == pytest.approx(posterior_naive(prior.tolist(), tokens.tolist()))


def test_by_hand() -> None:
    prior = np.log([0.25, 0.75])
    tokens = np.log([[0.8, 0.5], [0.4, 0.1]])
    assert math.exp(sequence_log_prob(prior, tokens)) == pytest.approx(0.25 * 0.4 + 0.75 * 0.04)
    assert math.exp(token_log_prob(prior, tokens)) == pytest.approx((0.2 + 0.3) * (0.125 + 0.075))
    assert posterior(prior, tokens).tolist() == pytest.approx([0.1 / 0.13, 0.03 / 0.13])
    # Facts of two documents in one answer: only Token can take each token from the document that has it.
    split = np.log([[0.9, 0.01], [0.01, 0.9]])
    assert token_log_prob(np.log([0.5, 0.5]), split) > sequence_log_prob(np.log([0.5, 0.5]), split) + 2


@given(st.integers(1, 7), st.integers(0, 10_000))
def test_one_document_is_the_language_model(length: int, seed: int) -> None:
    scores, tokens = _case(1, length, seed)
    prior = log_prior(scores)
    assert prior.tolist() == [0.0]
    assert sequence_log_prob(prior, tokens) == token_log_prob(prior, tokens) == tokens.sum()
    assert next_token(prior, tokens).tolist() == tokens[0].tolist()


@given(Sizes)
def test_identical_documents_are_the_language_model(sizes: tuple[int, int, int]) -> None:
    scores, tokens = _case(*sizes)
    tokens[:] = tokens[0]
    prior = log_prior(scores)
    alone = float(tokens[0].sum())
    assert sequence_log_prob(prior, tokens) == pytest.approx(alone, rel=1e-12)
    assert token_log_prob(prior, tokens) == pytest.approx(alone, rel=1e-12)
    if math.isfinite(alone):
        # The answer says nothing about which document it came from.
        assert posterior(prior, tokens).tolist() == pytest.approx(np.exp(prior).tolist())
        assert score_gradient(scores, tokens).tolist() == pytest.approx([0.0] * len(scores), abs=1e-12)


@given(st.integers(1, 6), st.integers(0, 10_000))
def test_for_one_token_sequence_is_token(documents: int, seed: int) -> None:
    scores, tokens = _case(documents, 1, seed)
    prior = log_prior(scores)
    assert sequence_log_prob(prior, tokens) == pytest.approx(token_log_prob(prior, tokens))


def test_for_two_tokens_they_differ() -> None:
    prior, tokens = np.log([0.5, 0.5]), np.log([[0.9, 0.9], [0.1, 0.1]])
    assert sequence_log_prob(prior, tokens) > token_log_prob(prior, tokens) + 0.3


@given(st.integers(1, 6), st.integers(2, 30), st.integers(0, 10_000))
def test_the_mixed_distribution_sums_to_one(documents: int, vocabulary: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.dirichlet(np.full(vocabulary, 0.3), documents)
    with np.errstate(divide="ignore"):
        mixed = next_token(log_prior(rng.normal(0, 3, documents)), np.log(table))
    assert np.exp(mixed).sum() == pytest.approx(1, abs=1e-12)


@given(Sizes)
def test_the_gradient_equals_finite_differences(sizes: tuple[int, int, int]) -> None:
    scores, tokens = _case(*sizes)
    tokens[0] = np.maximum(tokens[0], -9.0)
    gradient = score_gradient(scores, tokens)
    assert gradient.sum() == pytest.approx(0, abs=1e-12)
    for document in range(len(scores)):
        ends = []
        for shift in (1e-5, -1e-5):
            moved = scores.copy()
            moved[document] += shift
            ends.append(-sequence_log_prob(log_prior(moved), tokens))
        assert gradient[document] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-7)


def test_the_gradient_lowers_the_loss_and_its_opposite_does_not() -> None:
    scores, tokens = _case(4, 3, 5)
    tokens = np.maximum(tokens, -5.0)
    gradient = score_gradient(scores, tokens)
    losses = [-sequence_log_prob(log_prior(scores + step * gradient), tokens) for step in (-0.1, 0.0, 0.1)]
    assert losses == sorted(losses)
    assert losses[0] < losses[2]


def test_great_scores_and_impossible_tokens() -> None:
    assert log_prior([1e4, -1e4, 1e4]).tolist() == pytest.approx([-math.log(2), -2e4 - math.log(2), -math.log(2)])
    assert log_prior([1e4, 1e4 - 1]).tolist() == pytest.approx(log_prior([0.0, -1.0]).tolist(), abs=1e-15)
    prior = log_prior([1e4, -1e4])
    tokens = np.array([[-1e4, -1e4], [-1.0, -1.0]])
    assert sequence_naive(prior.tolist(), tokens.tolist()) == -math.inf
    assert sequence_log_prob(prior, tokens) == pytest.approx(-20_000 + math.log1p(math.exp(-2)), rel=1e-15)
    assert posterior(prior, tokens).tolist() == pytest.approx([1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2))])
    assert token_log_prob(prior, tokens) == pytest.approx(-20_000, rel=1e-9)
    blocked = np.array([[-math.inf, -1.0], [-1.0, -math.inf]])
    even = log_prior([0.0, 0.0])
    assert sequence_log_prob(even, blocked) == -math.inf
    assert token_log_prob(even, blocked) == pytest.approx(2 * (math.log(0.5) - 1))
    assert log_sum_exp(np.full((2, 3), -np.inf)).tolist() == [-math.inf] * 3
    with pytest.raises(InvalidInput, match="no document gives the answer"):
        posterior(even, blocked)


def test_thorough_and_fast_decoding() -> None:
    prior = np.log([0.6, 0.4])
    hypotheses = {"spread": np.log([0.3, 0.3]), "one": np.log([0.45, 0.01]), "rare": np.log([1e-9, 0.2])}
    found = {"spread": [1], "one": [0], "rare": [1]}
    thorough = decode(prior, hypotheses)
    assert [answer for answer, _ in thorough] == ["spread", "one", "rare"]
    assert {answer: math.exp(score) for answer, score in thorough} == pytest.approx(
        decode_naive(prior.tolist(), {answer: row.tolist() for answer, row in hypotheses.items()})
    )
    fast = decode(prior, hypotheses, found, decoding="fast")
    assert [answer for answer, _ in fast] == ["one", "spread", "rare"]
    assert {answer: math.exp(score) for answer, score in fast} == pytest.approx(
        decode_naive(prior.tolist(), {answer: row.tolist() for answer, row in hypotheses.items()}, found)
    )
    # What no beam found need not have been computed.
    unknown = {
        "spread": [math.nan, math.log(0.3)],
        "one": [math.log(0.45), math.nan],
        "rare": [math.nan, math.log(0.2)],
    }
    assert decode(prior, unknown, found, decoding="fast") == fast
    everywhere = {answer: [0, 1] for answer in hypotheses}
    assert decode(prior, hypotheses, everywhere, decoding="fast") == thorough


def test_an_answer_of_no_beam_is_impossible_and_ties_keep_their_order() -> None:
    ranked = decode([0.0], {"b": [-1.0], "a": [-1.0], "none": [-0.5]}, {"a": [0], "b": [0]}, decoding="fast")
    assert ranked == [("b", -1.0), ("a", -1.0), ("none", -math.inf)]
    assert decode([0.0], {}) == []


@given(Sizes)
def test_fast_never_exceeds_thorough(sizes: tuple[int, int, int]) -> None:
    scores, table = _case(*sizes)
    rng = np.random.default_rng(sizes[2])
    hypotheses = {answer: table[:, answer] for answer in range(table.shape[1])}
    found = {answer: np.flatnonzero(rng.random(len(scores)) < 0.5).tolist() for answer in hypotheses}
    thorough = dict(decode(log_prior(scores), hypotheses))
    fast = dict(decode(log_prior(scores), hypotheses, found, decoding="fast"))
    assert all(fast[answer] <= thorough[answer] + 1e-12 for answer in hypotheses)


def test_what_cannot_be_mixed() -> None:
    with pytest.raises(InvalidInput, match=r"scores of shape \(0,\)"):
        log_prior([])
    with pytest.raises(InvalidInput, match="not all finite"):
        log_prior([0.0, math.inf])
    with pytest.raises(InvalidInput, match=r"prior of shape \(2,\) does not fit log probabilities of shape \(3, 1\)"):
        sequence_log_prob([0.0, 0.0], [[0.0], [0.0], [0.0]])
    with pytest.raises(InvalidInput, match="the log probabilities hold nan or inf"):
        token_log_prob([0.0], [[math.nan]])
    with pytest.raises(InvalidInput, match="the log priors hold nan or inf"):
        next_token([math.inf], [[0.0]])
    with pytest.raises(InvalidInput, match="give `found`"):
        decode([0.0], {"a": [0.0]}, decoding="fast")
    with pytest.raises(InvalidInput, match=r"'a' is said to be found by \[1\]"):
        decode([0.0], {"a": [0.0]}, {"a": [1]}, decoding="fast")
    with pytest.raises(InvalidInput, match="decoding is 'quick'"):
        decode([0.0], {"a": [0.0]}, decoding="quick")  # type: ignore[arg-type]
