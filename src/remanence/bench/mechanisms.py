"""Any record mechanism of the catalog as a ranker, on the same data and with the same embedder as the others."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from remanence import catalog
from remanence.bench.corpora import text_of
from remanence.bench.datasets import Corpus, Dataset, DatasetMissing, Question
from remanence.bench.engine import NOW, SCOPE
from remanence.bench.openie_cache import CachedOpenIE
from remanence.bench.runner import Unit
from remanence.core.clock import SteppingClock
from remanence.core.errors import NotFound
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.packing import estimate_tokens
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.mechanism import Hit, Item, RecordMechanism
from remanence.substrates.records.reference import MemoryStore

WIDE = 8
"""Documents that one unit may stand for; a wider one stands for those whose words it still has."""


def slugs() -> tuple[str, ...]:
    """The record mechanisms that can be measured, in the catalog's order."""
    return tuple(slug for slug, card in catalog.cards().items() if card.substrate == "records")


CACHED = "cached-openie"
"""What stands behind a mechanism's slug where it was given triples that a language model read beforehand."""


def variants(slug: str, dataset: Dataset, data_dir: Path | str | None) -> dict[str, dict[str, Any]]:
    """What a mechanism is measured with on a data set: names of systems, and further arguments of the constructor.

    The first has none. A mechanism that can take an extractor is also measured with triples that come with the data.
    """
    found: dict[str, dict[str, Any]] = {slug: {}}
    if "openie" in inspect.signature(catalog.get(slug)).parameters:
        cache = CachedOpenIE(data_dir)
        try:
            cache([text_of(document) for corpus in dataset.corpora for document in corpus.documents])
        except (DatasetMissing, NotFound):
            return found  # nobody has read these documents
        found[f"{slug}+{CACHED}"] = {"openie": cache}
    return found


class MechanismRanker:
    """A mechanism with the settings that it has by default, over a store in memory.

    `arguments` are further arguments of its constructor, as far as it takes them; `name` is what the system is called.
    """

    def __init__(
        self, slug: str, embedder: Embedder, arguments: Mapping[str, Any] | None = None, name: str | None = None
    ) -> None:
        self.name = name or slug
        self.units: Sequence[Unit] = ()
        self._class = catalog.get(slug)
        self._embedder = embedder
        self._analyzer = Analyzer()
        self._arguments = dict(arguments or {})
        self._mechanism: RecordMechanism | None = None
        self._documents: dict[str, str] = {}
        self._texts: dict[str, str] = {}

    def build(self, corpus: Corpus) -> None:
        """Write a corpus into a new memory, in one go, and let the mechanism do what it does between conversations."""
        given = {
            "store": MemoryStore(clock=SteppingClock(NOW)),
            "scope": SCOPE,
            "embedder": self._embedder,
            "analyzer": self._analyzer,
            **self._arguments,
        }
        takes = inspect.signature(self._class).parameters
        mechanism = self._class(**{name: value for name, value in given.items() if name in takes})
        items = [
            Item(text_of(document), document.speaker, document.role, document.event_at, document.session)
            for document in corpus.documents
        ]
        now = max((item.at for item in items if item.at), default=NOW)
        ids = mechanism.write(items, now=now)
        if "consolidate" in self._class.card.can:
            mechanism.consolidate(now=now)
        self._mechanism = mechanism
        self._documents = {id: document.id for id, document in zip(ids, corpus.documents, strict=True)}
        self._texts = {id: item.text for id, item in zip(ids, items, strict=True)}

    def rank(self, question: Question, k: int) -> list[str]:
        """Ids of the first `k` documents that its `k` best hits tell of; `units` has the hits themselves."""
        if self._mechanism is None:
            raise RuntimeError("rank() comes after build()")
        hits = self._mechanism.read(question.text, k, now=question.now or NOW)
        self.units = [Unit(estimate_tokens(hit.text), self._told_by(hit)) for hit in hits]
        return list(dict.fromkeys(identity for unit in self.units for identity in unit.documents))[:k]

    def _told_by(self, hit: Hit) -> tuple[str, ...]:
        """The documents that a hit tells of: a summary of everything must not count as everything."""
        sources = [id for id in hit.sources or (hit.id,) if id in self._documents]
        if len(sources) > WIDE:
            text = hit.text.casefold()
            sources = [id for id in sources if self._texts[id].casefold() in text]
        return tuple(self._documents[id] for id in sources)
