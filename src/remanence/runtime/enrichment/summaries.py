"""Summaries: one per session and one of all sessions of a home scope, made of sentences that were said.

A session's is made of what its episodes' summaries hold, the home's of what the sessions' hold. Where there are more
than `EVERY` of them, each full group has a summary of its own first (the summary of summaries of HEMA, 2025), so that
what changes costs the same however long a memory is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import ClassVar, Final

from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer, is_stopword
from remanence.kernels.summaries import Passage, bounded, passage
from remanence.runtime.enrichment.handler import Batch
from remanence.runtime.enrichment.made import Made, rewrite, standing
from remanence.substrates.records.model import Draft, Source
from remanence.substrates.records.operations import WriteOperation

BUDGETS: Final = {"session": 150, "home": 250}
"""Tokens of a summary by level; a part has as many as the whole."""
EVERY: Final = 16
"""Episodes or sessions that have a summary of their own."""


@dataclass(frozen=True, slots=True)
class _Node:
    """Something that a summary is made of: its first turn, a mark that changes with its content, and what it says."""

    first: str
    mark: str
    day: str
    draft: Draft


class Summaries:
    """Makes records of kind "summary": levels "session" (leaf scope), "home", and their parts."""

    name: ClassVar[str] = "summaries"
    after: ClassVar[tuple[str, ...]] = ("episodes",)

    def derive(self, batch: Batch) -> list[WriteOperation]:
        """The writes that make the summaries what the episodes say."""
        if not (batch.turns or batch.gone or batch.changed):
            return []
        made = standing(batch, "summary", self.name)
        episodes = _over([one for one in standing(batch, "episode", "episodes", batch.scope) if not one.closed])
        if batch.scope == batch.home:
            return self._level(batch, "home", batch.home, [_node(one) for one in episodes], made)
        session = self._level(batch, "session", batch.scope, [_node(one) for one in episodes], made)
        batch.planned.extend(session)
        try:
            made = standing(batch, "summary", self.name)
        finally:
            del batch.planned[len(batch.planned) - len(session) :]
        sessions = [one for one in made if one.draft.meta["level"] == "session" and not one.closed]
        return [*session, *self._level(batch, "home", batch.home, [_node(one) for one in sessions], made)]

    def _level(
        self, batch: Batch, level: str, scope: Scope, nodes: Sequence[_Node], made: Sequence[Made]
    ) -> list[WriteOperation]:
        """The writes for the summary of `nodes` and for those of its full groups."""
        nodes = sorted(nodes, key=lambda node: node.first)
        existing = {
            one.draft.meta["part"]: one
            for one in made
            if one.scope == scope and one.draft.meta["level"] in (level, f"{level}_part")
        }
        wanted: dict[str, Draft] = {}
        top: list[_Node] = []
        full = len(nodes) // EVERY if len(nodes) > EVERY else 0
        for group in range(full):
            members = nodes[group * EVERY : (group + 1) * EVERY]
            part = f"{group:06d}"
            old = existing.get(part)
            if old is not None and old.draft.meta["of"] == [node.mark for node in members]:
                draft: Draft | None = old.draft
            else:
                draft = self._draft(batch, f"{level}_part", part, scope, members)
            if draft is not None:
                wanted[part] = draft
                top.append(_Node(members[0].first, f"part {part}", members[0].day, draft))
        whole = self._draft(batch, level, "", scope, [*top, *nodes[full * EVERY :]])
        if whole is not None:
            wanted[""] = whole
        drop = [part for part in existing if part not in wanted]
        return rewrite(batch, existing, wanted, drop=drop, spoilt=frozenset(batch.gone))

    def _draft(self, batch: Batch, level: str, part: str, scope: Scope, nodes: Sequence[_Node]) -> Draft | None:
        items = [item for node in nodes for item in _said(batch, node.draft)]
        chosen = bounded(items, BUDGETS[level.removesuffix("_part")])
        if not chosen:
            return None
        first = nodes[0]
        return batch.draft(
            "\n".join((_title(nodes), *(item.text for item in chosen))),
            id=batch.new_id(),
            kind="summary",
            scope=scope,
            sources=[Source(item.source, item.start, item.end) for item in chosen],
            event_at=first.draft.event_at,
            valid_from=first.draft.event_at,
            meta={
                "level": level,
                "part": part,
                "first": first.first,
                "people": sorted({name for node in nodes for name in node.draft.meta["people"]}),
                "said": [[item.source, item.start, item.end] for item in chosen],
                **({"of": [node.mark for node in nodes]} if part else {}),
            },
        )


HANDLER = Summaries()


def _over(episodes: Sequence[Made]) -> list[Made]:
    """Those that are over, so that a summary does not change with every turn; the open one while it is the only one."""
    return [one for one in episodes if not one.draft.meta["open"]] or list(episodes)


def _node(made: Made) -> _Node:
    draft = made.draft
    return _Node(draft.meta["first"], f"{draft.meta['first']} {_digest(draft.text)}", draft.text[:10], draft)


@lru_cache(maxsize=1 << 13)
def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _said(batch: Batch, draft: Draft) -> list[Passage]:
    """The sentences of an episode or a summary: its lines below the title, each with the span that it stands for."""
    people, analyzer = tuple(draft.meta["people"]), batch.engine.analyzer
    lines = draft.text.split("\n")[1:]
    return [_passage(analyzer, line, people, *span) for line, span in zip(lines, draft.meta["said"], strict=True)]


@lru_cache(maxsize=1 << 13)
def _passage(analyzer: Analyzer, line: str, people: tuple[str, ...], source: str, start: int, end: int) -> Passage:
    terms = [term for term in analyzer.terms(line) if not is_stopword(term)]
    return passage(source, line, start, end, terms, people)


def _title(nodes: Sequence[_Node]) -> str:
    first, last = nodes[0].day, nodes[-1].day
    return first if first == last else f"{first} to {last}"
