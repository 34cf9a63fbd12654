"""The small grammar that all sentences of the generator are written in.

A template is said of oneself or of someone else; one text serves both:

    [a|b]     a in the first person, b in the third             "[live|lives]"
    {S}       I          Lena      named subject, any place in the sentence
    {Z}  {s}  I    I     She  she  subject at the start of a sentence / inside one
    {P} {pn}  My   my    Lena's    named possessive at the start / inside
    {p} {o}   my   me    her  her  possessive and object inside a sentence
    {S_o} {S_of}   me mine   Lena Lena's: named object and "of mine"        {self}  myself / herself
    {We} {we} {us} {our}           We we us our / They they them their
    {v} {V}   the value, as it is / capitalised        {nv} {Nv}  the same with its article
    {old} {nold}  the former value / with its article
    {av}      the value with "a" or "an"                {x} {ax}   what kind of thing it is: "tortoise", "a tortoise"
    {vs} {vS} {vo} {vp}   she She her her: pronouns of a value that is a person
    {w} {w_}  when it happened ("last Friday"), inside / at the start; a template with {w} dates its fact
    {f}       when it will happen ("in ten days")
    {A}       the one spoken to       {n}  the one spoken of ("Ana", "Ana's sister")      {t}  a day ("3 May 2024")
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

Lines = tuple[str, ...]
Levels = tuple[Lines, Lines, Lines]

_CHOICE = re.compile(r"\[([^|\]]*)\|([^\]]*)\]")
_FIRST = {
    "S": "I", "Z": "I", "s": "I", "P": "My", "pn": "my", "p": "my", "o": "me", "self": "myself", "S_o": "me",
    "S_of": "mine", "We": "We", "we": "we", "us": "us", "our": "our",
}  # fmt: skip
_SHE = ("she", "her", "her", "herself")
_HE = ("he", "his", "him", "himself")


@dataclass(frozen=True, slots=True)
class Attribute:
    """Everything that can be said and asked about one property of a person. Levels: easy, medium, hard.

    `say` states it, `change` states that it became something else (for `many`: that something was added), `end` that
    it is over. `tease` sounds like a statement by the subject and is none; `gossip` is about an unnamed third person.
    Two values of an `exclusive` attribute plainly contradict each other, so that a new one needs no announcement.
    `trend` is +1 or -1 where a new value must lie further up or down the pool.
    `ask` elicits it in conversation; `now`, `then`, `before`, `still`, `count` are the questions put afterwards.
    """

    key: str
    pool: str
    label: str
    ask: Lines
    say: Levels
    tease: Lines
    gossip: Lines
    now: Lines
    change: Levels = ((), (), ())
    end: Levels = ((), (), ())
    then: Lines = ()
    before: Lines = ()
    still: Lines = ()
    count: Lines = ()
    article: str = ""
    trend: int = 0
    many: bool = False
    exclusive: bool = False
    person: bool = False
    speakers_only: bool = False


@dataclass(frozen=True, slots=True)
class Happening:
    """A one-off thing with a date: `say` tells it afterwards ({w}), or announces it ({f}) when `ahead`.

    `moved` reschedules an announced one; `noun` names it with its value, `when` asks for its day.
    """

    key: str
    pool: str
    say: Levels
    tease: Lines
    gossip: Lines
    when: Lines
    noun: str
    vague: Lines = ()
    moved: Levels = ((), (), ())
    ahead: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """Someone in the world. `voice` are the words for speaking of them in the third person."""

    name: str
    voice: dict[str, str]
    owner: str | None = None


def person(name: str, female: bool, owner: str | None = None) -> Person:
    """A person with the pronouns she or he; `owner` is the speaker who knows them (None: they speak themselves)."""
    subject, possessive, object_, self_ = _SHE if female else _HE
    voice = {
        "S": name, "Z": subject.capitalize(), "s": subject, "P": f"{name}'s", "pn": f"{name}'s", "p": possessive,
        "o": object_, "self": self_, "S_o": name, "S_of": f"{name}'s",
        "We": "They", "we": "they", "us": "them", "our": "their",
    }  # fmt: skip
    return Person(name, voice, owner)


def value_pronouns(voice: dict[str, str]) -> dict[str, str]:
    """The fields {vs} {vS} {vo} {vp} for a value that is a person with this voice."""
    return {"vs": voice["s"], "vS": voice["Z"], "vo": voice["o"], "vp": voice["p"]}


@cache
def inflect(template: str, third: bool) -> str:
    """Resolve the [first|third] choices of a template."""
    return _CHOICE.sub(r"\2" if third else r"\1", template)


@cache
def names_subject(template: str) -> bool:
    """Whether the template names its subject in the third person."""
    return any(token in template for token in ("{S}", "{P}", "{pn}", "{S_o}", "{S_of}"))


def render(template: str, who: Person, first: bool, fields: dict[str, str]) -> str:
    """The sentence, said by `who` of themselves (`first`) or by somebody else of them."""
    if first:
        return inflect(template, False).format(**_FIRST, **fields)
    return inflect(template, True).format(**who.voice, **fields)


def with_article(article: str, value: str) -> str:
    """The value as a noun phrase: "an optician", "the cello", "Bergen"."""
    if article == "a":
        return f"an {value}" if value[0] in "aeiouAEIOU" else f"a {value}"
    return f"{article} {value}" if article else value


def value_fields(article: str, value: str) -> dict[str, str]:
    """The fields {v} {V} {nv} {Nv} {av}."""
    noun = with_article(article, value)
    return {
        "v": value, "V": value[0].upper() + value[1:], "nv": noun, "Nv": noun[0].upper() + noun[1:],
        "av": with_article("a", value),
    }  # fmt: skip


@cache
def _word(phrase: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)", re.IGNORECASE)


def says(text: str, phrase: str) -> bool:
    """Whether the phrase occurs in the text as whole words, whatever the case."""
    return _word(phrase).search(text) is not None
