"""Which claim a question is about: whose, what, when, and in which way. Rules for English; no model, no clock.

A reading is returned only where the whole question is understood, so that text which is no question, or a question
about something else, gives none. Words in front ("Remind me:", "Sorry, I forget:", "Can you tell me …") and somebody
addressed ("…, Goran?") do not matter. Other languages give no reading.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime

from remanence.kernels.claims.model import Ask
from remanence.kernels.claims.questions_parts import Clause
from remanence.kernels.claims.questions_rules import read_clause

LONGEST = 600
"""Only so many characters at the end of a text are read; a question about a claim is short."""
_MOST_CLAUSES = 3
_MOST_PARTS = 8
_SPACE = re.compile(r"\s+")
_END = re.compile(r"(?<=[?!;:])\s+|(?<=[^\W\d_]{3}\.)\s+(?=[A-Z])")
_LEAD = re.compile(
    r"(?:(?:so|and|but|ok|okay|well|hey|hi|hello|oh|um|uh|hm+|please|also|now|actually|btw|by the way|quick question|"
    r"sorry|just curious|out of curiosity|remind me(?: again)?|tell me(?: again)?|i forget|i forgot|let me know|"
    r"(?:can|could|would|will) you (?:please )?(?:tell|remind) me(?: again)?|"
    r"do you (?:happen to )?(?:know|remember|recall)|i wonder|any idea|"
    r"i (?:was|am) (?:just )?wondering(?: if you (?:could|can) (?:please )?(?:tell|remind) me)?|"
    r"i (?:want|would like|need) to know|i (?:do not|can not) (?:remember|recall)|help me remember)\b[ ,:.-]*)+",
    re.IGNORECASE,
)
_CONTRACTED = (
    (re.compile(r"\b(what|who|where|when|how|which|that|there|he|she|it)'s\b", re.IGNORECASE), r"\1 is"),
    (re.compile(r"\b(who|what|where|they|we|you)'re\b", re.IGNORECASE), r"\1 are"),
    (re.compile(r"\b(i|you|we|they)'ve\b", re.IGNORECASE), r"\1 have"),
    (re.compile(r"\b(i|you|he|she|we|they|where|who|what)'d\b", re.IGNORECASE), r"\1 did"),
    (re.compile(r"\bi'm\b", re.IGNORECASE), "I am"),
    (re.compile(r"\bcan't\b|\bcannot\b", re.IGNORECASE), "can not"),
    (re.compile(r"\b(do|does|did|is|are|was|were|has|have|had)n't\b", re.IGNORECASE), r"\1 not"),
)
_AMERICAN = re.compile(r"\bfavorite", re.IGNORECASE)
_NAME = r"[^\W\d_a-z][\w'’-]{1,30}"
_CALLED_FIRST = re.compile(rf"({_NAME}), (?=\S)")
_CALLED_LAST = re.compile(rf", ({_NAME})\s*[?.!]*$")
_THINKING = re.compile(rf"(?i:thinking of|speaking of|about|regarding) ({_NAME}): ")
_ASKS = re.compile(
    r"(?:(?:in|to|for|at|as|on|from|since|with|until) )?(?:what|which|who|whom|whose|where|when|how)\b|"
    r"(?:is|are|am|was|were|do|does|did|has|have|had)\b|"
    r"(?:back )?(?:in|on|during|as of|at) [^,?]{2,40}, (?:what|which|who|where|how)\b|about\b",
    re.IGNORECASE,
)


def read_question(text: str, now: datetime, people: Collection[str] = ()) -> list[Ask]:
    """The readings of a question in terms of claims, best first; none where it is no such question.

    Args:
        text: A question as somebody types or says it. Of a long text only the end is read.
        now: When it is asked; relative times start from it.
        people: Names that are known, as written; others are taken for names by their capital letter.

    "I", "my" and "we" give the path ("user", …); "you" gives the person addressed by name, else "you"; "he", "she"
    and "they" give themselves. "How many days between … and …" gives mode "how_long" without attribute and the two
    happenings as values "attribute|value". Linear in the length of the text; raises on none.
    """
    text = text[-LONGEST:] if len(text) > LONGEST else text
    if not text or text.isspace():
        return []
    text = _SPACE.sub(" ", text.replace("’", "'").replace("‘", "'").replace("“", '"').replace("”", '"')).strip()
    if "'" in text:
        for pattern, form in _CONTRACTED:
            text = pattern.sub(form, text)
    text = _AMERICAN.sub("favourite", text)
    called = _addressed(text)
    found: dict[Ask, None] = {}
    for clause in _clauses(text):
        lower = clause.lower()
        if len(lower) != len(clause):  # some letters have a longer lower case
            return []
        for ask in read_clause(Clause(clause, lower, now, people, called)):
            found.setdefault(ask)
        if found:
            break
    return sorted(found, key=lambda ask: -ask.confidence)


def _addressed(text: str) -> str:
    """Who is called by name, at the beginning or at the end."""
    thinking = _THINKING.match(text)
    if thinking:
        return thinking[1]
    last = _CALLED_LAST.search(text)
    if last:
        return last[1]
    lead = _LEAD.match(text)
    first = _CALLED_FIRST.match(text, lead.end() if lead else 0)
    return first[1] if first and not _ASKS.match(first[1]) else ""


def _clauses(text: str) -> list[str]:
    """The sentences that may ask something, the likeliest first, without words in front and names called."""
    parts = _END.split(text)[-_MOST_PARTS:]
    asked = [part for part in reversed(parts) if part.endswith("?")]
    asked += [part for part in reversed(parts) if not part.endswith("?")]
    found = []
    for part in asked[:_MOST_CLAUSES]:
        clause = _CALLED_LAST.sub("", part)
        before = None
        while before != clause:
            before = clause
            lead = _LEAD.match(clause)
            if lead:
                clause = clause[lead.end() :]
            first = _CALLED_FIRST.match(clause)
            if first and not _ASKS.match(clause):
                clause = clause[first.end() :]
        clause = clause.strip(' ?!.,:;"')
        if clause and _ASKS.match(clause):
            found.append(clause)
    return found
