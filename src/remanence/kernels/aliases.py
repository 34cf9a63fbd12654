"""Who is who: names that may belong to one person or thing, as links that can be taken back.

An entity is a normalised name (`name_key`): two mentions of one name are one entity, always, by construction. What may
be another name of the same is a link with a score and a reason, never a merge:

- `nickname`: "Bob" and "Robert", "Bob Lee" and "Robert Lee"; English short forms;
- `first_name`, `last_name`: one word of exactly one full name;
- `initials`: "MIT" and "Massachusetts Institute of Technology";
- `short_form`: the beginning of the name of exactly one of those who speak ("Mel", "Melanie").

A name that could stand for two others is linked to neither. `relations` finds "my sister Freya": another way to speak
of Freya, which depends on who speaks.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from remanence.core.errors import InvalidInput
from remanence.kernels.names import name_key, names

Reason = Literal["nickname", "first_name", "last_name", "initials", "short_form"]

SCORES: Mapping[Reason, float] = {
    "first_name": 0.9, "initials": 0.8, "nickname": 0.8, "last_name": 0.7, "short_form": 0.6,
}  # fmt: skip
"""How sure each kind of link is: an order of preference, not a measured probability."""

_NICKNAMES = {
    short: tuple(full.split())
    for line in """
    abby: abigail | al: albert alan alfred | alex: alexander alexandra | andy: andrew | angie: angela
    annie: ann anna anne
    barb: barbara | becky: rebecca | ben: benjamin | bert: albert robert | beth: elizabeth | betty: elizabeth
    bill: william | billy: william | bob: robert | bobby: robert | cathy: catherine | charlie: charles charlotte
    chris: christopher christina christine | chuck: charles | cindy: cynthia | dan: daniel | danny: daniel | dave: david
    deb: deborah | debbie: deborah | dick: richard | don: donald | dot: dorothy | drew: andrew | ed: edward edwin edgar
    eddie: edward | ellie: eleanor ellen | fran: frances francis | fred: frederick alfred | gabe: gabriel
    gene: eugene | gina: regina georgina | greg: gregory | hank: henry | harry: harold henry | izzy: isabel isabella
    jack: john | jackie: jacqueline | jake: jacob | jan: janet janice | jeff: jeffrey | jen: jennifer | jenny: jennifer
    jerry: gerald jerome | jess: jessica | jim: james | jimmy: james | jo: joanna josephine | joe: joseph
    johnny: john | jon: jonathan | josh: joshua | judy: judith | kate: katherine catherine | kathy: katherine
    katie: katherine | ken: kenneth | kim: kimberly | larry: lawrence | leo: leonard leonardo | liz: elizabeth
    lizzie: elizabeth | lou: louis louise | maggie: margaret | mandy: amanda | marge: margaret | matt: matthew
    max: maximilian maxwell | meg: megan margaret | mel: melanie melissa melvin | mike: michael | mick: michael
    mindy: melinda | molly: mary | nancy: ann | nat: nathan nathaniel natalie | nate: nathan nathaniel | ned: edward
    nick: nicholas | nicky: nicole nicholas | pam: pamela | pat: patrick patricia | patty: patricia | peggy: margaret
    pete: peter | phil: philip | ray: raymond | rich: richard | rick: richard | rob: robert | ron: ronald
    rosie: rose | russ: russell | sally: sarah | sam: samuel samantha | sandy: sandra | steph: stephanie
    steve: steven stephen | sue: susan | susie: susan | tammy: tamara | ted: theodore edward | terry: terence theresa
    theo: theodore | tim: timothy | tina: christina | tom: thomas | tommy: thomas | tony: anthony antonio
    trish: patricia | val: valerie | vicky: victoria | vince: vincent | walt: walter | wendy: gwendolyn | will: william
    zach: zachary
    """.replace("\n", " | ").split("|")
    if (pair := line.strip()) and ": " in pair
    for short, full in [pair.split(": ")]
}

RELATIONS = frozenset(
    """
    mother mom mum mama father dad papa parent sister brother sibling son daughter child kid wife husband spouse partner
    boyfriend girlfriend fiance fiancee fiancé fiancée aunt uncle cousin niece nephew grandmother grandma granny
    grandfather grandpa granddaughter grandson stepmother stepfather stepsister stepbrother friend boss manager
    colleague coworker neighbour neighbor flatmate roommate housemate coach teacher mentor therapist doctor dentist
    landlord ex dog cat puppy kitten
    """.split()
)
"""What somebody can be to somebody."""

_SMALL = frozenset("of the and for in on de la du von van".split())
_KIND = r"(?:(?:older|younger|big|little|elder|twin|best|good|old|new|close|late|dear|baby|half|step)[- ])*"
_OF = rf"{_KIND}(?P<relation>(?:{'|'.join(sorted(RELATIONS, key=len, reverse=True))})(?:[- ]in[- ]law)?)"
_NAME = r"(?P<name>[^\W\d_a-z][\w'’-]+(?: [^\W\d_a-z][\w'’-]+){0,2})"
_OWNER = r"(?P<owner>(?i:my|our)|[^\W\d_a-z][\w-]+(?:'s|’s))"
_IS = r"(?:,| is| is called| is named|'s name is|’s name is| was called| called| named|:)?"
_RELATION_FIRST = re.compile(rf"\b{_OWNER} (?i:{_OF})(?i:{_IS}) {_NAME}")
_NAME_FIRST = re.compile(rf"{_NAME}(?:,| is| was) {_OWNER} (?i:{_OF})\b(?! [A-Z])")


@dataclass(frozen=True, slots=True, order=True)
class AliasLink:
    """`short` may be another name of `full`; both are keys of entities."""

    short: str
    full: str
    reason: Reason
    score: float


@dataclass(frozen=True, slots=True)
class RelationAlias:
    """`name` (as written) is the `relation` of `owner`: a display name, or "" for the speaker of the text."""

    owner: str
    relation: str
    name: str
    start: int
    end: int


def links(written: Collection[str], speakers: Collection[str] = ()) -> list[AliasLink]:
    """All links among names as written, sorted. `speakers` are the names of those who speak.

    Depends on the set of names alone, whatever their order and however often each occurs.
    """
    forms: dict[str, set[str]] = defaultdict(set)
    for name in (*written, *speakers):
        if key := name_key(name):
            forms[key].add(name)
    keys = sorted(forms)
    called = {name_key(speaker) for speaker in speakers}
    index: dict[tuple[Reason, str], set[str]] = defaultdict(set)
    for key in keys:
        words = key.split()
        if 2 <= len(words) <= 3 and _SMALL.isdisjoint(words) and all(form[:1].isupper() for form in forms[key]):
            index["first_name", words[0]].add(key)
            if words[-1] not in called:
                index["last_name", words[-1]].add(key)
        if len(words) > 1:
            for initials in _initials(words):
                index["initials", initials].add(key)
        index["nickname", key].add(key)
    for speaker in speakers:
        key = name_key(speaker)
        for length in range(3, len(key.split(" ")[0])):
            index["short_form", key[:length]].add(key)
    found: dict[tuple[str, str], AliasLink] = {}
    for key in keys:
        for reason, others in _candidates(key, forms[key], index):
            if len(others) == 1:
                (full,) = others
                link = AliasLink(key, full, reason, SCORES[reason])
                former = found.get((key, full))
                if former is None or former.score < link.score:
                    found[key, full] = link
    return sorted(found.values())


def groups(keys: Iterable[str], linked: Iterable[AliasLink], least: float = 0.6) -> dict[str, str]:
    """Key → the key that stands for its group, by links of at least `least`: the longest name, then the first.

    Nothing is merged: without a link, its two sides are apart again. Raises `InvalidInput` for a score outside 0 to 1.
    """
    if not 0 <= least <= 1:
        raise InvalidInput(f"least={least} must be a score from 0 to 1")
    members = {key: {key} for key in keys}
    for link in linked:
        if link.score >= least and link.short in members and link.full in members:
            both = members[link.short] | members[link.full]
            for key in both:
                members[key] = both
    return {key: min(group, key=lambda name: (-len(name), name)) for key, group in members.items()}


def relations(text: str) -> list[RelationAlias]:
    """Whose relative or friend somebody is, where the text names them: "my sister Freya", "Freya, Ana's sister"."""
    found: dict[tuple[str, str, str], RelationAlias] = {}
    if not _MAY_RELATE.search(text):
        return []
    for pattern in (_RELATION_FIRST, _NAME_FIRST):
        for match in pattern.finditer(text):
            # The spelling of a name is judged where all names are.
            known = names(f"x {match['name']}")
            if not known:
                continue
            owner = match["owner"]
            mine = owner.lower() in ("my", "our")
            alias = RelationAlias(
                "" if mine else re.sub("['’]s$", "", owner),
                match["relation"].lower().replace(" ", "-"),
                known[0],
                *match.span(),
            )
            found.setdefault((alias.owner, alias.relation, name_key(alias.name)), alias)
    return sorted(found.values(), key=lambda alias: (alias.start, alias.end, alias.relation))


_MAY_RELATE = re.compile(rf"\b(?:{'|'.join(sorted(RELATIONS))})\b", re.IGNORECASE)


def _candidates(
    key: str, forms: Collection[str], index: Mapping[tuple[Reason, str], set[str]]
) -> Iterable[tuple[Reason, set[str]]]:
    """Reasons for which `key` may be short for others, and for which ones."""
    words = key.split()
    if len(words) == 1:
        full_names = index.get(("first_name", key), set())
        yield "first_name", full_names
        if not full_names:
            yield "last_name", index.get(("last_name", key), set())
        if 2 <= len(key) <= 6 and any(form.isupper() for form in forms):
            yield "initials", index.get(("initials", key), set())
        yield "short_form", index.get(("short_form", key), set()) - {key}
    longer = {" ".join((full, *words[1:])) for full in _NICKNAMES.get(words[0], ())}
    yield "nickname", {other for name in longer for other in index.get(("nickname", name), ())}


def _initials(words: Collection[str]) -> set[str]:
    return {"".join(word[0] for word in words), "".join(word[0] for word in words if word not in _SMALL)}
