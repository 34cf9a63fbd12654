"""Standing instructions of a home scope: which hold, and which were taken back or replaced.

A record of kind "instruction" holds the user's words. One that was taken back has a `valid_to` and the status
"revoked" (or "replaced", by a newer one on the same matter). What takes it back is kept too, valid for an instant. What
looks like an instruction but comes from a tool, from a quotation or beside an attempt to lift what holds is kept in
quarantine (trust 0) with the reason, so that it can be looked at and is never followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Final

from remanence.kernels.instructions import Finding, Given, Standing, detect, settle
from remanence.runtime.enrichment.handler import Batch
from remanence.runtime.enrichment.made import Made, rewrite, standing
from remanence.substrates.records.model import Draft, Record, Source
from remanence.substrates.records.operations import WriteOperation

INSTANT: Final = timedelta(microseconds=1)


class Instructions:
    """Makes records of kind "instruction" in the scope of the turn that gives them."""

    name: ClassVar[str] = "instructions"
    after: ClassVar[tuple[str, ...]] = ()

    def derive(self, batch: Batch) -> list[WriteOperation]:
        """The writes that make the instructions what the turns say."""
        touched = {*(turn.id for turn in batch.turns), *batch.gone}
        given = {
            key: (turn, one) for turn in batch.turns for one in _findings(turn) for key in [_key(turn.id, one.finding)]
        }
        if not given and not batch.gone and not batch.changed and not _may_have(batch):
            return []
        existing = {one.draft.meta["said"]: one for one in standing(batch, "instruction", self.name)}
        if not given and not existing:
            return []
        every = {key: _given(one) for key, one in existing.items() if one.draft.sources[0].id not in touched}
        every |= {key: one for key, (_, one) in given.items()}
        # What a user has deleted neither holds nor ends anything.
        settled = settle(one for key, one in every.items() if key not in existing or not existing[key].closed)
        outcome = {_key(one.given.record, one.given.finding): one for one in settled}
        drafts: dict[str, Draft] = {}
        for key, one in every.items():
            old = existing.get(key)
            source = given[key][0] if key in given else None
            drafts[key] = self._draft(batch, one, outcome.get(key), source, old)
        drop = [key for key in existing if key not in every]
        return rewrite(batch, existing, drafts, drop=drop, spoilt=frozenset(batch.gone))

    def _draft(self, batch: Batch, one: Given, held: Standing | None, turn: Record | None, old: Made | None) -> Draft:
        finding = one.finding
        meta: dict[str, Any] = {
            "said": _key(one.record, finding),
            "act": finding.kind,
            "reach": finding.reach,
            "key": finding.key,
            "topic": list(finding.topic),
            "confidence": finding.confidence,
            "session": one.session,
            "status": "held",
        }
        ends = None
        if finding.suspicious:
            meta |= {"status": "suspicious", "because": finding.suspicious}
        elif finding.kind == "revocation":
            meta["status"], ends = "done", one.at + INSTANT
        elif held is not None and held.ended_by is not None:
            by = held.ended_by
            meta |= {"status": "revoked" if by.finding.kind == "revocation" else "replaced", "ended_by": by.record}
            ends = max(by.at, one.at + INSTANT)
        scope = turn.scope if turn is not None else old.scope if old is not None else batch.scope
        return batch.draft(
            finding.text,
            id=batch.new_id(),
            kind="instruction",
            scope=scope,
            sources=[Source(one.record, finding.start, finding.end)],
            event_at=one.at,
            valid_from=one.at,
            valid_to=ends,
            meta=meta,
            trust=0.0 if finding.suspicious else None,
        )


HANDLER = Instructions()


def _findings(turn: Record) -> list[Given]:
    found = []
    assistant = (turn.role or "").casefold() == "assistant"
    for finding in detect(turn.text, role=turn.role, trust=turn.trust):
        # Preferences about the world are facts; an assistant's own words are no attempt to instruct it.
        if finding.kind == "preference" and not finding.key:
            continue
        if assistant and "ignore" not in finding.suspicious:
            continue
        if finding.kind != "instruction" and finding.suspicious:
            continue
        found.append(Given(turn.id, turn.event_at, finding, turn.scope.run_id))
    return found


def _may_have(batch: Batch) -> bool:
    """Whether a turn that now says nothing may have said something before: then it has another version."""
    return any(turn.version > 1 for turn in batch.turns)


def _key(record: str, finding: Finding) -> str:
    return f"{record}:{finding.start}:{finding.end}"


def _given(made: Made) -> Given:
    draft, meta = made.draft, made.draft.meta
    (source,) = draft.sources
    assert draft.event_at is not None
    finding = Finding(
        meta["act"], draft.text, source.start, source.end, meta["reach"], meta["key"], tuple(meta["topic"]),
        meta["confidence"], _because(meta),
    )  # fmt: skip
    return Given(source.id, draft.event_at, finding, meta["session"])


def _because(meta: Mapping[str, Any]) -> str:
    return str(meta.get("because", ""))
