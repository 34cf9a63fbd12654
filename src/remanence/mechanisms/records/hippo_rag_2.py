"""HippoRAG 2: passages are nodes of the graph, and a question starts the walk at facts that it was reminded of.

    F      = the 5 facts nearest to the question, those kept that a filter recognises as relevant
    r_i    = mean over facts f in F with phrase i of score(f) / |passages with i|      the 5 greatest phrases
    r_j    = 0.05 · minmax(cos(question, passage j))                                   every passage
    n'     = (1 - d) r + d Wᵀ n', d = 0.5;  passages are ranked by their own n'_j

W joins phrases that share a triple (by how many), synonyms (by cosine), and each phrase with its passages (weight 1).
Where no fact is relevant, passages are ranked by nearness alone. The small weight of passages keeps plain questions as
good as dense search; the filter keeps the walk from starting at facts that only sound like the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from remanence.core.card import Card
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.openie import OpenIE, Triple
from remanence.kernels.pagerank import personalized_pagerank
from remanence.kernels.phrase_graph import mentioned
from remanence.substrates.chat import ChatModel
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.families.phrases import FACT, PhraseMemory, fact_of, min_max
from remanence.substrates.records.mechanism import Hit
from remanence.substrates.records.port import RecordStore

CARD = Card(
    slug="hippo_rag_2",
    substrate="records",
    title="HippoRAG 2",
    paper="hippo_rag_2",
    claim="finds both passages of two-hop questions where dense search finds one, and is no worse on one-hop questions",
    idea="Passages join the phrase graph; relevant facts start the walk, and every passage a little, by nearness.",
    equation="n' = (1-d) r + d W^T n';  r_phrase = mean_f score(f)/|passages with it|,  r_passage = 0.05 minmax(cos)",
    source="OSU-NLP-Group/HippoRAG",
    can=frozenset({"update", "forget"}),
    deviations=(
        "without a model: triples by rules; a fact is relevant if the question mentions its subject or object or a"
        " synonym of them, and the nearest fact is kept where none is",
        "the question has one vector for facts and passages: no instruction is put before it",
        "an entity without any triple is a phrase too, joined with its passage",
        "facts are distinct by their relation's words as written, subject and object in normal form",
    ),
)
_RELEVANT: Final = {
    "type": "object",
    "properties": {"relevant": {"type": "array", "items": {"type": "integer"}}},
    "required": ["relevant"],
    "additionalProperties": False,
}
_RECOGNISE: Final = (
    "You are given a question and numbered facts, each a subject, relation and object. Name the numbers of the facts "
    "that help to answer the question, directly or as a step on the way; none if no fact does."
)
Recalled = tuple[Triple, float]
"""A fact and its score, 0 to 1."""


class HippoRag2(PhraseMemory):
    """Facts, recognition, and personalized PageRank over phrases and passages.

    Args:
        damping: probability of following an edge, in [0, 1).
        facts: how many facts are recalled, and how many phrases of them start the walk at most.
        passage_weight: how heavy passages are at the start.
        recognise: whether recalled facts are filtered.
        synonym: cosine from which two phrases are synonyms.
        most_synonyms: how many of them a phrase has at most.
        openie: texts to extractions; default: the model if there is one, else rules.
        store, scope, embedder, analyzer, llm: as for every record mechanism.

    """

    card: ClassVar[Card] = CARD
    KEEPS_FACTS = True
    WALKS_PASSAGES = True

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
        facts: int = 5,
        passage_weight: float = 0.05,
        recognise: bool = True,
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
        self.facts = facts
        self.passage_weight = passage_weight
        self.recognise = recognise

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        """Passages by the walk from relevant facts; by nearness alone where there are none."""
        if not query.strip() or k <= 0:
            return []
        relevant = self.relevant(query, self.recalled(query, now), now)
        if not relevant:
            return self.by_nearness(query, k, now=now)
        turns = self.passages(now)
        dense = self.nearness(query, now)
        reset = np.concatenate([self.phrase_weights(relevant, now), self.passage_weight * min_max(dense)])
        if not reset.any():
            return self.by_nearness(query, k, now=now)
        ranks = personalized_pagerank(self.walk(now), reset, self.damping)[len(reset) - len(turns) :]
        order = np.lexsort((np.arange(len(turns)), -dense, -ranks))[:k].tolist()
        channels = {turns[j]: {"walk": float(ranks[j]), "dense": float(dense[j])} for j in order}
        return self.hits([(turns[j], float(ranks[j])) for j in order], k, now=now, channels=channels)

    def recalled(self, query: str, now: datetime) -> list[Recalled]:
        """The facts nearest to a question, with scores between those of the least and the most similar of all facts."""
        vector = self.embed_query(query)
        near = self.nearest(vector, self.facts, kinds=(FACT,))
        farthest = self.nearest(-vector, 1, kinds=(FACT,))
        current = self.current(now)
        scores = min_max(np.array([score for _, score in near] + [-score for _, score in farthest]))
        records = [current.get(id) for id, _ in near]
        return [
            (fact_of(record), float(score))
            for record, score in zip(records, scores, strict=False)
            if record is not None
        ]

    def relevant(self, query: str, recalled: Sequence[Recalled], now: datetime) -> list[Recalled]:
        """The facts that the filter keeps: the model's where it answers, else those that the question mentions."""
        if not self.recognise or not recalled:
            return list(recalled)
        shown = [{"number": number, "fact": list(fact)} for number, (fact, _) in enumerate(recalled)]
        answer = self.ask(_RECOGNISE, {"question": query, "facts": shown}, _RELEVANT)
        if answer is not None:
            chosen = set(answer["relevant"])
            if chosen <= set(range(len(recalled))):
                return [one for number, one in enumerate(recalled) if number in chosen]
            self.troubles.append(f"{sorted(chosen)} are not all numbers of the {len(recalled)} facts that were shown")
        number = self.phrases(now).number
        names = list(number)
        one, other, _ = self.synonyms(now)

        def is_mentioned(phrase: str) -> bool:
            node = number[phrase]
            alike = np.concatenate([other[one == node], one[other == node]]).tolist()
            return any(mentioned([phrase, *(names[near] for near in alike)], query))

        kept = [(fact, score) for fact, score in recalled if is_mentioned(fact[0]) or is_mentioned(fact[2])]
        return kept or list(recalled[:1])

    def phrase_weights(self, relevant: Sequence[Recalled], now: datetime) -> NDArray[np.float64]:
        """[phrases] the reset of the phrases of relevant facts; at most `facts` of them are not 0."""
        graph = self.phrases(now)
        spread = graph.spread()
        shares: dict[int, list[float]] = {}
        for fact, score in relevant:
            for phrase in dict.fromkeys((fact[0], fact[2])):
                node = graph.number[phrase]
                shares.setdefault(node, []).append(score / max(int(spread[node]), 1))
        means = {node: sum(parts) / len(parts) for node, parts in shares.items()}
        weights = np.zeros(graph.phrases)
        for node in sorted(means, key=lambda node: (-means[node], node))[: self.facts]:
            weights[node] = means[node]
        return weights
