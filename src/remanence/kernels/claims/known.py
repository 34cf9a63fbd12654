"""What a fact and an answer to a question look like, apart from how they are worked out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

__all__ = ["NOTHING_KNOWN", "Known", "Verdict"]


@dataclass(frozen=True, slots=True)
class Known:
    """One fact as the ledger needs it: a value of an attribute of a subject and how long it holds.

    `sources` are the ids of the records that state it, oldest first; `order` grows with the order in which facts
    became known and decides between equal times. `status` is "held", "superseded", "ended" or "retracted" (never
    true). `ended_by` is the record that says that it is over, where one does; without it the newest source of an
    ended fact counts as that. `valid_from <= t < valid_to` (None: still), aware UTC.
    """

    id: str
    subject: str
    attribute: str
    value: str
    polarity: bool
    status: str
    valid_from: datetime
    valid_to: datetime | None
    confidence: float
    sources: tuple[str, ...]
    order: int
    ended_by: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a ledger says to a question. Weights lie in 0..1 and fall within each list.

    `answers` are the turns that answer it (the newest statement first), `outdated` turns on the same matter that no
    longer hold or are not what is asked; no turn is in both. `path` are the ids of the facts used, `value` the answer
    in words. `sure` is the confidence of the reading times that of the facts, 0 where nothing is known; `understood`
    is the confidence of the best reading under a listed attribute, so that understood and not sure means: asked of
    something never said. (That of events is too often said in words nobody foresaw to conclude that.)
    """

    answers: tuple[tuple[str, float], ...] = ()
    outdated: tuple[tuple[str, float], ...] = ()
    path: tuple[str, ...] = ()
    value: str = ""
    sure: float = 0.0
    understood: float = 0.0


NOTHING_KNOWN = Verdict()
