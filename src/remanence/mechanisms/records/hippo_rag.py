"""HippoRAG: passages found by a walk over the graph of what they name, started at what the question names.

    r_i = 1 / |passages with i|  for each phrase i that an entity of the question is linked to, else 0
    n' = (1 - d) r + d Wᵀ n'     personalized PageRank over relations and synonyms, d = 0.5
    p = n'ᵀ P                    P[i, j] = how often phrase i appears in passage j

One walk joins what stands in different passages: a question that names a person reaches the town of that person's
employer. An extractor plays the neocortex, nearness of phrases the parahippocampal region, the walk the hippocampus.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from remanence.core.card import Card
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.openie import OpenIE
from remanence.kernels.pagerank import personalized_pagerank
from remanence.substrates.chat import ChatModel
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.families.phrases import Link, PhraseMemory, min_max
from remanence.substrates.records.mechanism import Hit
from remanence.substrates.records.port import RecordStore

CARD = Card(
    slug="hippo_rag",
    substrate="records",
    title="HippoRAG",
    paper="hippo_rag",
    claim="finds both passages of two-hop questions in one step, where dense and lexical search find the first only",
    idea="Passages become a graph of phrases; a walk from the question's entities ranks phrases, and these passages.",
    equation="p = n'^T P,  n' = (1-d) r + d W^T n',  r_i = 1/|passages with i| on the question's entities",
    source="OSU-NLP-Group/HippoRAG",
    can=frozenset({"update", "forget"}),
    deviations=(
        "without a model: triples and question entities by rules (names, dates, what follows a determiner)",
        "an entity of the question that is a known phrase is linked to it without looking at vectors",
        "phrases with two letters and digits or fewer have no synonyms, others 100 at most (as in the sequel)",
        "an entity without any triple is a phrase too, with a count of one in its passage",
        "passages that the walk does not reach follow by their nearness to the question, less one",
        "the turn to dense scores where linking is unsure is off; `unsure` = 0.9 is the released code's",
    ),
)


class HippoRag(PhraseMemory):
    """Triples, synonyms, and personalized PageRank from the question's entities.

    Args:
        damping: probability of following an edge, in [0, 1).
        unsure: where an entity is linked by a cosine of at most this, half of the score is that of dense search.
        specific: whether a start weighs the less the more passages it stands in.
        synonym: cosine from which two phrases are synonyms.
        most_synonyms: how many of them a phrase has at most.
        openie: texts to extractions; default: the model if there is one, else rules.
        store, scope, embedder, analyzer, llm: as for every record mechanism.

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
        openie: OpenIE | None = None,
        synonym: float = 0.8,
        most_synonyms: int = 100,
        damping: float = 0.5,
        unsure: float = 0.0,
        specific: bool = True,
    ) -> None:
        super().__init__(
            store=store,
            scope=scope,
            embedder=embedder,
            analyzer=analyzer,
            llm=llm,
            openie=openie,
            synonym=synonym,
            most_synonyms=most_synonyms,
        )
        self.damping = damping
        self.unsure = unsure
        self.specific = specific

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        """Passages by the walk from what the question names; by nearness alone where it names nothing known."""
        if not query.strip() or k <= 0:
            return []
        links = self.linked(self.entities_of(query, now), now)
        if not links:
            return self.by_nearness(query, k, now=now)
        turns = self.passages(now)
        scores = self.passage_scores(links, now)
        dense = self.nearness(query, now)
        total = scores
        if min(cosine for _, cosine in links) <= self.unsure:
            total = 0.5 * min_max(scores) + 0.5 * min_max(dense)
        final = np.where(total > 0, total, dense - 1)
        order = np.lexsort((np.arange(len(turns)), -dense, -final))[:k].tolist()
        channels = {turns[j]: {"walk": float(scores[j]), "dense": float(dense[j])} for j in order}
        return self.hits([(turns[j], float(final[j])) for j in order], k, now=now, channels=channels)

    def reset(self, links: Sequence[Link], now: datetime) -> NDArray[np.float64]:
        """[phrases] where the walk starts: node specificity on the linked phrases, 0 elsewhere."""
        spread = self.phrases(now).spread()
        masses = np.zeros(len(spread))
        for node, _ in links:
            masses[node] = 1 / max(int(spread[node]), 1) if self.specific else 1.0
        return masses

    def passage_scores(self, links: Sequence[Link], now: datetime) -> NDArray[np.float64]:
        """[passages] n'ᵀ P."""
        graph = self.phrases(now)
        ranks = personalized_pagerank(self.walk(now), self.reset(links, now), self.damping)
        phrase, passage, count = graph.places()
        return np.bincount(passage, ranks[phrase] * count, minlength=graph.passages).astype(np.float64)
