"""Recall: the default record memory. Lexical, dense, conversational and temporal evidence in one calibrated score.

    p(r answers q) = 1 / (1 + exp(-(w · f(channels(q, r)) + b)))

f leaves most channels as they are; evidence whose returns diminish counts by its logarithm. Channels look at the record
itself, at its two neighbours on each side, at its session, at who speaks and at when it happened. Turns of a
conversation and documents have weights of their own. They were learnt by `tools/learn_recall.py` and ship as numbers
(`recall_weights.json`); `docs/design/recall.md` says what each channel contributes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from remanence.core.card import Card
from remanence.core.clock import EPOCH
from remanence.core.errors import InvalidInput
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.claims.known import NOTHING_KNOWN, Verdict
from remanence.kernels.dense import top
from remanence.kernels.fusion import USUAL_ROWS, Profile, logistic, logit_of, read_profiles
from remanence.substrates.embedding import Embedder, HashEmbedder
from remanence.substrates.records import channels, conversation, snapshot
from remanence.substrates.records.channels import Floats, Rows
from remanence.substrates.records.deriving import Deriver, turns
from remanence.substrates.records.filters import compile_filter, mentions
from remanence.substrates.records.mechanism import Hit, Item
from remanence.substrates.records.model import DERIVED_KINDS, Draft, View
from remanence.substrates.records.operations import Close, Get, Put, Revise
from remanence.substrates.records.port import RecordStore
from remanence.substrates.records.reference import MemoryStore
from remanence.substrates.records.scope_index import ASKS, DATED, IndexCache, ScopeIndex

CARD = Card(
    slug="recall",
    substrate="records",
    title="Recall: fused lexical, dense and conversational retrieval",
    paper="",
    claim="finds the evidence of a question more often than BM25, dense search or their rank fusion",
    idea="Evidence of many kinds, from words to who speaks when, in one calibrated probability per record.",
    equation="p(r answers q) = 1 / (1 + exp(-(w · f(channels(q, r)) + b)))",
    can=frozenset({"update", "forget"}),
)

CHANNELS = (
    "lexical", "lexical_window", "lexical_session", "lexical_stop", "related", "bridge", "dense", "dense_window",
    "dense_prev", "dense_next", "speaker", "speaker_dense", "asks", "prev_asks", "when_dated", "length", "time",
    "recency", "fact", "outdated",
)  # fmt: skip

SIGNS = ("best", "second", "known", "unsaid")
"""What tells if anything answers: the two best logits, how surely the facts do, and that they should and do not."""

ALL_ROWS = 2000
"""Scopes up to this size are scored whole."""
POOL = 300
"""Rows of each first-stage channel that go to the second stage in larger scopes, together with their neighbours."""
SEEDS, _FILTER_BLOCK, _SPARE = 4, 32, 4
"""Rows whose words make the bridge to a second hop; records read at once behind a filter; hits looked at besides."""

Related = Callable[[str], Sequence[tuple[str, float]]]
Truth = Callable[[str, View], Verdict]


@lru_cache(maxsize=1)
def learnt() -> dict[str, Profile]:
    """The weights that ship: profiles "turn" and "document", and "answerable"."""
    order = {"turn": CHANNELS, "document": CHANNELS, "answerable": SIGNS}
    return read_profiles(Path(__file__).with_name("recall_weights.json"), order)


class Recall(Deriver):
    """The engine over one scope of a record store. Cheap to make; the scope's index lives in `indexes`.

    `related` gives related words (see `kernels.related`); `truth` says of a question which turns hold the answer by the
    facts that are known, and which speak of the same and hold no longer. None switches these channels off. `profiles`
    replaces the weights that ship.
    """

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        *,
        store: RecordStore | None = None,
        scope: Scope | None = None,
        embedder: Embedder | None = None,
        analyzer: Analyzer | None = None,
        indexes: IndexCache | None = None,
        related: Related | None = None,
        truth: Truth | None = None,
        profiles: Mapping[str, Profile] | None = None,
    ) -> None:
        self.store = MemoryStore() if store is None else store
        self.scope = Scope(app_id=CARD.slug) if scope is None else scope
        self.embedder = HashEmbedder() if embedder is None else embedder
        self.analyzer = Analyzer() if analyzer is None else analyzer
        self.indexes = IndexCache(self.store) if indexes is None else indexes
        self.related = related
        self.truth = truth
        self.profiles = profiles
        self._latest = EPOCH

    def write(self, items: Sequence[Item], *, now: datetime) -> list[str]:
        """Remember items as turns; a session becomes the run of the record's scope."""
        self._latest = max(self._latest, now)
        puts = [Put(draft) for draft in self.derive(turns(items, self.scope, now))]
        return [written.id for written in self.store.batch(puts, scope=self.scope).results]

    def update(self, id: str, text: str, *, now: datetime) -> None:
        """Replace the text of a record from `now` on; the old version stays in its history. Errors: `NotFound`."""
        self._latest = max(self._latest, now)
        (old,) = self.store.batch([Get((id,), View(now))], scope=self.scope).results[0]
        kept = {} if old is None else {"kind": old.kind, "speaker": old.speaker, "role": old.role, "meta": old.meta}
        (draft,) = self.derive([Draft(text=text, event_at=now, valid_from=now, **kept)])
        self.store.batch([Revise(id, draft)], scope=self.scope)

    def forget(self, ids: Sequence[str], *, now: datetime) -> int:
        """Close records: found no more, though still in the journal (the operation `Erase` destroys)."""
        self._latest = max(self._latest, now)
        shown = self.store.batch([Get(tuple(dict.fromkeys(ids)), View(now))], scope=self.scope).results[0]
        closing = [Close(record.id) for record in shown if record is not None]
        self.store.batch(closing, scope=self.scope)
        return len(closing)

    def state(self) -> dict[str, Any]:
        """What is remembered now, as plain data."""
        return snapshot.take(self.store, self.scope, self._latest)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state` in an empty scope; vectors are made anew."""
        self._latest = max(self._latest, snapshot.put_back(self.store, self.scope, state, self.derive))

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        """The k records most likely to answer `query`, best first; none for a blank one."""
        return self.search(query, k, view=View(now)) if query.strip() else []

    def search(
        self,
        query: str,
        k: int,
        *,
        view: View,
        where: Mapping[str, Any] | None = None,
        kinds: tuple[str, ...] | None = None,
        explain: bool = False,
        use_dense: bool = True,
    ) -> list[Hit]:
        """As `read`, in any view, among records that `where` (see `filters`) and `kinds` admit.

        `Hit.score` is the probability that the record answers. With `explain`, `Hit.channels` holds each channel's
        share of the logit. `use_dense=False` does without the embedder. Errors: `InvalidInput`.
        """
        if not query.strip():
            raise InvalidInput("the query is empty; say what to look for")
        space = self.embedder.space
        vector = self.embedder.embed([query], kind="query")[0] if use_dense else np.zeros(space.dim, np.float32)
        hits = self._best(query, vector, k, view, where or {}, kinds, explain, derived=False)
        if kinds is not None and not DERIVED_KINDS.isdisjoint(kinds):
            hits += self._best(query, vector, k, view, where or {}, kinds, explain, derived=True)
            hits = sorted(hits, key=lambda hit: -hit.score)[:k]
        return hits

    def _best(
        self, query: str, vector: Floats, k: int, view: View, where: Mapping[str, Any], kinds: tuple[str, ...] | None,
        explain: bool, *, derived: bool,
    ) -> list[Hit]:  # fmt: skip
        """The best of what was said, or of what was derived from it."""
        admits, filtered = compile_filter(where), bool(where) or kinds is not None
        space = self.embedder.space
        verdict = self.truth(query, view) if self.truth and not derived else NOTHING_KNOWN
        index = self.indexes.get(self.scope, space.key, space.dim, derived=derived)
        hidden = filtered and mentions(where, ("state", "trust"))
        hits: list[Hit] = []
        # Where a filter refuses too much of what the first stage lets through, the whole scope is asked.
        for whole in (ALL_ROWS, len(index)) if filtered else (ALL_ROWS,):
            with index.lock:
                question = conversation.take_apart(query, index, self.analyzer, view.as_of or view.now, verdict)
                rows, features = self.features(index, question, vector, view, whole, hidden=hidden)
                logits = self.logits(index, rows, features)
                # The best k are most often all that is asked for; the whole order only where a filter may refuse many.
                order = top(logits, len(rows) if filtered else (3 if question.asks_several else 1) * k + _SPARE)
                best = logits[order]
                # Whoever is shown n-th gets the n-th best logit: an update inherits the standing of what it replaces.
                order = order[conversation.arranged(index, rows[order], best, question)]
                ids = tuple(index.ids[row] for row in rows[order].tolist())
            hits, start, block = [], 0, max(k, _FILTER_BLOCK) if filtered else k
            while start < len(ids) and len(hits) < k:
                (records,) = self.store.batch([Get(ids[start : start + block], view)], scope=self.scope).results
                for place, record in enumerate(records, start):
                    # A record closed since the index was read is no longer there to be shown.
                    if len(hits) < k and record and (kinds is None or record.kind in kinds) and admits(record):
                        logit, own = float(best[place]), int(order[place])
                        shares = self.shares(record.kind == "turn", features[own], len(index), logit) if explain else {}
                        rests = tuple(source.id for source in record.sources) or (record.id,)
                        hits.append(Hit(record.id, record.text, logistic(logit, 1, 0), shares, record, rests))
                start, block = start + block, 2 * block
            if len(hits) >= k or len(index) <= whole:
                break
        return hits

    def features(
        self,
        index: ScopeIndex,
        question: conversation.Question,
        vector: Floats,
        view: View,
        whole: int = ALL_ROWS,
        *,
        hidden: bool = False,
    ) -> tuple[Rows, NDArray[np.float32]]:
        """Candidate rows [c], ascending (all of a scope of up to `whole`), and their channels [c, len(CHANNELS)]."""
        visible = index.visible(view, hidden=hidden)
        # One question to the store instead of one per channel.
        index.lookup((*question.terms, *question.stops, *self._relatives(question.terms)))
        found = channels.postings_of(index, question.terms, visible)
        ceiling = np.float32(channels.lexical_ceiling(index, question.terms, found))
        words = channels.lexical(index, found) / ceiling
        meaning = channels.dense(index, vector, visible)
        answers = conversation.placed(index, question.answers, visible)
        outdated = conversation.placed(index, question.outdated, visible)
        rows = conversation.candidates(index, words, meaning, answers, visible, whole=whole, pool=POOL)
        features = np.zeros((len(CHANNELS), len(rows)), np.float32).T
        if not len(rows):
            return rows, features
        around = channels.around(index, rows, visible)
        column = dict(zip(CHANNELS, features.T, strict=True))
        column["lexical"][:] = words[rows]
        for name, distance in (("dense", 0), ("dense_prev", -1), ("dense_next", 1)):
            column[name][:] = meaning[around[distance]]
        column["lexical_window"][:] = channels.lexical_window(index, found, around) / ceiling
        column["lexical_session"][:] = channels.session_lexical(index, found)[index.session[rows]]
        stops = channels.postings_of(index, question.stops, visible)
        column["lexical_stop"][:] = channels.lexical_of(index, stops, rows) / ceiling
        if self.related is not None:
            column["related"][:] = channels.related_lexical(index, question.terms, self.related)[rows] / ceiling
        # The strongest rows so far, by roughly the weights that the two channels end up with.
        first = 10 * column["lexical"] + 4 * column["dense"]
        seeds = top(first, SEEDS)
        belief = np.exp(first[seeds] - first[seeds[0]])
        known = index.lookup(question.terms)
        column["bridge"][:] = channels.bridge(index, rows[seeds], belief / belief.sum(), known)[rows]
        column["dense_window"][:] = channels.dense_window(index, meaning, around)
        column["speaker"][:] = conversation.speaker_match(index, question, rows)
        column["speaker_dense"][:] = column["speaker"] * column["dense"]
        column["asks"][:] = index.flagged(ASKS, rows)
        column["prev_asks"][:] = index.flagged(ASKS, around[-1])
        column["when_dated"][:] = index.flagged(DATED, rows) * question.asks_when
        column["length"][:] = np.log1p(index.lengths[rows])
        column["time"][:] = conversation.time_match(index.event_at[rows], question.spans)
        column["recency"][:] = index.recency(rows)
        column["fact"][:], column["outdated"][:] = answers[rows], outdated[rows]
        return rows, features

    def _relatives(self, terms: Sequence[str]) -> tuple[str, ...]:
        return () if self.related is None else tuple(word for term in terms for word, _ in self.related(term))

    def _profile(self, name: str) -> Profile:
        return (self.profiles or learnt())[name]

    def logits(self, index: ScopeIndex, rows: Rows, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """w · f(channels) + b of each row [c], by the profile of its kind."""
        is_turn = index.is_turn[rows]
        if is_turn.all():
            return self._profile("turn").logits(features, len(index))
        turn, document = (self._profile(kind).logits(features, len(index)) for kind in ("turn", "document"))
        return np.where(is_turn, turn, document)

    def shares(self, is_turn: bool, features: NDArray[np.float32], rows: int, logit: float) -> dict[str, float]:
        """What each channel adds to a row's logit, the bias, and what being the current word on a matter adds."""
        profile = self._profile("turn" if is_turn else "document")
        shares = {**profile.shares(features), "bias": profile.offset(rows)}
        return {**shares, "current": logit - sum(shares.values())}

    def answerable(self, hits: Sequence[Hit], verdict: Verdict = NOTHING_KNOWN) -> float:
        """Probability that anything found answers: low when the memory holds nothing to the point, and when the facts
        known of whom is asked about have nothing to say to it."""
        if not hits:
            return 0.0
        best = [logit_of(hit.score) for hit in hits[:2]]
        signs = np.array([[best[0], best[-1], *conversation.signs(verdict)]])
        return logistic(float(self._profile("answerable").logits(signs, USUAL_ROWS)[0]), 1, 0)
