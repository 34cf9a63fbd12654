"""RAG: dense retrieval, and the marginals over what was retrieved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from remanence.core.errors import InvalidInput
from remanence.core.scope import Scope
from remanence.kernels import rag as kernel
from remanence.mechanisms.records.rag import Rag
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.embedding import HashEmbedder
from remanence.substrates.records.mechanism import Hit, Item
from remanence.substrates.records.probe import drive, observe

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PASSAGES = (
    "Ana lives in Bergen and works at the harbour.",
    "Bilal plays the cello in a quartet.",
    "The harbour of Bergen was built of granite.",
    "Chen learns Basque on Tuesdays.",
    "A cello has four strings.",
)
QUERY = "where in Bergen is the harbour?"


def filled(passages: Sequence[str] = PASSAGES, **options: float) -> Rag:
    memory = Rag(**options)  # type: ignore[arg-type]
    memory.write([Item(text) for text in passages], now=NOW)
    return memory


def table(k: int, m: int, seed: int = 0) -> NDArray[np.float64]:
    return np.log(np.random.default_rng(seed).uniform(0.05, 0.9, (k, m)))


def vocabulary(k: int, v: int, seed: int = 0) -> NDArray[np.float64]:
    return np.log(np.random.default_rng(seed).dirichlet(np.ones(v), k))


def test_it_ranks_by_the_inner_product_of_query_and_passage() -> None:
    embedder = HashEmbedder()
    cosines = embedder.embed(PASSAGES) @ embedder.embed([QUERY])[0]
    hits = filled().read(QUERY, 3, now=NOW)
    assert [hit.text for hit in hits] == [PASSAGES[i] for i in np.argsort(-cosines)[:3]]
    # Stored vectors have eight bits a component.
    assert [hit.score for hit in hits] == pytest.approx(np.sort(cosines)[::-1][:3].tolist(), abs=0.01)


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0])
def test_the_prior_is_the_softmax_of_the_scores(temperature: float) -> None:
    memory = filled(temperature=temperature)
    hits = memory.read(QUERY, 4, now=NOW)
    weights = [math.exp(hit.score / temperature) for hit in hits]
    assert np.exp(memory.log_prior(hits)).tolist() == pytest.approx([weight / sum(weights) for weight in weights])


def test_the_temperature_tells_how_far_the_nearest_passage_is_trusted() -> None:
    shares = []
    for temperature in (10.0, 1.0, 0.1, 0.01):
        memory = filled(temperature=temperature)
        shares.append(math.exp(memory.log_prior(memory.read(QUERY, 4, now=NOW))[0]))
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(0.25, abs=0.02)
    assert shares[-1] > 0.99
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(InvalidInput, match="temperature"):
            Rag(temperature=wrong)


def test_with_one_passage_both_are_the_language_model() -> None:
    memory = filled()
    hits = memory.read(QUERY, 1, now=NOW)
    tokens = table(1, 5)
    for log_prob in (memory.sequence_log_prob, memory.token_log_prob):
        assert log_prob(hits, tokens) == pytest.approx(tokens.sum())


def test_of_identical_passages_both_are_the_language_model() -> None:
    memory = filled()
    hits = memory.read(QUERY, 4, now=NOW)
    tokens = np.repeat(table(1, 5), 4, axis=0)
    for log_prob in (memory.sequence_log_prob, memory.token_log_prob):
        assert log_prob(hits, tokens) == pytest.approx(tokens[0].sum())


def test_an_answer_of_one_token_is_the_same_to_both_and_a_longer_one_is_not() -> None:
    memory = filled()
    hits = memory.read(QUERY, 4, now=NOW)
    assert memory.sequence_log_prob(hits, table(4, 1)) == pytest.approx(memory.token_log_prob(hits, table(4, 1)))
    assert memory.sequence_log_prob(hits, table(4, 2)) != pytest.approx(memory.token_log_prob(hits, table(4, 2)))


def test_the_next_token_sums_to_one_and_is_what_the_token_marginal_multiplies() -> None:
    memory = filled()
    hits = memory.read(QUERY, 4, now=NOW)
    first, second = vocabulary(4, 7, 1), vocabulary(4, 7, 2)
    mixed = memory.next_token(hits, first), memory.next_token(hits, second)
    assert np.exp(mixed[0]).sum() == pytest.approx(1)
    answer = np.stack([first[:, 3], second[:, 5]], axis=1)
    assert memory.token_log_prob(hits, answer) == pytest.approx(mixed[0][3] + mixed[1][5])


def moved(hits: Sequence[Hit], at: int, by: float) -> list[Hit]:
    return [Hit(hit.id, hit.text, hit.score + by * (i == at)) for i, hit in enumerate(hits)]


def finite_difference(memory: Rag, hits: Sequence[Hit], tokens: ArrayLike) -> list[float]:
    step = 1e-6

    def loss(at: int, by: float) -> float:
        return -memory.sequence_log_prob(moved(hits, at, by), tokens)

    return [(loss(i, step) - loss(i, -step)) / (2 * step) for i in range(len(hits))]


def test_the_gradient_is_the_prior_less_the_posterior() -> None:
    memory = filled(temperature=0.3)
    hits, tokens = memory.read(QUERY, 4, now=NOW), table(4, 3)
    gradient = memory.score_gradient(hits, tokens)
    assert gradient.tolist() == pytest.approx(finite_difference(memory, hits, tokens), rel=1e-4)
    expected = (np.exp(memory.log_prior(hits)) - memory.posterior(hits, tokens)) / 0.3
    assert gradient.tolist() == pytest.approx(expected.tolist())


class ForgetsTemperature(Rag):
    """Takes the kernel's gradient as it is, as if scores were not divided."""

    def score_gradient(self, hits: Sequence[Hit], tokens: ArrayLike) -> NDArray[np.float64]:
        return kernel.score_gradient([hit.score / self.temperature for hit in hits], tokens)


def test_a_gradient_that_forgets_the_temperature_is_found_out() -> None:
    memory = ForgetsTemperature(temperature=0.3)
    memory.write([Item(text) for text in PASSAGES], now=NOW)
    hits, tokens = memory.read(QUERY, 4, now=NOW), table(4, 3)
    assert memory.score_gradient(hits, tokens).tolist() != pytest.approx(
        finite_difference(memory, hits, tokens), rel=0.1
    )


def test_decoding_fast_leaves_out_what_no_beam_found() -> None:
    memory = filled()
    hits = memory.read(QUERY, 2, now=NOW)
    scores = {"marble": [math.log(0.5), math.log(0.1)], "granite": [math.log(0.6), math.log(0.5)]}
    found = {"granite": [1], "marble": [0]}
    thorough, fast = memory.decode(hits, scores), memory.decode(hits, scores, found, decoding="fast")
    prior = np.exp(memory.log_prior(hits))
    assert dict(thorough)["granite"] == pytest.approx(math.log(prior @ [0.6, 0.5]))
    assert dict(fast)["granite"] == pytest.approx(math.log(prior[1] * 0.5))
    assert [answer for answer, _ in thorough] == ["granite", "marble"]
    assert [answer for answer, _ in fast] == ["marble", "granite"]


def test_no_hits_and_wrong_shapes_are_refused() -> None:
    memory = filled()
    with pytest.raises(InvalidInput, match="scores"):
        memory.log_prior([])
    with pytest.raises(InvalidInput, match="shape"):
        memory.token_log_prob(memory.read(QUERY, 3, now=NOW), table(4, 2))


def test_an_exchanged_passage_is_read_in_its_new_form() -> None:
    memory = filled()
    (hit,) = memory.read("Ana harbour Bergen", 1, now=NOW)
    memory.update(hit.id, "Ana lives in Tromso and works at the airport.", now=NOW + timedelta(days=1))
    later = NOW + timedelta(days=2)
    assert memory.read("Ana Tromso airport", 1, now=later)[0].text.startswith("Ana lives in Tromso")
    assert not any("Ana lives in Bergen" in hit.text for hit in memory.read("Ana Bergen", 9, now=later))
    memory.forget([hit.id], now=later)
    assert len(memory.read("Ana Tromso airport", 9, now=later)) == len(PASSAGES) - 1


def test_memory_and_sqlite_agree_and_a_restored_one_too(tmp_path: Path) -> None:
    kept, plain, restored = Rag(store=SqliteStore(tmp_path / "m.db"), scope=Scope(app_id="a")), Rag(), Rag()
    for memory in (kept, plain):
        drive(memory, 0)
    restored.restore(plain.state())
    assert observe(kept) == observe(plain) == observe(restored) != observe(Rag())
    kept.store.close()


def test_a_read_leaves_no_trace() -> None:
    memory = filled()
    before = memory.state()
    memory.read(QUERY, 3, now=NOW)
    assert memory.state() == before
