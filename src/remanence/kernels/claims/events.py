"""What people did or are doing, where no template knows the matter: "I went to a support group yesterday".

A claim of attribute `event` holds the verb phrase, in the past tense; one of `activity` the phrase after "I am" or "I
have been". Only verbs that tell of doings count, said by the speaker of themselves or of somebody known by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from remanence.kernels.claims.reading import Reading, Sentence

_PAST = (
    "went|visited|attended|joined|started|began|finished|completed|launched|opened|closed|built|made|cooked|baked|wrote"
    "|published|painted|drew|sketched|carved|designed|created|recorded|performed|played|sang|danced|won|lost|scored|ran"
    "|swam|hiked|climbed|biked|cycled|drove|flew|travell?ed|toured|camped|moved|bought|ordered|sold|got|received|gave"
    "|donated|raised|organi[sz]ed|hosted|held|threw|celebrated|met|married|divorced|adopted|rescued|fostered|signed"
    "|applied|interviewed|graduated|enrolled|registered|passed|failed|learned|learnt|taught|studied|trained|practi[sc]ed"
    "|volunteered|helped|mentored|worked|quit|retired|resigned|hired|fired|promoted|took|tried|read|watched|saw|heard"
    "|found|discovered|lost|broke|injured|hurt|sprained|fell|crashed|fixed|repaired|restored|renovated|installed|planted"
    "|grew|picked|caught|ate|drank|tasted|had|shared|submitted|presented|gave|spoke|talked|interviewed|booked|reserved"
    "|planned|decided|chose|upgraded|switched|replaced|set|put|brought|sent|returned|came|stayed|spent|explored|hung|ran"
    "|redecorated|decorated|collected|participated|competed|qualified|earned|landed|secured|negotiated|invested|founded"
    "|reconnected|bonded|reunited|proposed|engaged|announced|released|pitched|shot|filmed|photographed|spotted|lit"
)
_ADVERBS = r"(?:just|also|finally|recently|already|even|actually|both|once|really|all|\x01+)"
_WHO = r"(?P<who>I|[Ww]e|(?:[Mm]y|[Oo]ur)\s(?:[a-z]+\s)?[a-z]+|[A-ZÀ-Þ][\w-]+)"
_EVENT = re.compile(
    rf"(?<![\w'’-]){_WHO}(?:['’]ve|\shave|\shas)?(?:\s{_ADVERBS}){{0,2}}\s(?P<v>(?:{_PAST})(?![\w'’-]))"
)
_BARE = re.compile(
    rf"(?:(?:^|[,!]\s)(?:[Jj]ust|[Ff]inally|[Rr]ecently)\s|^)(?P<v>(?:{_PAST}|Went|Got|Saw|Had|Took|Made|Visited|Attended"
    rf"|Joined|Started|Finished|Met|Bought|Tried|Found|Won|Lost|Spent|Painted|Signed|Decided|Moved|Hosted|Adopted)\b)"
)
_DOING = re.compile(
    rf"(?<![\w'’-]){_WHO}(?P<be>['’]m|['’]re|\sam|\sare|\sis|(?:['’]ve|\shave|\shas)\sbeen)(?:\s{_ADVERBS}|\snow|\scurrently"
    rf"|\sstill){{0,2}}\s(?P<v>[a-z]{{2,}}ing\b)"
)
_NOT_DOING = frozenset(
    "going feeling thinking hoping looking wondering kidding dying having being telling saying getting trying talking "
    "guessing assuming missing wishing asking loving liking enjoying seeing hearing coming leaving starting becoming "
    "doing making keeping interesting amazing boring exciting inspiring calling waiting sending rooting bring sitting "
    "wanting needing sounding standing lying living staying growing running".split()
)
_REST = re.compile(r"[^.!?;:()\n\x01\"“”]{1,110}")
_CUT = re.compile(
    r",?\s(?:and|but|so|because|which|where|when|while|since|although|though|as|who|if|until|before|after|cause|'cause)\s"
    r"(?=(?:i|im|it|we|they|he|she|you|that|this|there|now|then|my|the|was|is|am|are|were|had|have|just|really|felt|got"
    r"|can|will|would|could|how|what|not)\b)|,\s|\s(?=(?:it|they|he|she)\s(?:was|were|is)\b)|\s[-–—]+\s|–|—|\s(?:but|because|which|cause)\s|\s[&]\s(?=it|i)",
    re.IGNORECASE,
)
_MAIN = re.compile(
    r"(?:^|[.!?,;:)\x01–—-]|\b(?:and|but|so|then|because|cause|also|plus|today|yeah|well|oh|guess|actually|basically|btw"
    r"|anyway|honestly|luckily|fortunately|sadly|unfortunately|recently|finally|thankfully))[\s\"“]*$",
    re.IGNORECASE,
)
"""What may stand before a main clause; after any other word "I got" belongs to a relative or side clause."""
_LOOSE = re.compile(
    r"(?:\s(?:and|or|of|with|to|in|on|at|for|from|the|a|an|that|as|just|so|by|then|also|too|lately|again))+$"
)
_STOP = frozenset(
    """
    it that this them these those you me us him her they we so the a an to of in on at for with and or not up out off
    back down over away through into about there here some any all lot lots bit much more very really too just even
    well better best good great sure able done like thing things stuff something anything everything nothing one home
    idea sense time fun point way mind hang hold care luck chance know think feel feeling used supposed say said tell
    your his their our my its what how who why when where get got going by from as if than
    """.split()
)
_WORD = re.compile(r"[a-z][a-z'’-]+", re.IGNORECASE)
_HAD = re.compile(r"(?:a|an|some|two|three|my|our|the)\s", re.IGNORECASE)
_HAD_DONE = re.compile(r"\s(?:to|been|\w+(?:en|ed))\b")
_NO_OBJECT = frozenset("had got took made set put came gave saw held lost read lit heard".split())


_BOUND = re.compile(r"\sto\s(?:an?|the|my|our|[A-Z])\b")


def main_clause(before: str) -> bool:
    """Whether a subject after these words of its sentence opens a main clause ("… but", not "the pic that")."""
    return _MAIN.search(before[-40:]) is not None


class Doing(NamedTuple):
    """A verb phrase `text[start:end]` said of `who`."""

    who: str
    attribute: str
    value: str
    start: int
    begin: int
    end: int


def tells(sentence: Sentence) -> bool:
    """Whether a sentence can tell of doings at all: it has a first person, or opens with a verb that needs none."""
    return not (sentence.question or sentence.words.isdisjoint(_TELLERS))


_TELLERS = frozenset(
    "i we my our just finally recently went got saw had took made visited attended joined started finished met bought "
    "tried found won lost spent painted signed decided moved hosted adopted".split()
)


def doings(reading: Reading, sentence: Sentence) -> Iterator[Doing]:
    """The doings told in a sentence, at most two of each sort."""
    text = reading.masked
    for pattern, attribute in ((_EVENT, "event"), (_DOING, "activity")):
        found = 0
        for match in pattern.finditer(text, sentence.start, sentence.end):
            one = _phrase(reading, sentence, match, match["who"], attribute)
            if one is not None and found < 2:
                found += 1
                yield one
    bare = _BARE.search(text[sentence.start : sentence.end])
    if bare is not None:
        one = _phrase(reading, sentence, bare, "I", "event", sentence.start)
        if one is not None:
            yield one


def _phrase(
    reading: Reading, sentence: Sentence, match: re.Match[str], who: str, attribute: str, shift: int = 0
) -> Doing | None:
    verb = match["v"].lower()
    begin, after = match.start("v") + shift, match.end("v") + shift
    bound = verb == "going" and _BOUND.match(reading.masked, after) is not None
    if attribute == "activity" and verb in _NOT_DOING and not bound:
        return None
    if not main_clause(reading.masked[sentence.start : match.start() + shift]):
        return None
    rest = _REST.match(reading.masked, after, sentence.end)
    if rest is None:
        return None
    words = rest[0]
    if cut := _CUT.search(words, 1):
        words = words[: cut.start()]
    words = _LOOSE.sub("", words.rstrip(" ,-–'’"))
    said = [word.lower() for word in _WORD.findall(words)]
    telling = [word for word in said if len(word) > 2 and word not in _STOP]
    if not telling or len(said) > 16 or (said and said[0] in _PRONOUNS):
        return None
    if verb == "had" and _HAD_DONE.match(words):
        return None
    if verb in _NO_OBJECT and not (_HAD.match(words.strip()) or len(telling) > 1):
        return None
    subject = _whose(reading, who, match.start() + shift)
    if not subject:
        return None
    end = after + len(words)
    value = verb + words if match["v"][0].isupper() else reading.masked[begin:end]
    return Doing(subject, attribute, " ".join(value.split()), match.start() + shift, begin, end)


_PRONOUNS = frozenset("it that this them these those you".split())


def _whose(reading: Reading, who: str, at: int) -> str:
    if who in ("I", "We", "we"):
        return reading.speaker
    if who[0].isupper() and who.split()[0] not in ("My", "Our"):
        return who if who in reading.people else ""
    return reading.whose(who, at)
