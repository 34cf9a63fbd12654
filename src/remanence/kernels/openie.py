"""Open information extraction by rules: what a text names, and which of these things it relates.

Mentions are names, years and dates, and what follows a determiner ("the striped canoe" → "striped canoe"). Within a
sentence each mention is related to the one before it, and to the text's topic: its title line ("Oslo\\nOslo is…") or
its speaker ("Ana: I moved…"), or else the sentence's first mention. The relation is the words that lead up to the
mention. No grammar is known: a pair may be related by words that say something else, but nothing that stands in one
sentence stays apart, and that is what walks over a graph of phrases live on.

An extractor is any callable from texts to one `Extraction` each: these rules, a language model, a file of triples.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from remanence.core.errors import InvalidInput
from remanence.kernels.analyzer import is_stopword
from remanence.kernels.names import name_key, names
from remanence.kernels.summaries import sentences

__all__ = [
    "Extraction", "OpenIE", "Triple", "checked", "extract", "extract_all", "grounded", "known_phrases", "phrase_key",
    "pieces",
    "query_entities",
]  # fmt: skip

Triple = tuple[str, str, str]
"""(subject, relation, object), spelt as in the text."""

LONGEST_PHRASE = 12
"""Words of the longest known phrase that is looked for in a question."""
_LONGEST_SENTENCE = 600
_RELATION_WORDS = 8
_CHUNK_WORDS = 3
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_DATES = re.compile(
    rf"\b(?:\d{{1,2}} )?(?:{_MONTHS})(?: \d{{1,2}}(?!\d),?)?(?: \d{{4}})?\b(?<=\d)|\b(?:1[0-9]|20)\d\ds?\b"
)
_DETERMINED = re.compile(
    r"\b(?:the|an?|my|your|his|her|its|our|their|this|that|these|those|every|some)((?: [a-z][a-z'-]+){1,6})",
    re.IGNORECASE,
)
_TOPIC = re.compile(r"\A(?:([^\n]{0,119}[^\n.!?])\n(?=\S)|([^\n.!?:]{1,60}):\s)")
_WORDS = re.compile(r"\w+(?:['’-]\w+)*")
_PLAIN_WORDS = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Extraction:
    """What one text says: the things that it names, and triples between them."""

    entities: tuple[str, ...] = ()
    triples: tuple[Triple, ...] = ()


OpenIE = Callable[[Sequence[str]], Sequence[Extraction]]
"""From texts to what each of them says, in order."""


def phrase_key(phrase: str) -> str:
    """The form under which two spellings are one phrase; empty for one without letters and digits."""
    return name_key(phrase)


def extract(text: str) -> Extraction:
    """Entities and triples of one text, in linear time."""
    head = _TOPIC.match(text)
    topic = (head[1] or head[2]).strip() if head else ""
    if len(topic.split()) > LONGEST_PHRASE:
        topic = ""
    body = text[head.end() :] if head and topic else text
    entities: dict[str, str] = {phrase_key(topic): topic}
    triples: dict[Triple, None] = {}
    for low, high in pieces(body):
        sentence = body[low:high]
        found = _mentions(sentence)
        for _, _, mention in found:
            entities.setdefault(phrase_key(mention), mention)
        subject = topic or (found[0][2] if found else "")
        # Where the topic is named itself, what it is related by begins behind it.
        begin = next((end for _, end, mention in found if phrase_key(mention) == phrase_key(subject)), 0)
        before, stop = "", 0
        for start, end, mention in found:
            for other, since in {before: stop, subject: begin if begin <= start else 0}.items():
                if other and phrase_key(other) != phrase_key(mention):
                    relation = " ".join(_WORDS.findall(sentence[since:start])[-_RELATION_WORDS:])
                    triples[other, relation, mention] = None
            before, stop = mention, end
    entities.pop("", None)
    return Extraction(tuple(entities.values()), tuple(triples))


def extract_all(texts: Sequence[str]) -> list[Extraction]:
    """`extract` of each text."""
    return [extract(text) for text in texts]


def query_entities(question: str, known: Collection[str] = ()) -> list[str]:
    """What a question names: known phrases (given by `phrase_key`) as long as possible, then names beside these.

    A single known word counts where it is written with a capital or is a number; words that say nothing never do.
    """
    matched = known_phrases(question, known)
    taken = {word for phrase in matched for word in phrase.split()}
    found = dict.fromkeys(matched)
    for mention in (*names(question), *(match[0] for match in _DATES.finditer(question))):
        key = phrase_key(mention)
        if key and not taken.issuperset(key.split()):
            found[key] = None
    return list(found)


def known_phrases(text: str, known: Collection[str], *, capitals: bool = True) -> list[str]:
    """The known phrases that stand in a text, from left to right, the longest at each place, none within another.

    `capitals`: one word alone must begin with a capital or be a number to count.
    """
    written = [
        (word, piece)
        for match in _WORDS.finditer(text)
        for piece in phrase_key(match[0]).split()
        for word in (match[0],)
    ]
    found: dict[str, None] = {}
    start = 0
    while start < len(written):
        for end in range(min(len(written), start + LONGEST_PHRASE), start, -1):
            pieces = [piece for _, piece in written[start:end]]
            phrase = " ".join(pieces)
            if phrase in known and not all(map(is_stopword, pieces)):
                first = written[start][0][0]
                if not capitals or end - start > 1 or first.isupper() or first.isdigit():
                    found[phrase] = None
                    start = end - 1
                    break
        start += 1
    return list(found)


def grounded(extraction: Extraction, text: str) -> Extraction:
    """What of an extraction can be believed to come from `text`: each thing shares at least half of its words with it.

    For what a language model answers, which may be about something else.
    """
    there = set(phrase_key(text).split())

    def stands(phrase: str) -> bool:
        words = phrase_key(phrase).split()
        return bool(words) and 2 * sum(word in there for word in words) >= len(words)

    return Extraction(
        tuple(dict.fromkeys(entity for entity in extraction.entities if stands(entity))),
        tuple(dict.fromkeys(one for one in extraction.triples if stands(one[0]) and stands(one[2]))),
    )


def checked(extractions: Sequence[Extraction], texts: Sequence[str]) -> list[Extraction]:
    """The answer of an extractor, one for each text; `InvalidInput` where it is none."""
    found = list(extractions)
    if len(found) != len(texts) or not all(isinstance(one, Extraction) for one in found):
        raise InvalidInput(
            f"the extractor gave {len(found)} answers for {len(texts)} texts, or some that are no Extraction; "
            "it must give one Extraction per text, in order"
        )
    return found


def pieces(text: str) -> list[tuple[int, int]]:
    """Spans of the sentences of a text; those that never end are cut into parts of some hundred characters."""
    found = []
    for start, end in sentences(text):
        while end - start > _LONGEST_SENTENCE:
            cut = text.rfind(" ", start, start + _LONGEST_SENTENCE)
            cut = cut if cut > start else start + _LONGEST_SENTENCE
            found.append((start, cut))
            start = cut
        found.append((start, end))
    return found


def _mentions(sentence: str) -> list[tuple[int, int, str]]:
    """(start, end, text) of what a sentence names, from left to right, none within another."""
    spans: list[tuple[int, int, str]] = []
    at = 0
    for name in names(sentence):
        start = sentence.find(name, at)
        # Titles and handles are listed before the names that precede them.
        start = sentence.find(name) if start < 0 else start
        if start >= 0:
            spans.append((start, start + len(name), name))
            at = start
    spans += [(match.start(), match.end(), match[0]) for match in _DATES.finditer(sentence)]
    for match in _DETERMINED.finditer(sentence):
        words: list[str] = []
        for word in match[1].split():
            if is_stopword(phrase_key(word)) or len(words) == _CHUNK_WORDS:
                break
            words.append(word)
        if words:
            chunk = " ".join(words[:2])
            start = match.start(1) + 1
            spans.append((start, start + len(chunk), chunk))
    found: list[tuple[int, int, str]] = []
    for span in sorted(spans, key=lambda one: (one[0], -one[1])):
        if not found or span[0] >= found[-1][1]:
            found.append(span)
    return found
