"""Episodes: a session cut where its subject changes, each stretch with a title, what was said in it, and its turns.

An episode that another one follows is never changed again, unless one of its turns is. The last one of a session is
made anew as turns arrive, after 1, 2, 4, 8, 12 … of them. Boundaries come from `kernels.segmentation`; they depend on a
bounded number of turns, so that a job reads the last episodes of its session and not the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Final

from remanence.kernels.analyzer import is_stopword
from remanence.kernels.names import name_key
from remanence.kernels.segmentation import Beat, Segmenter, Settings, ranges
from remanence.kernels.summaries import Passage, passages, summarise
from remanence.runtime.enrichment.handler import Batch
from remanence.runtime.enrichment.made import rewrite, standing, turns_from
from remanence.substrates.records.model import Draft, Record, Source
from remanence.substrates.records.operations import WriteOperation

BUDGET: Final = 100
"""Tokens of an episode's summary."""
SETTINGS: Final = Settings()
_TITLE_WORDS: Final = 4
_STRIDE: Final = 4


class Episodes:
    """Makes records of kind "episode" in the leaf scope of their turns."""

    name: ClassVar[str] = "episodes"
    after: ClassVar[tuple[str, ...]] = ()

    def derive(self, batch: Batch) -> list[WriteOperation]:
        """The writes that make the episodes of the leaf scope what its turns say."""
        touched = [turn.id for turn in batch.turns if turn.kind == "turn"] + list(batch.gone)
        existing = {made.draft.meta["first"]: made for made in standing(batch, "episode", self.name, batch.scope)}
        touched += [made.draft.meta["first"] for made in existing.values() if made.id in set(batch.changed)]
        if not touched:
            return []
        starts = sorted(existing)
        # So many episodes have more turns than a boundary looks ahead: what ends before them cannot be touched.
        reached = sum(start <= min(touched) for start in starts) - 2 - SETTINGS.window
        first = starts[reached] if reached > 0 else None
        context, turns = turns_from(batch, first, SETTINGS.reach)
        wanted = {episode[0].id: self._draft(batch, episode, last) for episode, last in _cut(batch, context, turns)}
        drop = [start for start in starts if (first is None or start >= first) and start not in wanted]
        return rewrite(batch, existing, wanted, drop=drop, spoilt=frozenset(batch.gone))

    def _draft(self, batch: Batch, turns: Sequence[Record], last: bool) -> Draft:
        speakers = [turn.speaker for turn in turns if turn.speaker]
        people = sorted(set(map(name_key, speakers)))
        items = [item for turn in turns for item in _spoken(batch, turn, people)]
        chosen = [items[i] for i in summarise(items, BUDGET)]
        lines = [_title(batch, turns), *(_line(turns, item) for item in chosen)]
        at = turns[0].event_at
        return batch.draft(
            "\n".join(lines),
            id=batch.new_id(),
            kind="episode",
            sources=[Source(turn.id, 0, len(turn.text)) for turn in turns],
            event_at=at,
            valid_from=at,
            meta={
                "first": turns[0].id,
                "turns": len(turns),
                "until": max(turn.event_at for turn in turns).isoformat(),
                "open": last,
                "people": people,
                "said": [[item.source, item.start, item.end] for item in chosen],
            },
        )


HANDLER = Episodes()


def _spoken(batch: Batch, turn: Record, people: Sequence[str]) -> list[Passage]:
    """The sentences of a turn."""

    def terms(text: str) -> list[str]:
        return [term for term in batch.engine.analyzer.terms(text) if not is_stopword(term)]

    return passages(turn.id, turn.text, terms, people, f"{turn.speaker}: " if turn.speaker else "")


def _cut(batch: Batch, context: Sequence[Record], turns: Sequence[Record]) -> list[tuple[Sequence[Record], bool]]:
    """The episodes of `turns`, and whether each is the last one."""
    segmenter = Segmenter(SETTINGS, begun=len(context))
    records = [*context, *turns]
    texts = [record.text for record in records]
    embedder = batch.engine.embedder
    vectors = embedder.embed(texts) if embedder.inline and texts else [None] * len(texts)
    streams = batch.engine.analyzer.terms_many(texts)
    for record, terms, vector in zip(records, streams, vectors, strict=True):
        segmenter.push(Beat(record.text, [term for term in terms if not is_stopword(term)], vector, record.event_at))
    cuts = ranges([start - len(context) for start in segmenter.starts], len(turns))
    return [
        (turns[cut.start : cut.start + _told(len(cut))], True)
        if cut.stop == len(turns)
        else (turns[cut.start : cut.stop], False)
        for cut in cuts
    ]


def _told(turns: int) -> int:
    """How many of the turns of an open episode it tells: not every turn is worth another version of it."""
    return turns - turns % _STRIDE if turns > _STRIDE else 1 << turns.bit_length() - 1


def _title(batch: Batch, turns: Sequence[Record]) -> str:
    """Day, who spoke, and the words that were said most."""
    words: Counter[str] = Counter()
    written: dict[str, str] = {}
    analyzer = batch.engine.analyzer
    speakers = list(dict.fromkeys(turn.speaker for turn in turns if turn.speaker))
    called = {term for speaker in speakers for term in analyzer.terms(speaker)}
    for turn in turns:
        terms, forms = analyzer.terms(turn.text), analyzer.words(turn.text)
        for term, form in zip(terms, forms, strict=False):
            if len(term) > 2 and not is_stopword(term) and term not in called:
                words[term] += 1
                written.setdefault(term, form)
    top = sorted(words, key=lambda term: (-words[term], term))[:_TITLE_WORDS]
    day = f"{turns[0].event_at:%Y-%m-%d}"
    who = f" {' and '.join(speakers)}" if speakers else ""
    about = f": {', '.join(written[term] for term in top)}" if top else ""
    return f"{day}{who}{about}"


def _line(turns: Sequence[Record], item: Passage) -> str:
    speaker = next(turn.speaker for turn in turns if turn.id == item.source)
    return f"{speaker}: {item.text}" if speaker else item.text
