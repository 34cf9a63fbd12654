"""What follows from a text alone: the terms that it is found by, and its vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime

from remanence.core.errors import InvalidInput
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.quantize import quantize
from remanence.substrates.embedding import Embedder
from remanence.substrates.records import conversation
from remanence.substrates.records.mechanism import Item
from remanence.substrates.records.model import Draft, Vector


def turns(items: Sequence[Item], scope: Scope, now: datetime) -> list[Draft]:
    """Items as drafts of turns; a session becomes the run of the record's scope."""
    ids = asdict(scope)
    return [
        Draft(
            item.text,
            scope=None if item.session is None else Scope(**{**ids, "run_id": item.session}),
            event_at=item.at or now,
            speaker=item.speaker,
            role=item.role,
            meta=item.meta,
        )
        for item in items
    ]


class Deriver:
    """An analyzer and an embedder, applied to texts on their way into a store."""

    embedder: Embedder
    analyzer: Analyzer

    def found_by(self, draft: Draft) -> str:
        """The text that a draft is found by."""
        return draft.text

    def analyse(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """The token stream of each text, for `Draft.terms`."""
        return conversation.token_streams(texts, self.analyzer)

    def vectors(self, texts: Sequence[str]) -> list[Vector] | None:
        """The texts' vectors; None when the embedder is a model, which must not run while writing."""
        return self.embed(texts) if self.embedder.inline else None

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """The texts' vectors, whatever the embedder costs."""
        space = self.embedder.space.key
        codes, scales = quantize(self.embedder.embed(texts))
        return [Vector(space, row.tobytes(), scale) for row, scale in zip(codes, scales.tolist(), strict=True)]

    def derive(self, drafts: Sequence[Draft]) -> list[Draft]:
        """Drafts with what follows from their texts: token streams and, if that is cheap, vectors.

        Errors: `InvalidInput` for a text that is none; all else is for the store to judge.
        """
        texts = [self.found_by(draft) for draft in drafts]
        for text in texts:
            if not isinstance(text, str):
                raise InvalidInput(f"text must be a string, not {type(text).__name__} {text!r}")
        terms, vectors = self.analyse(texts), self.vectors(texts)
        return [
            replace(draft, terms=terms[i], vector=None if vectors is None else vectors[i])
            for i, draft in enumerate(drafts)
        ]
