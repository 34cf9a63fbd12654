"""Candidates for proper names in a text, by spelling alone: people, places, titles, handles, products.

A candidate is

- a run of capitalised words, joined by single spaces or by small words as in ``University of Oslo`` and ``Ludwig van
  Beethoven``, without the ordinary words at its ends; one ordinary word alone counts only inside a sentence, where its
  capital means something (``I met Will``, but not ``Will you come?``);
- an acronym (``NASA``) or a word with inner capitals (``LangGraph``, ``iPhone``);
- a handle (``@ana``);
- a quoted title of at most six words that begins with a capital (``"Charlotte's Web"``, ``《三体》``).

Function words, weekdays, months and interjections are never names. Languages that capitalise all nouns give too many
candidates; scripts without capitals give quoted titles and handles only.
"""

from __future__ import annotations

import functools
import re
from collections import deque

from remanence.kernels.analyzer import fold, without_diacritics
from remanence.kernels.languages import NEVER_NAMES, ORDINARY_WORDS

_UPPER = "A-Z" + "".join(c for c in map(chr, range(0xC0, 0x530)) if c.isupper())
_LINKS = "of|de|la|le|du|da|del|di|van|von|der|den|bin|al|el|y|&"


@functools.cache
def _runs(upper: str) -> re.Pattern[str]:
    # A full stop belongs to a run only after an initial or a title. The first character is a plain class, so that the
    # scan over lower-case text stays inside the regular expression engine's fastest loop.
    plain = rf"[{upper}](?:(?:\.[{upper}])+\b(?:\.(?= ))?|\w*)(?:[-'’&][{upper}]\w*)*"
    word = plain + rf"(?:(?:(?<=\b[{upper}])|(?<=\b[MD]r)|(?<=\bM[rs]s)|(?<=\bSt))\.(?= ))?"
    return re.compile(rf"{word}(?: (?:(?:{_LINKS}) (?:the |la |los |der )?)?{word})*")


_ASCII_RUNS = _runs("A-Z")
_HANDLES = re.compile(r"(?<![\w.])@\w[\w.-]*\w")
_QUOTED = re.compile(
    r"\"([^\"“”\n]{2,80})\"|“([^“”\n]{2,80})”|«\s?([^«»\n]{2,80}?)\s?»|《([^《》\n]{1,80})》|「([^「」\n]{1,80})」"
)
_KEY_WORDS = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_SAME_SENTENCE = frozenset(",)&-/;")
_CONTRACTED = ("'t", "’t")
_LINK_WORDS = frozenset(_LINKS.split("|"))
_LEADING = frozenset("new north south east west great grand saint".split())
_AMOUNTS = frozenset(
    "all any because both each end few half instead kind lots many more most much none one out part piece plenty rest "
    "several some sort speaking top two type".split()
)
_TITLES = frozenset({"mr", "mrs", "ms", "dr", "prof"})
_DERIVED = ("tion", "sion", "ness", "ment", "ity", "able", "ful", "ous", "ance", "ence", "ing", "ly")
_NAMES_DESPITE_ENDING = frozenset(
    "beijing sterling boeing browning fleming kimberly beverly florence clarence lawrence constance felicity charity "
    "trinity clement provence terrance torrance".split()
)
_DRAWN_OUT = re.compile(r"(\w)\1\1")
_MAX_WORDS = 6


def names(text: str) -> list[str]:
    """The distinct name candidates of `text` as written: handles, then quoted titles, then runs, each in order."""
    found: dict[str, str] = {}
    if "@" in text:
        for match in _HANDLES.finditer(text):
            found.setdefault(name_key(match[0]), match[0])
    titled: deque[tuple[int, int]] = deque()
    if '"' in text or "“" in text or "«" in text or "《" in text or "「" in text:
        for match in _QUOTED.finditer(text):
            title = match[match.lastindex or 0].strip(" ,.")
            if _is_title(title):
                found.setdefault(name_key(title), title)
                titled.append(match.span())
    for match in (_ASCII_RUNS if text.isascii() else _runs(_UPPER)).finditer(text):
        start, end = match.span()
        while titled and titled[0][1] <= start:
            titled.popleft()
        if titled and titled[0][0] <= start:
            continue
        name = _candidate(text, start, end)
        if name:
            found.setdefault(name_key(name), name)
    found.pop("", None)
    return list(found.values())


@functools.lru_cache(maxsize=1 << 16)
def name_key(name: str) -> str:
    """The form under which two spellings of one name are equal: ``"Dr. Ana-Léa's"`` → ``ana lea``."""
    words = _KEY_WORDS.findall(without_diacritics(fold(name.replace(".", ""))))
    words = [word.removesuffix("'s").replace("'", "") for word in words]
    while len(words) > 1 and words[0] in _TITLES:
        del words[0]
    return " ".join(words)


def _candidate(text: str, start: int, end: int) -> str:
    """What remains of the run `text[start:end]` of capitalised words as a name; empty where nothing does."""
    opens = start == 0 or _opens_sentence(text, start)
    while start and (text[start - 1].isalnum() or text[start - 1] == "_"):  # an inner capital: iPhone
        start -= 1
    words = text[start:end].split(" ")
    if text[end : end + 2] in _CONTRACTED:  # the Don of "Don't"
        del words[-1]
    elif opens and len(words) == 1 and text[end : end + 1] == "-":  # the Self of "Self-care"
        return ""
    kept = _trimmed(words, ordinary=True)
    if not kept and not opens and not text[start:end].isupper():
        kept = _trimmed(words, ordinary=False)
    name = " ".join(kept).rstrip(".")
    shouted = name.isupper() and (len(words) > 2 or len(name) > 6)
    return "" if len(name) < 2 or len(kept) > _MAX_WORDS or shouted else name


def _trimmed(words: list[str], *, ordinary: bool) -> list[str]:
    first, last = 0, len(words)
    while first < last:
        lower = words[first].lower()
        follower = words[first + 1].lower() if first + 1 < last else ""
        if follower in _LINK_WORDS:  # "Game of Thrones", but not "Both of Ana's"
            dropped = _is_empty(lower) or lower in _AMOUNTS
        elif lower in _LEADING and follower:  # "New York", but not "New Recipe"
            dropped = _is_ordinary(follower)
        else:
            dropped = _is_empty(lower) or (ordinary and _is_ordinary(lower))
        if not dropped:
            break
        first += 1
    while first < last and _is_empty(words[last - 1].lower()):
        last -= 1
    return words[first:last]


def _is_empty(lower: str) -> bool:
    return lower in NEVER_NAMES or lower in _LINK_WORDS


def _is_ordinary(lower: str) -> bool:
    if lower in ORDINARY_WORDS or lower.removesuffix("s") in ORDINARY_WORDS:
        return True
    if lower.endswith("ed") and (lower[:-1] in ORDINARY_WORDS or lower[:-2] in ORDINARY_WORDS):
        return True
    derived = len(lower) >= 6 and lower.endswith(_DERIVED) and lower not in _NAMES_DESPITE_ENDING
    return derived or _DRAWN_OUT.search(lower) is not None


def _opens_sentence(text: str, start: int) -> bool:
    before = start - 1
    while before >= 0 and text[before] == " ":
        before -= 1
    return before < 0 or not (text[before].isalnum() or text[before] in _SAME_SENTENCE)


def _is_title(quoted: str) -> bool:
    words = quoted.split()
    if not words or len(words) > _MAX_WORDS or quoted[-1] in "?!" or all(_is_empty(word.lower()) for word in words):
        return False
    if quoted[0].upper() == quoted[0].lower():  # a script without capitals
        return quoted[0].isalpha() and len(quoted) <= 16
    capitals = sum(word[0].isupper() or word[0].isdigit() for word in words)
    return quoted[0].isupper() and 2 * capitals > len(words)
