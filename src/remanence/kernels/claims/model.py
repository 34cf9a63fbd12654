"""What the extractor reads and what it finds: utterances in, claims out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Act = Literal["state", "change", "end", "correct"]
"""`state`: it is so. `change`: it has become so. `end`: it is over. `correct`: it was said wrongly before."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One turn as the extractor sees it. `at` is aware UTC; `speaker` a display name ("Ana") or None."""

    id: str
    text: str
    at: datetime
    speaker: str | None = None
    role: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """What a span of text says of somebody or something.

    `subject` is a display name as it stands in the conversation ("Ana"); the speaker's own name for "I", or "user" /
    "assistant" where the speaker has none. `attribute` is a key of the ontology ("home_city") or, for what it does not
    know, a normalised predicate ("plays_in"). `value` is what was said, without article and final punctuation; empty
    where an `end` names none ("I quit my job"). `polarity` False says that it is not so ("I don't eat meat").
    `valid_from` and `valid_to` (half-open, UTC) are set only where words give them ("since May"); otherwise
    the time of the utterance counts. `old` is the value that a change or correction names as replaced, if any.
    `start:end` is the span of the utterance's text that says so; it holds the value, except where the value is the
    answer's whole text and the question names the rest.
    """

    subject: str
    attribute: str
    value: str
    act: Act
    start: int
    end: int
    polarity: bool = True
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    old: str | None = None
    confidence: float = 0.5


@dataclass(frozen=True, slots=True)
class Ask:
    """A question in terms of claims: whose, what, when, and in which way.

    `path` begins with a name (or "user" for "my"); each further step is an attribute whose value is a person
    ("Xenia", "sister"). `mode`: the value `now`; at the time `spans` (`then`); `before` it became `values[0]`; whether
    `values[0]` `still` holds; `all` values of a many-valued attribute; how many hold (`count`) or ever held
    (`count_ever`); `when` something happened or began; `how_long` between two. `attribute` is "" where the question
    asks about the person as a whole.
    """

    path: tuple[str, ...]
    attribute: str
    mode: Literal["now", "then", "before", "still", "all", "count", "count_ever", "when", "how_long"]
    values: tuple[str, ...] = ()
    spans: tuple[tuple[datetime, datetime], ...] = ()
    confidence: float = 0.5
