"""RAG: passages found by the inner product of dense vectors; the answer's probability is summed over them.

    p(z|x)    = softmax over the top k of d(z) · q(x) / temperature
    sequence: p(y|x) = sum over z of p(z|x) * product over i of p(y_i | x, z, y_<i)
    token:    p(y|x) = product over i of sum over z of p(z|x) * p(y_i | x, z, y_<i)

Each memory is one passage. What a passage's words make of the next token comes from whoever generates; `kernels.rag`
does the sums. Knowledge changes by changing what is written: nothing is trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.core.scope import Scope
from remanence.kernels import rag
from remanence.kernels.analyzer import Analyzer
from remanence.substrates.chat import ChatModel
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.base import TURN, RecordMemory
from remanence.substrates.records.mechanism import Hit
from remanence.substrates.records.port import RecordStore

CARD = Card(
    slug="rag",
    substrate="records",
    title="Retrieval-augmented generation",
    paper="rag",
    claim="follows its passages: after they are exchanged, answers change with them, without any training",
    idea="A generator reads passages found by dense vectors and sums over which of them it may be right to read.",
    equation="p(y|x) = sum_z p(z|x) prod_i p(y_i|x,z,y_<i);  per token: prod_i sum_z p(z|x) p(y_i|x,z,y_<i)",
    source="",
    can=frozenset({"update", "forget"}),
    deviations=(
        "the encoders are whatever embedder is given; the query encoder is not trained here, its gradient is",
        "cosines, which lie close together, are divided by a temperature before the softmax; 1 is as published",
        "exact search in place of an approximate index",
    ),
)

Answer = TypeVar("Answer")


class Rag(RecordMemory):
    """Dense retrieval, and the marginals over what it retrieved.

    `temperature` divides the scores before the softmax. The paper's encoders are not normalised; cosines are, and
    without it p(z|x) is nearly even. In what follows the k rows of an array belong to the k hits, and log
    probabilities are natural logarithms; they raise `InvalidInput` where shapes do not fit or there is no hit.
    """

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        *,
        store: RecordStore | None = None,
        scope: Scope | None = None,
        embedder: Embedder | None = None,
        analyzer: Analyzer | None = None,
        llm: ChatModel | None = None,
        temperature: float = 0.1,
    ) -> None:
        super().__init__(store=store, scope=scope, embedder=embedder, analyzer=analyzer, llm=llm)
        if not temperature > 0:
            raise InvalidInput(f"temperature {temperature} must be above 0; smaller trusts the nearest passage more")
        self.temperature = temperature

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        """Passages are read as they are: nothing is derived."""
        return []

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        """The k passages nearest to the query."""
        return self.hits(self.nearest(query, k, kinds=(TURN,)), k, now=now) if query.strip() else []

    def log_prior(self, hits: Sequence[Hit]) -> NDArray[np.float64]:
        """log p(z|x), [k]."""
        return rag.log_prior(np.array([hit.score for hit in hits], np.float64) / self.temperature)

    def sequence_log_prob(self, hits: Sequence[Hit], tokens: ArrayLike) -> float:
        """RAG-Sequence: log p(y|x) from log p(y_i|x,z,y_<i), [k, m]."""
        return rag.sequence_log_prob(self.log_prior(hits), tokens)

    def token_log_prob(self, hits: Sequence[Hit], tokens: ArrayLike) -> float:
        """RAG-Token: log p(y|x) from log p(y_i|x,z,y_<i), [k, m]."""
        return rag.token_log_prob(self.log_prior(hits), tokens)

    def next_token(self, hits: Sequence[Hit], table: ArrayLike) -> NDArray[np.float64]:
        """RAG-Token's next token: log p(v|x,y_<i) of a vocabulary, [v], from log p(v|x,z,y_<i), [k, v]."""
        return rag.next_token(self.log_prior(hits), table)

    def posterior(self, hits: Sequence[Hit], tokens: ArrayLike) -> NDArray[np.float64]:
        """p(z|x,y), [k]: from which passage the answer came, given log p(y_i|x,z,y_<i), [k, m]."""
        return rag.posterior(self.log_prior(hits), tokens)

    def score_gradient(self, hits: Sequence[Hit], tokens: ArrayLike) -> NDArray[np.float64]:
        """[k] gradient of -log p(y|x) of RAG-Sequence with respect to the hits' scores, from log p(y_i|x,z,y_<i),
        [k, m]: (prior - posterior) / temperature. What a trained query encoder would follow."""
        prior = self.log_prior(hits)
        found: NDArray[np.float64] = (np.exp(prior) - rag.posterior(prior, tokens)) / self.temperature
        return found

    def decode(
        self,
        hits: Sequence[Hit],
        hypotheses: Mapping[Answer, ArrayLike],
        found: Mapping[Answer, Sequence[int]] | None = None,
        *,
        decoding: Literal["thorough", "fast"] = "thorough",
    ) -> list[tuple[Answer, float]]:
        """RAG-Sequence's answers, best first, with log p(y|x), from log p(y|x,z), [k], of each; `kernels.rag.decode`
        says what `found` and fast decoding are."""
        return rag.decode(self.log_prior(hits), hypotheses, found, decoding=decoding)
