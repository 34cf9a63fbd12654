"""Claims read by a language model, beside those that rules read; only what the turns bear out is taken.

A job of its own reads the turns of a leaf scope that no reading of the same prompt, model and words exists for. Each
answer is kept at once, together with the facts that follow, as one "reading" per turn: a derived record whose only
source is that turn, so that erasing the turn erases it. It holds words of its own turn only; a name that another turn
says is kept as a place in that turn. So a rebuild needs no model, a job that dies half-way pays nothing twice, and
what a model answered outlives none of the words that it was asked about.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final

from remanence.core.clock import parse_time
from remanence.core.errors import Conflict, LLMMalformed, NotFound
from remanence.kernels.claims.model import Claim
from remanence.kernels.claims.ontology import ATTRIBUTES
from remanence.runtime.adding import derive
from remanence.runtime.enrichment import llm_support
from remanence.runtime.enrichment.budget import LEDGER, ORIGIN, Budgeted
from remanence.runtime.enrichment.handler import Batch, Refined, newest_versions, speaks
from remanence.runtime.enrichment.llm_support import Kept, Line
from remanence.runtime.outbox import WORKER
from remanence.stores.llm.prompts import Prompt, prompt
from remanence.substrates.records.model import Draft, Record, Source, View
from remanence.substrates.records.operations import Close, Find, Put, Revise, WriteOperation
from remanence.substrates.records.scope_index import who_speaks

if TYPE_CHECKING:
    from remanence.core.scope import Scope
    from remanence.runtime.engine import Engine
    from remanence.substrates.chat import ChatModel

__all__ = [
    "LATER",
    "PROMPT",
    "READING",
    "Answer",
    "ModelClaims",
    "messages_for",
    "read",
    "readings_of",
    "with_readings",
]

PROMPT: Final = "claims@1"
READING: Final = "reading"
"""Kind of the records that keep what a model read in a turn."""
CONTEXT: Final = 4
"""Turns before a turn that a model is shown with it."""
CALL_TURNS: Final = 12
CALL_CHARS: Final = 8_000
JOB_TURNS: Final = 96
SHOWN_CHARS: Final = 4_000
"""Characters of one turn that a model is shown."""
TRIES: Final = 3
"""How often a turn is tried for which the model has no usable answer, before its reading counts as empty."""
_PAGE: Final = 500
_SILENT: Final = frozenset(("document", "conclusion", "summary"))
_MACHINES: Final = frozenset(("tool", "system", "developer", "function"))
_ANEW: Final = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model read in some turns: claims by turn, and facts dropped by reason."""

    kept: Mapping[str, Sequence[Kept]]
    dropped: Mapping[str, int]
    cut: bool
    """Whether the answer broke off."""


class ModelClaims:
    """The later job "enrich:llm"."""

    name: ClassVar[str] = "llm"
    pause: ClassVar[timedelta] = timedelta(seconds=30)

    def wanted(self, engine: Engine) -> bool:
        """Whether a model is configured."""
        return engine.llm is not None

    def refine(self, batch: Batch) -> Refined:
        """Read what is unread. All that an answer gives is written before the next call is made.

        Raises:
            LLMError: as the model does; `LLMMalformed` when some turns got no usable answer and are to be tried again.

        """
        engine = batch.engine
        if engine.llm is None or batch.scope == LEDGER:
            return Refined(())
        model = Budgeted(engine.llm, engine, engine.llm_limits, purpose=PROMPT)
        turns, more = _unread(batch, model.name)
        failed = 0
        for window in _windows(batch, turns):
            failed += _work(batch, model, window)
        if failed:
            raise LLMMalformed(
                f"model {model.name} gave no usable answer for {failed} turns; their facts by rules stay, "
                f"and they are tried {TRIES} times in all"
            )
        return Refined((), more)


LATER: Final = ModelClaims()


def with_readings(batch: Batch, claims: Mapping[str, Sequence[Claim]]) -> Mapping[str, Sequence[Claim]]:
    """Claims by turn as the rules read them, together with what models read in the same words before."""
    if not claims:
        return claims
    asked = Find(View(batch.now), (READING,), limit=None, after=min(claims))
    (records,) = batch.read([asked])
    readings = {record.meta["turn"]: record for record in records if record.meta["turn"] in claims}
    if not readings:
        return claims
    turns = {turn.id: turn for turn in batch.turns}
    missing = [id for id in readings if id not in turns]
    named = {row["in"] for record in readings.values() for row in record.meta["claims"] if row["in"]}
    wanted = dict.fromkeys([*missing, *sorted(named)])
    turns.update({record.id: record for record in newest_versions(batch.engine, list(wanted), batch.home)})
    merged = dict(claims)
    for id, reading in readings.items():
        if id in turns and reading.meta["words"] == _words(turns[id]):
            merged[id] = llm_support.merged(claims[id], list(_claims(reading.meta["claims"], turns)))
    return merged


def read(model: ChatModel, lines: Sequence[Line]) -> Answer:
    """Ask a model what turns state, and keep what they bear out. Raises `LLMError`."""
    reply = model.complete(messages_for(lines), schema=prompt(PROMPT).schema, max_tokens=400 + 250 * len(lines))
    kept, dropped = llm_support.check(reply.data["facts"], lines)
    return Answer(kept, dropped, reply.finish_reason == "length")


def readings_of(engine: Engine, scope: Scope) -> dict[str, Any]:
    """What models have read in a scope: `turns`, `claims` that were taken, `dropped` facts by reason, and `given_up`:
    turns without a usable answer."""
    records: Sequence[Record]
    (records,) = engine.read([Find(View(engine.now()), (READING,), limit=None)], scope)
    dropped: Counter[str] = Counter()
    for record in records:
        dropped.update(record.meta.get("dropped", {}))
    return {
        "turns": len(records),
        "claims": sum(len(record.meta["claims"]) for record in records),
        "dropped": dict(sorted(dropped.items())),
        "given_up": sum("tries" in record.meta for record in records),
    }


def messages_for(lines: Sequence[Line]) -> list[dict[str, str]]:
    """The conversation that asks what turns state. Each turn is one line with its text as a JSON string, so that no
    text can end the material and begin to instruct."""
    shown = [
        f"[{number}] {'read' if line.asked else 'context'} {line.at:%Y-%m-%d (%A)} "
        f"{json.dumps(line.speaker, ensure_ascii=False)}: {json.dumps(line.text[:SHOWN_CHARS], ensure_ascii=False)}"
        for number, line in enumerate(lines, start=1)
    ]
    return [
        {"role": "system", "content": _instructions()},
        {"role": "user", "content": "\n".join(["===== turns", *shown, "===== end of turns"])},
    ]


def _instructions() -> str:
    wanted: Prompt = prompt(PROMPT)
    return wanted.render(attributes=", ".join(sorted(ATTRIBUTES)))


def _unread(batch: Batch, model: str) -> tuple[list[Record], bool]:
    """The turns of the leaf scope that are still to be read, oldest first, and whether there are more of them."""
    view = View(batch.now)
    (records,) = batch.engine.read([Find(view, (READING,), limit=None)], batch.scope)
    done = {record.meta["turn"]: record for record in records if record.scope == batch.scope}
    found: list[Record] = []
    window: list[Record] = []
    after: str | None = None
    while True:
        page: Sequence[Record]
        (page,) = batch.engine.read([Find(view, limit=_PAGE, after=after)], batch.scope)
        for record in page:
            if record.scope != batch.scope or not speaks(record):
                continue
            reading = done.get(record.id)
            if _readable(record) and not _is_read(reading, record, window, model):
                if len(found) == JOB_TURNS:
                    return found, True
                found.append(record)
            window = [*window, record][-CONTEXT:]
        if len(page) < _PAGE:
            return found, False
        after = page[-1].id


def _readable(record: Record) -> bool:
    return record.kind not in _SILENT and not record.sources and record.role not in _MACHINES and not record.hidden


def _is_read(reading: Record | None, turn: Record, before: Sequence[Record], model: str) -> bool:
    if reading is None or reading.meta["key"] != _key(turn, before, model):
        return False
    tries: int = reading.meta.get("tries", 0)
    return tries == 0 or tries >= TRIES


def _words(turn: Record) -> str:
    """A fingerprint of what a turn says, who says it and when."""
    said = [turn.text, who_speaks(turn.speaker, turn.role, turn.scope), turn.event_at.isoformat()]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def _key(turn: Record, before: Sequence[Record], model: str) -> str:
    """A fingerprint of the question: prompt, model, the turn and what it is shown with."""
    asked = [_instructions(), model, _words(turn), *map(_words, before[-CONTEXT:])]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:32]


def _windows(batch: Batch, turns: Sequence[Record]) -> Iterator[list[tuple[Record, bool]]]:
    """Turns to read together with those that they follow, in order, as many as one call takes."""
    window: dict[str, tuple[Record, bool]] = {}
    asked = chars = 0
    for turn in turns:
        size = min(len(turn.text), SHOWN_CHARS)
        if asked and (asked == CALL_TURNS or chars + size > CALL_CHARS):
            yield sorted(window.values(), key=lambda pair: pair[0].id)
            window, asked, chars = {}, 0, 0
        for record in batch.before(turn, CONTEXT):
            window.setdefault(record.id, (record, False))
        window[turn.id] = (turn, True)
        asked, chars = asked + 1, chars + size
    if window:
        yield sorted(window.values(), key=lambda pair: pair[0].id)


def _work(batch: Batch, model: ChatModel, window: Sequence[tuple[Record, bool]]) -> int:
    """Read one window and write what follows; how many of its turns got no usable answer."""
    lines = [
        Line(turn.id, turn.text, turn.event_at, who_speaks(turn.speaker, turn.role, turn.scope), asked)
        for turn, asked in window
    ]
    several = sum(line.asked for line in lines) > 1
    try:
        answer = read(model, lines)
    except LLMMalformed:
        if not several:
            _keep(batch, model.name, window, None)
            return 1
        return sum(_work(batch, model, half) for half in _halves(window))
    if answer.cut and several:
        return sum(_work(batch, model, half) for half in _halves(window))
    _keep(batch, model.name, window, answer)
    return 0


def _halves(window: Sequence[tuple[Record, bool]]) -> Iterator[list[tuple[Record, bool]]]:
    asked = [place for place, (_, wanted) in enumerate(window) if wanted]
    middle = asked[len(asked) // 2]
    yield list(window[:middle])
    yield [*((turn, False) for turn, _ in window[max(0, middle - CONTEXT) : middle]), *window[middle:]]


def _keep(batch: Batch, model: str, window: Sequence[tuple[Record, bool]], answer: Answer | None) -> None:
    """Write the readings of a window, and in the same transaction the facts that follow from them.

    `answer` None: there is no usable one; that is noted, so that a turn is not tried for ever.
    """
    from remanence.runtime.enrichment.book import book_of
    from remanence.runtime.enrichment.facts import apply_claims, claims_of

    asked = [turn.id for turn, wanted in window if wanted]
    for attempt in range(_ANEW):
        # The answer took its time: what was changed, closed or erased meanwhile is not written about any more.
        now = {turn.id: turn for turn in newest_versions(batch.engine, asked, batch.home) if speaks(turn)}
        turns = [now[turn.id] for turn, wanted in window if wanted and _unchanged(turn, now)]
        if not turns:
            return
        rows = {turn.id: [] if answer is None else [_row(kept) for kept in answer.kept[turn.id]] for turn in turns}
        ids = [turn.id for turn in turns]
        (earlier,) = batch.read([Find(View(batch.now), (READING,), {"turn": {"in": ids}}, None, after=min(ids))])
        tries = {record.meta["turn"]: record.meta.get("tries", 0) + 1 for record in earlier}
        operations: list[WriteOperation] = [Close(record.id) for record in earlier]
        for turn in turns:
            found: dict[str, Any] = {"claims": rows[turn.id]}
            if answer is None:
                found["tries"] = tries.get(turn.id, 1)
            elif answer.dropped and turn is turns[0]:
                # Facts may name a turn that there is not, so what a call dropped is noted once for all of its turns.
                found["dropped"] = dict(answer.dropped)
            operations.append(Put(_reading(batch, turn, model, found)))
        if answer is not None:
            batch.admit(turns)
            claims = {
                id: llm_support.merged(found, [kept.claim for kept in answer.kept[id]])
                for id, found in claims_of(batch, book_of(batch.engine, batch.home)).items()
            }
            operations += apply_claims(batch, claims, by=f"llm@{PROMPT}")
        try:
            _write(batch, operations)
        except (Conflict, NotFound):
            if attempt + 1 == _ANEW:
                raise
        else:
            return


def _unchanged(turn: Record, now: Mapping[str, Record]) -> bool:
    return turn.id in now and _words(now[turn.id]) == _words(turn)


def _reading(batch: Batch, turn: Record, model: str, found: Mapping[str, Any]) -> Draft:
    meta = {
        "turn": turn.id,
        "key": _key(turn, batch.before(turn, CONTEXT), model),
        "words": _words(turn),
        "prompt": PROMPT,
        "model": model,
        **found,
    }
    draft = batch.draft(
        f"what {PROMPT} read in a turn",
        kind=READING,
        sources=[Source(turn.id, 0, len(turn.text))],
        scope=turn.scope,
        event_at=turn.event_at,
        meta=meta,
        state="archived",
    )
    return replace(draft, origin=ORIGIN)


def _write(batch: Batch, operations: Sequence[WriteOperation]) -> None:
    drafts = [operation.draft for operation in operations if isinstance(operation, Put | Revise)]
    ready = iter(derive(batch.engine, drafts, batch.scope)[0])
    whole = [
        replace(operation, draft=next(ready)) if isinstance(operation, Put | Revise) else operation
        for operation in operations
    ]
    outcome = batch.engine.store.batch(whole, scope=batch.home, actor=WORKER, why="enrich:llm")
    batch.engine.saw(outcome.results)


def _row(kept: Kept) -> dict[str, Any]:
    """A claim as it is kept. A subject that another turn names is kept as its place there (`in`, `at`)."""
    claim = kept.claim
    return {
        "subject": claim.subject if kept.named_in is None else "",
        "in": kept.named_in or "",
        "at": list(kept.place) if kept.place else [],
        "attribute": claim.attribute,
        "value": claim.value,
        "act": claim.act,
        "span": [claim.start, claim.end],
        "polarity": claim.polarity,
        "from": None if claim.valid_from is None else claim.valid_from.isoformat(),
        "old": claim.old,
        "confidence": claim.confidence,
    }


def _claims(rows: Sequence[Mapping[str, Any]], turns: Mapping[str, Record]) -> Iterator[Claim]:
    """Claims as they were kept; those whose subject stands in a turn that is gone are gone with it."""
    for row in rows:
        subject = row["subject"]
        if row["in"]:
            turn = turns.get(row["in"])
            if turn is None or not speaks(turn):
                continue
            start, end = row["at"] or (0, 0)
            subject = turn.text[start:end] or who_speaks(turn.speaker, turn.role, turn.scope)
        yield Claim(
            subject,
            row["attribute"],
            row["value"],
            row["act"],
            row["span"][0],
            row["span"][1],
            row["polarity"],
            None if row["from"] is None else parse_time(row["from"]),
            None,
            row["old"],
            row["confidence"],
        )
