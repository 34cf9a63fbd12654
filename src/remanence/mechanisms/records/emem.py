"""EMem: what is said becomes self-contained propositions (EDUs); a walk joins those that share an argument.

    nodes    sessions, EDUs, arguments; edges EDU-argument 1, session-EDU 1, argument-argument cosine >= 0.9
    E        = the 30 EDUs nearest to the question that an inclusive filter keeps
    reset    w[a] += cos(entity, a) / |sessions(a)|   for arguments near the question's entities
             w[e]  = s_e / |sessions(e)|,  w[a] += s_e / |sessions(a)|   for each EDU e of E with argument a
             only the 30 greatest arguments;  w[session] = 0.05 minmax(cos) for the 8 nearest, if wanted
    r        = (1 - d) w + d Wᵀ r, d = 0.5;  EDUs are ranked by r

`graph=True` is EMem-G. Without the graph the kept EDUs are ranked by their nearness: the paper's EMem, nearly as good.
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
from remanence.kernels.dense import top
from remanence.kernels.openie import phrase_key
from remanence.kernels.pagerank import Graph, personalized_pagerank
from remanence.kernels.phrase_graph import Pairs
from remanence.substrates.chat import ChatModel
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.base import Scored
from remanence.substrates.records.families.phrases import PHRASE, min_max
from remanence.substrates.records.families.propositions import EDU, Decompose, PropositionMemory
from remanence.substrates.records.mechanism import Hit
from remanence.substrates.records.port import RecordStore

CARD = Card(
    slug="emem",
    substrate="records",
    title="EMem",
    paper="emem",
    claim="finds both of two propositions that share an argument across sessions; nearness finds one of them",
    idea="Sessions are decomposed without loss into event propositions; a walk over their arguments joins them.",
    equation="r = (1-d) w + d W^T r;  w[e] = s_e,  w[a] += cos(entity, a)/|sessions(a)| + sum_e s_e/|sessions(a)|",
    source="KevinSRR/EMem",
    can=frozenset({"update", "forget"}),
    deviations=(
        "turns are decomposed when they are written, those of a session together, not when the session is over",
        "without a model: sentences in the third person; arguments by rules; an EDU is kept if its cosine is within"
        " 0.15 of the best or it names an entity of the question; the walk starts at those of them that name most of"
        " its entities (the paper's model picks few, and a start at all about one person joins nothing)",
        "of the arguments near an entity those within 0.15 of its nearest are kept, in place of a model's choice",
        "an EDU is one record: the same words in two sessions are two EDUs, of one session each",
        "what a model's EDUs leave out of a turn (a name, a number, a whole turn) is added by the rules",
        "a model names EDUs by their numbers, not verbatim; event types and roles are not asked for",
    ),
)
_SELECTED: Final = {
    "type": "object",
    "properties": {"selected": {"type": "array", "items": {"type": "integer"}}},
    "required": ["selected"],
    "additionalProperties": False,
}
_SELECT: Final = (
    "Select by number every statement that may help to answer the question, also as one of several steps. Be "
    "inclusive: rather one too many than one too few; keep numbers, names and dates."
)


Floats = NDArray[np.float64]


class EMem(PropositionMemory):
    """Propositions, an inclusive filter, and personalized PageRank over propositions, arguments and sessions.

    Args:
        graph: walk (EMem-G) or rank by nearness alone (EMem).
        candidates: how many EDUs the filter looks at.
        slack: how far below the best cosine the rule filter keeps.
        per_entity: how many arguments are looked at for each entity of the question.
        most_arguments: how many arguments start the walk at most.
        session_weight: how heavy the `sessions` nearest sessions are at the start; 0: not at all.
        damping: probability of following an edge, in [0, 1).
        decompose: turns to units; default: the model if there is one, else rules.
        synonym, most_synonyms: cosine from which arguments are synonyms, and how many one has at most.
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
        decompose: Decompose | None = None,
        synonym: float = 0.9,
        most_synonyms: int = 100,
        graph: bool = True,
        candidates: int = 30,
        slack: float = 0.15,
        per_entity: int = 10,
        most_arguments: int = 30,
        session_weight: float = 0.0,
        sessions: int = 8,
        damping: float = 0.5,
    ) -> None:
        super().__init__(
            store=store,
            scope=scope,
            embedder=embedder,
            analyzer=analyzer,
            llm=llm,
            decompose=decompose,
            synonym=synonym,
            most_synonyms=most_synonyms,
        )
        self.graph = graph
        self.candidates = candidates
        self.slack = slack
        self.per_entity = per_entity
        self.most_arguments = most_arguments
        self.session_weight = session_weight
        self.sessions = sessions
        self.damping = damping

    # Questions

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        """EDUs by the walk, behind them by nearness less one what it does not reach; or by nearness alone (EMem)."""
        if not query.strip() or k <= 0:
            return []
        entities = self.entities_of(query, now)
        kept = self.kept(query, entities, now)
        if not kept or not self.graph:
            return self.hits(kept, k, now=now, channels={id: {"dense": cosine} for id, cosine in kept})
        edus = self.passages(now)
        dense = self.nearness(query, now)
        reset = self.reset(entities, kept, dense, now)
        if not reset.any():
            return self.by_nearness(query, k, now=now)
        start = self.phrases(now).phrases
        ranks = personalized_pagerank(self.walk(now), reset, self.damping)[start : start + len(edus)]
        final = np.where(ranks > 0, ranks, dense - 1)
        order = np.lexsort((np.arange(len(edus)), -dense, -final))[:k].tolist()
        channels = {edus[j]: {"walk": float(ranks[j]), "dense": float(dense[j])} for j in order}
        return self.hits([(edus[j], float(final[j])) for j in order], k, now=now, channels=channels)

    def kept(self, query: str, entities: Sequence[str], now: datetime) -> list[Scored]:
        """The EDUs near a question that the inclusive filter keeps, with their cosines, best first."""
        near = self.nearest(query, self.candidates, kinds=(EDU,))
        records = self.current(now).of(EDU)
        if self.llm is not None and near:
            shown = [{"number": i, "statement": records[id].text} for i, (id, _) in enumerate(near)]
            answer = self.ask(_SELECT, {"question": query, "statements": shown}, _SELECTED)
            if answer is not None and (chosen := set(answer["selected"])) and chosen <= set(range(len(near))):
                return [one for i, one in enumerate(near) if i in chosen]
        shares = {id: len(set(entities) & set(map(phrase_key, records[id].meta["entities"]))) for id, _ in near}
        inclusive = [(id, cosine) for id, cosine in near if cosine >= near[0][1] - self.slack or shares[id]]
        if not self.graph:
            return inclusive
        # A walk that starts at everything about one person gets no further than that; measured, it joins nothing.
        most = max((shares[id] for id, _ in inclusive), default=0)
        return [(id, cosine) for id, cosine in inclusive if shares[id] == most]

    def reset(self, entities: Sequence[str], kept: Sequence[Scored], dense: Floats, now: datetime) -> Floats:
        """[arguments + EDUs + sessions] where the walk starts; `dense` [EDUs] are cosines with the question."""
        graph = self.phrases(now)
        spread = self.spread(now)
        weights = np.zeros(graph.phrases)
        for node, cosine in self.near_arguments(entities, now):
            weights[node] += cosine / spread[node]
        row = {id: j for j, id in enumerate(self.passages(now))}
        masses = np.zeros(graph.passages)
        for id, cosine in kept:
            masses[row[id]] = max(cosine, 0.0)
        places = graph.places()
        np.add.at(weights, places.first, masses[places.second] / spread[places.first])
        weights[np.lexsort((np.arange(len(weights)), -weights))[self.most_arguments :]] = 0.0
        session_of = self.session_of(now)
        near = np.bincount(session_of, dense) / np.bincount(session_of)
        first = top(near, self.sessions)
        sessions = np.zeros(len(near))
        sessions[first] = self.session_weight * min_max(near[first])
        return np.concatenate([weights, masses, sessions])

    def near_arguments(self, entities: Sequence[str], now: datetime) -> list[tuple[int, float]]:
        """Arguments near each entity, and the cosine; the same argument may come more than once."""
        number = self.phrases(now).number
        current = self.current(now)
        found = []
        for entity in entities:
            near = self.nearest(entity, self.per_entity, kinds=(PHRASE,), least=1e-6)
            texts = {record.text: cosine for id, cosine in near if (record := current.get(id)) is not None}
            if entity in number:
                texts[entity] = 1.0
            least = max(texts.values(), default=0.0) - self.slack
            found += [(number[text], min(cosine, 1.0)) for text, cosine in texts.items() if cosine >= least]
        return found

    # The graph

    def session_of(self, now: datetime) -> NDArray[np.intp]:
        """[EDUs] number of the session of each; a turn without a session is one by itself."""

        def make() -> NDArray[np.intp]:
            current = self.current(now)
            numbers: dict[str, int] = {}
            found = []
            for edu in current.of(EDU).values():
                turn = current.get(edu.sources[0].id)
                key = edu.id if turn is None else turn.scope.run_id or turn.id
                found.append(numbers.setdefault(key, len(numbers)))
            return np.array(found, np.intp)

        return self.cached("emem:sessions", make)

    def spread(self, now: datetime) -> NDArray[np.intp]:
        """[arguments] in how many sessions each stands."""
        places = self.phrases(now).places()
        pairs = np.unique(np.stack([places.first, self.session_of(now)[places.second]]), axis=1)
        return np.bincount(pairs[0], minlength=self.phrases(now).phrases)

    def walk(self, now: datetime) -> Graph:
        """Arguments, then EDUs, then sessions."""

        def make() -> Graph:
            graph, session_of = self.phrases(now), self.session_of(now)
            edus = np.arange(graph.passages) + graph.phrases
            places = graph.places()
            parts = [
                self.synonyms(now),
                Pairs(places.first, edus[places.second], places.weight),
                Pairs(edus, session_of + graph.phrases + graph.passages, np.ones(len(edus))),
            ]
            return Graph.of(graph.phrases + graph.passages + int(session_of.max()) + 1, *Pairs.joined(parts))

        return self.cached("emem:walk", make)
