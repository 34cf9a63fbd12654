r"""The small language that the extractor's patterns are written in, and its compiler.

A template is an English sentence in the first person; one text serves all persons. Words stand for themselves in any
case, `_` is a space inside a group, and `( | )`, `?` mean what they mean in regular expressions.

    I  ME  MY  SELF   whom it is about: "I", "we", "she", "my sister", "Lena" / "me", "Lena" / "my", "Lena's" / "myself"
    AM  HAVE  HAD     "am", "'m", "is" … / what one has: "have", "'ve got" … / what one has done: "have", "'ve" …
    NOT               "no longer", "don't", "never" …
    V  OLD  KIND      the value, what it replaces, an animal
    WHAT              what sort of thing is meant: "movie"; it completes the name of the attribute ("favourite_")
    V:q               the value as another type than the field's (see below)
    T  T?             a time expression, needed or not
    *  **             up to 40 characters of anything within a clause / up to 60 within a sentence, or nothing
    (a|b)?            may be left out, with its space
    trailing , : ;    stand for themselves; a full stop too ("V. OLD lives"), in a template marked +

Types of values: `n` a name ("Chiang Mai"), `t` a title ("A House of Foxes"), `p` some small words ("pad thai"), `w` the
rest of the clause, `y` what is liked, `o` what is meant to be done, `q` an amount ("12.50 euros", "40:13"), `k` a small
number, `d` a day, `j` a trade, `l` an animal, `i` an instrument, `g` a gerund, `h` a pastime, `x` an injury, `b` a part
of the body, `c` an illness, `m` a mail address, `u` a phone number, `a` an address, `s` a marital status, `v` a diet,
`r` a faith, `f` a nationality.

Marks before a template: `!` not undone by words like "would" before it; `?` also counts inside a question; `+` may run
over several sentences; `~` less certain.

A template is looked for only in sentences that hold its rarest word, so that hundreds of templates cost little.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from remanence.core.errors import InvalidInput
from remanence.kernels.claims.model import Act
from remanence.kernels.claims.words import ANIMAL_RE, ANIMALS, CONDITIONS, DEMONYMS, FAITHS, KIN_RE

_NAME_WORD = r"[A-ZÀ-ÖØ-Þ][\w’'-]*[\w-]|[A-ZÀ-ÖØ-Þ]"
_PERSON = rf"(?:{_NAME_WORD})(?:\s(?:{_NAME_WORD}))?"
_WHO_ELSE = rf"(?:[Mm]y|[Oo]ur)\s(?:\w+\s)?{KIN_RE}(?:,?\s(?:{_NAME_WORD}),?)?(?![\w'’-])"
_ADVERBS = (
    "still just also really actually finally currently now recently only always usually mostly absolutely totally "
    "definitely even already often regularly sometimes mainly probably honestly truly simply both all once again then "
    "kinda occasionally generally normally officially personally lately both since slowly quickly happily proudly"
).split()
_ADVERB = rf"(?:\s(?:{'|'.join(_ADVERBS)}|\x01+))"
_SUBJECT = rf"(?:I|[Ww]e|[Hh]e|[Ss]he|[Tt]hey|{_WHO_ELSE}|{_PERSON})"
_WHOSE = (
    rf"(?:[Mm]y|[Oo]ur|[Hh]is|[Hh]er|[Tt]heir|(?:[Mm]y|[Oo]ur)\s(?:\w+\s)?{KIN_RE}['’]s"
    rf"|{_PERSON}['’]s?)"
)
_OBJECT = rf"(?:me|us|him|her|them|{_PERSON})"

_SLOTS = {
    "AM": r"(?:\s(?:am|is|are)|['’](?:m|s|re))",
    "HAVE": r"(?:\s(?:have|has)(?:\sgot)?|['’](?:ve|s)\sgot)",
    "HAD": r"(?:\s(?:have|has)|['’](?:ve|s))",
    "NOT": r"\s(?:no\slonger|do\snot|does\snot|don['’]t|doesn['’]t|did\snot|didn['’]t|never|can\snot|cannot|can['’]t)",
    "SELF": r"(?:myself|himself|herself|themselves|ourselves)",
    "T": "\x01+",
}
_ATTACHED = ("AM", "HAVE", "HAD", "NOT")
_TAKES_ADVERBS = ("I", "AM", "HAD", "HAVE")

_SMALL = "of|the|and|de|la|le|du|da|del|di|van|von|der|den|y|for|at|in|on|from|to|with|a|an"
_TOKEN = r"(?:[A-ZÀ-ÖØ-Þ0-9][\w’'.&/+-]*[\w+]|[A-ZÀ-ÖØ-Þ0-9]|i[A-Z]\w*|[a-z]\d+)"
_END_WORDS = (
    "and but so because which who that where when since while for with now again too either as_well right_now although "
    "though if after before until these instead then at from in on by anymore any_more yet lately almost "
    "is are was were has had have will would every each per once twice like to without during near around of_course"
)
_STOP = "|".join(word.replace("_", r"\s") for word in _END_WORDS.split())
_STOP = _STOP.replace("|on|", r"|on(?!\swheels)|").replace("|for|", r"|for(?!\sthe\s(?:blind|deaf|homeless|elderly))|")
_END = rf"(?=\s*(?:$|[.,;:!?()\x01\"“”…–—-](?!\w)|[–—])|\s(?:{_STOP})\b)"
_END_WIDE = r"(?=\s*(?:$|[.,;:!?()\x01\"“”…–—]|\s-\s)|\s(?:but|because|which|although|though|since|so)\b)"

TYPES: dict[str, str] = {
    "n": rf"{_TOKEN}(?:\s(?:(?:of|de|la|le|du|da|del|di|van|von|&)\s)?{_TOKEN}){{0,4}}",
    "t": rf"{_TOKEN}(?:,?\s(?:(?:{_SMALL})\s){{0,2}}{_TOKEN}){{0,7}}",
    "p": r"[^\W_][\w'’%&/+-]*(?:\s[\w'’%&/+-]+){0,5}?",
    "q": r"(?:[$€£]\s?)?\d[\d.,:]*\d?(?:\s?(?:k|euros?|dollars?|pounds?|bucks|quid|francs?|%))?(?!\w)",
    "j": r"[^\W\d_][\w'’/+-]*(?:\s[\w'’/+-]+){0,3}?",
    "l": rf"(?:(?!an?\s|\w+ed\s|{KIN_RE}\s)[A-Za-z-]+\s){{0,2}}{ANIMAL_RE}(?!\w)",
    "w": r"[^\W_][^.,;:!?()\x01\"“”…–—]{0,80}?",
    "y": r"[^\W_][^.!?;:()\x01\n\"“”]{0,160}",
    "o": r"[a-z][^.!?;:()\x01\n\"“”]{0,160}",
    "i": r"[a-z]+(?:\s[a-z]+)?",
    "g": r"[a-z]{2,}ing(?:\s[a-z]+){0,3}?",
    "h": r"[a-z]{3,}(?:\s[a-z]+){0,3}?",
    "x": r"[a-z][\w'’-]*(?:\s[\w'’]+){0,3}?",
    "b": r"(?:left\s|right\s)?[a-z]+",
    "m": r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}",
    "s": r"(?:single|married|divorced|widowed|engaged|separated)(?!\w)",
    "v": r"(?:vegan|vegetarian|pescatarian|flexitarian|lactose[ -]intolerant|gluten[ -]free|halal|kosher)(?!\w)",
    "d": r"\x01+",
    "k": r"(?:\d{1,2}|one|two|three|four|five|six|seven|eight|nine|ten|no)(?!\w)",
    "u": r"\+?\(?\d[\d\s().-]{4,20}\d",
    "a": r"(?:\d|[A-ZÀ-Þ])[^.!?;\n\x01]{2,80}",
    "c": rf"(?:(?:a|an|type\s[12])\s)?(?:{'|'.join(CONDITIONS)})(?!\w)",
    "r": rf"(?:{'|'.join(FAITHS)})(?!\w)",
    "f": rf"(?:{'|'.join(DEMONYMS)})(?!\w)",
}
"""The shapes of values, as regular expressions."""

_LAZY = frozenset("pjwghxvscrf")
_TYPED = {
    "KIND": ANIMALS,
    "V:v": frozenset("vegan vegetarian pescatarian flexitarian lactose gluten keto teetotal halal kosher".split()),
    "V:c": frozenset(re.findall("[a-z0-9]+", " ".join(CONDITIONS).lower())),
    "V:r": frozenset(word.lower() for word in FAITHS),
    "V:f": frozenset(word.lower() for word in DEMONYMS),
    "V:s": frozenset("single married divorced widowed engaged separated".split()),
}
_SLOT_RE = re.compile(r"\b(I|ME|MY|SELF|AM|HAVE|HAD|NOT|T|KIND|WHAT|OLD|V)\b(?::([a-z])\b)?")
_COMMON = frozenset(
    "a an the of in to on at for from with by and is are was were it that this as so up out be been now not no what "
    "there get gets got go goes went take takes took have has had do does did one all is".split()
)
_OPTIONAL = re.compile(r"(\(.*\))\?([,:;.!]?)$")
_OPTIONS = re.compile(r"(\w)\?")


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled template. Groups: v, old, kind, s0, s1 … (subject slots; `slots` says of which sort)."""

    attribute: str
    act: Act
    source: str
    template: str
    polarity: bool
    weight: int
    bold: bool
    asks: bool
    wide: bool
    unsure: bool
    kind: str
    slots: tuple[str, ...]
    triggers: frozenset[str]

    @property
    def pattern(self) -> re.Pattern[str]:
        """The template as a regular expression, compiled when it is first needed: few texts need many."""
        return _compiled(self.source)


@functools.cache
def _compiled(source: str) -> re.Pattern[str]:
    return re.compile(source)


@dataclass(frozen=True, slots=True)
class Field:
    """All templates of one attribute. `kind` is the type of its values.

    `state` says that it is so, `change` that it became so, `end` that it is over, `deny` that it is not so (polarity
    False), `correct` that it was said wrongly.
    """

    attribute: str
    kind: str
    state: Sequence[str] = ()
    change: Sequence[str] = ()
    end: Sequence[str] = ()
    deny: Sequence[str] = ()
    correct: Sequence[str] = ()


def compile_fields(fields: Iterable[Field]) -> list[Rule]:
    """The rules of all fields, in order. Errors: `InvalidInput` for a template without a word to look for."""
    rules: list[Rule] = []
    for one in fields:
        for act, lines in (("change", one.change), ("end", one.end), ("correct", one.correct), ("state", one.state)):
            rules += [_compile(one.attribute, act, one.kind, line, polarity=True) for line in lines]  # type: ignore[arg-type]
        rules += [_compile(one.attribute, "state", one.kind, line, polarity=False) for line in one.deny]
    return rules


def _compile(attribute: str, act: Act, kind: str, line: str, *, polarity: bool) -> Rule:
    marks, template = "", line
    while template[0] in "!?+~ ":
        marks += template[0]
        template = template[1:]
    slots: list[str] = []
    value_kind = [kind]
    tokens = template.split(" ")
    out = ""
    for i, token in enumerate(tokens):
        last = i == len(tokens) - 1
        if token.startswith("*"):
            stars = token.rstrip(",:;.!")
            gap = r"[^.,;:!?\x01]{0,40}?" if stars == "*" else r"[^.!?]{0,60}?"
            after = re.escape(token[len(stars) :])
            out = out.removesuffix(r"\s")
            out += rf"(?:,?\s{gap})??{after}\s" if out else rf"(?:{gap}{after}\s)??"
            continue
        optional = _OPTIONAL.match(token)
        if optional or token.startswith("T?"):
            core = optional[1] if optional else "T"
            rest = optional[2] if optional else token[2:]
            inner = _expand(core, kind, slots, value_kind, last=False)
            lead = out.removesuffix(r"\s")
            out = rf"{lead}(?:\s{inner})?{re.escape(rest)}\s" if out else rf"(?:{inner}\s)?"
            continue
        bare = token.rstrip(",:;.!")
        if bare in _ATTACHED:
            out = out.removesuffix(r"\s") + _SLOTS[bare]
            if bare in _TAKES_ADVERBS:
                out += rf"{_ADVERB}{{0,3}}"
            out += re.escape(token[len(bare) :]) + r"\s"
            continue
        piece = _expand(token, kind, slots, value_kind, last=last)
        out += piece
        if bare in _TAKES_ADVERBS and token == bare:
            out += rf"{_ADVERB}{{0,3}}"
        out += r"\s"
    out = out.removesuffix(r"\s")
    triggers = _triggers(tokens)
    if not triggers:
        raise InvalidInput(f"the template {line!r} has no word of its own to be found by; add one")
    return Rule(
        attribute,
        act,
        rf"(?<![\w'’-]){out}(?![\w’'-])",
        template,
        polarity,
        sum(token[0].islower() or token[0] in "(+" for token in tokens) + 2 * ("OLD" in template),
        "!" in marks,
        "?" in marks,
        "+" in marks,
        "~" in marks,
        value_kind[0],
        tuple(slots),
        triggers,
    )


def _expand(token: str, kind: str, slots: list[str], value_kind: list[str], *, last: bool) -> str:
    """One token as a regular expression; subject slots are numbered as they come."""
    text = token.replace("_", r"\s")
    bare = token.rstrip(",:;.!")
    tail = token[len(bare) :]
    if not _SLOT_RE.search(token):
        return f"(?i:{bare.replace('_', chr(92) + 's')}){re.escape(tail)}"

    def slot(match: re.Match[str]) -> str:
        name, given = match[1], match[2] or kind
        if name in ("I", "ME", "MY"):
            slots.append(name)
            shape = {"I": _SUBJECT, "ME": _OBJECT, "MY": _WHOSE}[name]
            return f"(?P<s{len(slots) - 1}>{shape})"
        if name == "KIND":
            return f"(?P<kind>{TYPES['l']})"
        if name == "WHAT":
            return r"(?P<what>[a-z]+(?:\s(?!is\b|are\b)[a-z]+){0,2})"
        if name in ("V", "OLD"):
            if name == "V":
                value_kind[0] = given
            end = ""
            if last and match.end() == len(match.string) and given in _LAZY:
                end = _END_WIDE if given == "w" else _END
            return f"(?P<{'v' if name == 'V' else 'old'}>{TYPES[given]}){end}"
        return _SLOTS[name]

    if tail and not bare.endswith(")"):
        return _SLOT_RE.sub(slot, bare) + re.escape(tail)
    return _SLOT_RE.sub(slot, text if not tail else bare.replace("_", r"\s")) + re.escape(tail)


def _triggers(tokens: Sequence[str]) -> frozenset[str]:
    """The words of which one must occur: of all tokens that are needed, the one with the rarest words."""
    best: tuple[float, frozenset[str]] = (0.0, frozenset())
    for token in tokens:
        if typed := _TYPED.get(token.rstrip(",:;.!?")):
            if best[0] < 0.9:
                best = (0.9, typed)
            continue
        if _OPTIONAL.match(token) or _SLOT_RE.search(token) or token.startswith("*"):
            continue
        words: set[str] = set()
        for part in re.sub(r"[,:;.!]\?$", "", token).strip(",:;.!()").split("|"):
            words |= _variants(part.split("_")[0].strip("(),:;.!"))
        if not all(re.fullmatch(r"[a-zé0-9'-]+", word) for word in words):
            continue
        score = min(0.5 if word in _COMMON else 1.0 + len(word) / 10 for word in words) - 0.05 * len(words)
        if score > best[0]:
            best = (score, frozenset(re.findall(r"[a-z0-9]+", word)[0] for word in words))
    return best[1]


def _variants(word: str) -> set[str]:
    """ "lives?" → live, lives; "colou?r" → color, colour."""
    match = _OPTIONS.search(word)
    if match is None:
        return {word}
    return _variants(word[: match.start()] + word[match.end() :]) | _variants(
        word[: match.start()] + match[1] + word[match.end() :]
    )
