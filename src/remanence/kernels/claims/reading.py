"""One turn prepared for the patterns: its sentences, its times blotted out, and who "she" and "my sister" may be."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from remanence.kernels.claims.model import Utterance
from remanence.kernels.claims.times import Time, masked, times
from remanence.kernels.claims.words import KIN, KIN_RE, NOT_PEOPLE
from remanence.kernels.languages import ORDINARY_WORDS

LONGEST = 600
"""Characters of a sentence; what is longer is cut at spaces, so that work stays linear in the length of a turn."""

_END = re.compile(r"[.!?…]+[\"”'’)]*(?=\s|$)|\n+")
_ABBREVIATED = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|Mt|vs|e\.g|i\.e|[A-Z][\w-]+ [A-Z])$")
"""What a full stop shortens: titles, and initials between names."""
_TAG = re.compile(
    r",\s(?:no|right|eh|yes|huh|ok|okay|you\sknow|isn['’]t\s(?:it|he|she)|don['’]t\syou\sthink|if\syou\scan\sbelieve\sit)"
    r"\?+$",
    re.IGNORECASE,
)
_WORDS = re.compile(r"[a-z0-9]+")
_TOPIC = re.compile(
    r"\b(?:how\s(?:is|are\sthings\swith|are)|any\snews\s(?:from|of|about)|heard\sfrom|what\sis|what['’]s|what\sabout|"
    r"how\sabout|how['’]s|and)\s(?P<who>[A-ZÀ-Þ][\w-]+)",
)
_NAMED = re.compile(r"\b[A-ZÀ-Þ][\w-]*\w\b")
_KIN_NAME = r"\b[Mm]y\s(?:\w+\s)?(?P<kin>{kin}),?\s(?:is\s(?:called|named)\s)?(?P<name>[A-ZÀ-Þ][\w-]+)\b"
_KIN_NAMED = re.compile(_KIN_NAME.format(kin=KIN_RE))
_QUOTES = re.compile(r"[\"“][^\"“”\n]{15,400}[\"”]")
_TAKEN_BACK = re.compile(
    r"\s*(?:(?:it\sis|that\sis|that['’]s|it['’]s)\snot(?:\strue)?|(?:just|only)\s(?:kidding|joking)|i['’]m\s(?:kidding|joking)"
    r"|not\sreally|complete\snonsense|the\stest\ssays\sno\ssuch\sthing|sure|not\strue|yeah\sright)\s*[.!]",
    re.IGNORECASE,
)
_AFTER_PREPOSITION = re.compile(r"\b(?:from|in|to|of|at|for|with|by|near|on)\s$")
_CONTRACTED = re.compile(r"'(?:ll|ve|d|re|m|t)$")
_VOCATIVE = re.compile(r"(?:^|[.!?]\s+|\b(?:hey|hi|thanks|oh|well|so|yes|no),?\s)$", re.IGNORECASE)
_FIRST = frozenset("i me my we us our myself".split())


@dataclass(frozen=True, slots=True)
class Sentence:
    """`text[start:end]`; `question`: it asks something; `revoked`: the next one takes it back."""

    start: int
    end: int
    question: bool
    revoked: bool
    words: frozenset[str]


@dataclass(slots=True)
class Reading:
    """A turn and what of its surroundings the patterns need."""

    utterance: Utterance
    before: Sequence[Utterance]
    people: frozenset[str]
    times: list[Time]
    masked: str
    sentences: list[Sentence]
    speaker: str
    topic: str
    quotes: list[tuple[int, int]] = field(default_factory=list)
    _kin: dict[str, str] | None = None

    @property
    def text(self) -> str:
        """The turn's text as it is."""
        return self.utterance.text

    def whose(self, slot: str, at: int, *, acts: bool = False) -> str:
        """The display name behind the words of a subject slot at offset `at`; empty where nobody can be meant.

        `acts`: they are the subject of a verb, so that no preposition can precede them ("Cornelius from Spain is …").
        """
        words = slot.replace("’", "'").split()
        first = words[0].lower()
        if len(words) == 1 and first in _FIRST:
            return self.speaker
        if first in ("my", "our"):
            return self._relative(words[1:])
        if len(words) == 1 and first in ("he", "she", "they", "his", "her", "him", "them", "their"):
            return self._last_named(at)
        while words and words[0].lower().removesuffix("'s") in NOT_PEOPLE:
            del words[0]
        if not words or not self._is_name(words, at, acts):
            return ""
        return " ".join(words).removesuffix("'s").removesuffix("'")

    def _is_name(self, words: list[str], at: int, acts: bool) -> bool:
        """Whether capitals mean a name here: of somebody known, or no ordinary word that opens a sentence."""
        name = words[0].removesuffix("'s").removesuffix("'")
        if _CONTRACTED.search(name) or (acts and _AFTER_PREPOSITION.search(self.text, max(0, at - 8), at)):
            return False
        if name in self.people or name == self.topic:
            return True
        return not ordinary(name)

    def may_be(self, name: str) -> bool:
        """Whether a value in the place of a person can be one."""
        return name in self.people or not ordinary(name.split()[0])

    def without_address(self, value: str) -> str:
        """The value without the name of the one spoken to at its end ("business finance Kevin")."""
        head, _, last = value.rpartition(" ")
        return head if head and last in self.people else value

    def knows(self, name: str) -> bool:
        """Whether somebody of that name takes part, was asked about, or is a relative of the speaker."""
        return name in self.people or name in (self.speaker, self.topic) or "'s " in name or name in self.named_kin()

    def _relative(self, words: list[str]) -> str:
        named = words[-1]
        if named[0].isupper() and len(words) > 1:
            return named.strip(",").removesuffix("'s")
        kin = " ".join(word.removesuffix("'s").strip(",") for word in words).lower()
        if kin.split()[-1] not in KIN and kin not in KIN:
            return f"{self.speaker}'s {kin}" if re.fullmatch(KIN_RE, kin.split()[-1]) else ""
        word = kin.split()[-1]
        return self._kin_names().get(word) or f"{self.speaker}'s {KIN[word]}"

    def named_kin(self) -> frozenset[str]:
        """The names of the speaker's relatives, as far as they are said here."""
        return frozenset(self._kin_names().values())

    def _kin_names(self) -> dict[str, str]:
        """Names of the speaker's relatives by the word for them, as far as this turn and those before say."""
        if self._kin is None:
            self._kin = {}
            own = [turn.text for turn in self.before if turn.speaker == self.utterance.speaker]
            for text in (*own, self.text):
                for match in _KIN_NAMED.finditer(text[:4000]):
                    if match["name"].lower() not in NOT_PEOPLE:
                        self._kin[match["kin"]] = match["name"]
        return self._kin

    def _last_named(self, at: int) -> str:
        """Whom a pronoun at `at` means: the last known person named before it, who was asked about, or who acts."""
        known = acting = ""
        for match in _NAMED.finditer(self.text, max(0, at - 400), at):
            word = match[0]
            if self.text[match.end() : match.end() + 1] == "," and _VOCATIVE.search(self.text, 0, match.start()):
                continue
            if word in self.people and word != self.speaker:
                known = word
            elif word.lower() not in NOT_PEOPLE and _acts(self.masked, match.end()):
                acting = word
        return known or self.topic or acting


def ordinary(word: str) -> bool:
    """Whether a word with a capital is none that names somebody: "Looks", "Wanted", "Honestly"."""
    lower = word.lower()
    return (
        lower in ORDINARY_WORDS
        or any(lower.removesuffix(end) in ORDINARY_WORDS for end in ("s", "es", "ed", "d", "ing"))
        or (lower.endswith(("ing", "ly", "ness", "tion")) and len(lower) > 5)
    )


_ACTS = re.compile(
    r"(?:['’]s)?\s(?:is|was|has|had|will|does|did|[a-z]{2,}s|[a-z]{3,}ed|moved|left|got|went|came|found|got)\b"
)


def _acts(text: str, at: int) -> bool:
    return _ACTS.match(text, at) is not None


def read(utterance: Utterance, before: Sequence[Utterance], people: Collection[str]) -> Reading:
    """Prepare a turn. `before`: the turns that precede it, oldest first."""
    text = utterance.text
    known = frozenset(people)
    speaker = utterance.speaker or ("assistant" if utterance.role == "assistant" else "user")
    spoken = frozenset(turn.speaker for turn in before if turn.speaker) | known
    spans = times(text, utterance.at, spoken)
    blotted = masked(text, spans)
    quotes = [match.span() for match in _QUOTES.finditer(text)] if '"' in text or "“" in text else []
    return Reading(
        utterance, before, spoken, spans, blotted, sentences(blotted), speaker, _topic(before, utterance), quotes
    )


def sentences(text: str) -> list[Sentence]:
    """The sentences of a text with their offsets, at most `LONGEST` characters each."""
    found: list[tuple[int, int]] = []
    start = 0
    for match in _END.finditer(text):
        if match[0] == "." and _ABBREVIATED.search(text, max(start, match.start() - 30), match.start()):
            continue
        found.append((start, match.end()))
        start = match.end()
    if text[start:].strip():
        found.append((start, len(text)))
    whole: list[Sentence] = []
    for begin, end in found:
        for low, high in _pieces(text, begin, end):
            piece = text[low:high]
            stripped = piece.rstrip().rstrip("\"”'’)")
            question = stripped.endswith("?") and _TAG.search(stripped) is None
            revoked = _TAKEN_BACK.match(text, high, high + 60) is not None
            whole.append(Sentence(low, high, question, revoked, frozenset(_WORDS.findall(piece.lower()))))
    return whole


def _pieces(text: str, begin: int, end: int) -> list[tuple[int, int]]:
    while begin < end and text[begin].isspace():
        begin += 1
    while end > begin and text[end - 1].isspace():
        end -= 1
    pieces = []
    while end - begin > LONGEST:
        cut = text.rfind(" ", begin + LONGEST // 2, begin + LONGEST)
        cut = cut if cut > begin else begin + LONGEST
        pieces.append((begin, cut))
        begin = cut
    if begin < end:
        pieces.append((begin, end))
    return pieces


def _topic(before: Sequence[Utterance], utterance: Utterance) -> str:
    """Whom the other speaker has just asked about ("How is Lena doing?")."""
    if not before or before[-1].speaker == utterance.speaker:
        return ""
    text = before[-1].text[-200:]
    if not text.rstrip().endswith("?"):
        return ""
    found = ""
    for match in _TOPIC.finditer(_lower_first(text)):
        if match["who"].lower() not in NOT_PEOPLE and match["who"] not in (utterance.speaker, before[-1].speaker):
            found = match["who"]
    return found


def _lower_first(text: str) -> str:
    """The text with the first letter of its sentences in lower case, so that one pattern finds all openings."""
    return re.sub(r"(?:^|(?<=[.!?]\s))[A-Z](?=[a-z]+\s)", lambda match: match[0].lower(), text)
