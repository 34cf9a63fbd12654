"""Texts whose answers lie one step further than the words of the question reach.

Four seeded worlds with exact gold:

    passage_corpus      person works for company, company headquartered in city, city known for something; questions
                        over one, two or three of these, with the triples of every passage (what an OpenIE would find)
    linked_notes        fact A names Ana and a place, fact B, far away, only the place; the question only Ana
    renamed_topics      a topic gets a new name late; questions use the new name, the notes they need the old one
    joined_propositions two propositions of different sessions share one argument, which the question does not name

In each, the answer stands in the last text of a question's `gold`, and nothing in the question tells that text from
its many rivals: a ranking by words or by nearness to the question can find the first text of the chain, not the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from remanence.core.errors import InvalidInput
from remanence.scenarios.chains_text import (
    ASIDES,
    BASED,
    CHATTER,
    COLOURS,
    DEEDS,
    FILLERS,
    FORMS,
    KNOWN,
    LAST,
    MATERIALS,
    NEW_NAMES,
    OBJECTS,
    OLD_NAMES,
    ONE_HOP,
    RENAMINGS,
    ROOTS,
    SMALL_NEWS,
    SPEAKERS,
    STATES,
    STEMS,
    STUDIED,
    THINGS,
    THREE_HOP,
    TIES,
    TOPIC_ATTRIBUTES,
    TRADES,
    TWO_HOP,
    WORKS,
)  # fmt: skip
from remanence.scenarios.dice import Dice
from remanence.scenarios.model import Turn
from remanence.scenarios.values import MEN, WOMEN

__all__ = [
    "ChainConversation", "ChainQuestion", "Passage", "PassageCorpus", "Proposition", "joined_propositions",
    "linked_notes", "passage_corpus", "renamed_topics",
]  # fmt: skip

Triple = tuple[str, str, str]
"""(subject, relation, object), spelt as in the text."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A short text about one entity, `title`, and the triples that it states."""

    id: str
    title: str
    text: str
    triples: tuple[Triple, ...]


@dataclass(frozen=True, slots=True)
class ChainQuestion:
    """A question, its exact answer, and `gold`: the ids of the texts that it needs, in the order of the steps.

    The last of `gold` holds the answer. `names` are the entities that the question names, `bridges` the ones that
    connect the gold texts and that it does not name. `hops` is the number of gold texts.
    """

    id: str
    text: str
    answer: str
    gold: tuple[str, ...]
    names: tuple[str, ...]
    bridges: tuple[str, ...]

    @property
    def hops(self) -> int:
        """How many texts must be joined."""
        return len(self.gold)


@dataclass(frozen=True, slots=True)
class PassageCorpus:
    """Passages in an order that says nothing, and questions of one, two and three hops."""

    passages: tuple[Passage, ...]
    questions: tuple[ChainQuestion, ...]
    seed: int

    def of(self, hops: int) -> tuple[ChainQuestion, ...]:
        """The questions of that many hops."""
        return tuple(question for question in self.questions if question.hops == hops)


@dataclass(frozen=True, slots=True)
class Proposition:
    """One self-contained statement: no pronouns, its source turn, and the arguments that it is about."""

    id: str
    text: str
    turn: str
    session: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChainConversation:
    """Turns in order of time, questions whose `gold` are turn ids, and the propositions where they are known."""

    turns: tuple[Turn, ...]
    questions: tuple[ChainQuestion, ...]
    propositions: tuple[Proposition, ...]
    seed: int


def passage_corpus(seed: int, *, chains: int = 120, colleagues: int = 2, side_facts: float = 0.0) -> PassageCorpus:
    """`chains` companies, each in a city of its own and with `colleagues` people: chains × (colleagues + 2) passages.

    The defaults give 480 passages, and per chain: one two-hop and one three-hop question that name only a person, and
    one one-hop question (about the person, the company or the city in turn). `side_facts` is the share of people of
    whom the passage also says in which other city they studied. Surnames, company names and city names share words.

    Errors: `InvalidInput` for counts that the names do not last for, or a share outside [0, 1].
    """
    most = len(ROOTS) * len(FORMS)
    if not 1 <= chains <= most:
        raise InvalidInput(f"chains={chains} must be 1 to {most}, the number of city names")
    if not 1 <= colleagues <= 10:
        raise InvalidInput(f"colleagues={colleagues} must be 1 to 10")
    if not 0 <= side_facts <= 1:
        raise InvalidInput(f"side_facts={side_facts} must be a share from 0 to 1")
    dice = Dice(seed, "passages")
    cities = dice.shuffled([form.format(root) for root in ROOTS for form in FORMS])[:chains]
    companies = dice.shuffled([f"{stem} {trade}" for stem in STEMS for trade in TRADES])[:chains]
    known = dice.shuffled([f"{material} {thing}" for material in MATERIALS for thing in THINGS])[:chains]
    names = iter(dice.shuffled([f"{first} {last}" for first in WOMEN + MEN for last in LAST]))
    drafts: list[tuple[str, str, tuple[Triple, ...]]] = []
    asked: list[tuple[str, str, str, tuple[str, ...]]] = []
    for chain, (company, city, thing) in enumerate(zip(companies, cities, known, strict=True)):
        staff: list[str] = []
        while len(staff) < colleagues:
            name = next(names)
            # A surname that is also in the employer's name would give the second hop away.
            if name.rpartition(" ")[2] not in company:
                staff.append(name)
        for name in staff:
            works = (name, "works for", company)
            elsewhere = cities[(chain + 1 + dice.below(chains - 1)) % chains] if chains > 1 else city
            if chains > 1 and dice.chance(side_facts):
                studied = (name, "studied in", elsewhere)
                sentences = [dice.pick(WORKS).format(p=name, c=company), dice.pick(STUDIED).format(p=name, t=elsewhere)]
                drafts.append((name, _passage(dice, "person", sentences), (works, studied)))
            else:
                drafts.append((name, _passage(dice, "person", [dice.pick(WORKS).format(p=name, c=company)]), (works,)))
        based = (company, "headquartered in", city)
        drafts.append((company, _passage(dice, "company", [dice.pick(BASED).format(c=company, t=city)]), (based,)))
        special = (city, "known for", thing)
        drafts.append((city, _passage(dice, "city", [dice.pick(KNOWN).format(t=city, k=thing)]), (special,)))
        someone = dice.pick(staff)
        asked.append((dice.pick(TWO_HOP), someone, city, (someone, company)))
        asked.append((dice.pick(THREE_HOP), someone, thing, (someone, company, city)))
        subject, relation, answer = ((someone, "works for", company), based, special)[chain % 3]
        asked.append((dice.pick(ONE_HOP[relation]), subject, answer, (subject,)))
    passages = tuple(Passage(f"p{i:04}", *draft) for i, draft in enumerate(dice.shuffled(drafts)))
    where = {passage.title: passage.id for passage in passages}
    questions = tuple(
        ChainQuestion(f"q{i:04}", text.format(s=name), answer, tuple(where[step] for step in path), (name,), path[1:])
        for i, (text, name, answer, path) in enumerate(dice.shuffled(asked))
    )
    return PassageCorpus(passages, questions, seed)


def _passage(dice: Dice, kind: str, facts: list[str]) -> str:
    return " ".join(dice.shuffled(facts + dice.shuffled(FILLERS[kind])[: dice.between(1, 2)]))


MOST_JOINED = 60
"""Chains of propositions that the things and values last for."""
START = datetime(2024, 1, 8, 18, tzinfo=UTC)


class _Script:
    """Puts lines into sessions of a conversation; lines get their ids when all are known."""

    def __init__(self, sessions: int, dice: Dice) -> None:
        self.dice = dice
        self.lines: list[list[tuple[str, object]]] = [[] for _ in range(sessions)]

    def say(self, session: int, text: str, key: object = None) -> None:
        """A line in this session; `key` finds its turn afterwards."""
        self.lines[session].append((text[0].upper() + text[1:], key))

    def turns(self, chatter: int, speaker_of: dict[object, str] | None = None) -> tuple[list[Turn], dict[object, Turn]]:
        """All turns in order, each session shuffled among `chatter` lines of small talk, and the turns by key."""
        turns: list[Turn] = []
        found: dict[object, Turn] = {}
        at = START
        for number, lines in enumerate(self.lines):
            talk: list[tuple[str, object]] = [(text, None) for text in self.dice.shuffled(CHATTER)[:chatter]]
            for place, (text, key) in enumerate(self.dice.shuffled(lines + talk)):
                speaker = (speaker_of or {}).get(key) or self.dice.pick(SPEAKERS)
                moment = at + timedelta(minutes=place)
                turn = Turn(f"s{number:03}-t{place:03}", f"s{number:03}", speaker, text, moment)
                turns.append(turn)
                if key is not None:
                    found[key] = turn
            at += timedelta(days=self.dice.between(1, 5))
        return turns, found


def _far_apart(dice: Dice, sessions: int, gap: int) -> tuple[int, int]:
    """Two sessions at least `gap` apart, in either order."""
    first = dice.below(sessions - gap)
    second = first + gap + dice.below(sessions - gap - first)
    return (first, second) if dice.chance(0.5) else (second, first)


def _check(sessions: int, gap: int, count: int, most: int, what: str) -> None:
    if not 1 <= count <= most:
        raise InvalidInput(f"{what}={count} must be 1 to {most}, the number of names")
    if not 1 <= gap < sessions:
        raise InvalidInput(f"gap={gap} must be at least 1 and below sessions={sessions}")


def linked_notes(seed: int, *, chains: int = 40, sessions: int = 40, gap: int = 8) -> ChainConversation:
    """`chains` pairs of notes, at least `gap` sessions apart, that share nothing but the name of a bridge.

    Fact A ties a person to a bridge (a town, a choir, a boat), fact B says something about the bridge. The question
    shares words with A and none but stop words with B. Of each bridge a second thing is said, and each person is
    mentioned three times more. `gold` = (A, B). Errors: `InvalidInput` for counts that do not fit.
    """
    bridges = [(tie, bridge) for tie in TIES for bridge in tie.bridges]
    _check(sessions, gap, chains, len(bridges), "chains")
    dice = Dice(seed, "linked notes")
    people = dice.shuffled(WOMEN + MEN)
    values = {attribute.ask: iter(dice.shuffled(attribute.values)) for tie in TIES for attribute in tie.attributes}
    script = _Script(sessions, dice)
    asked = []
    for number, (tie, bridge) in enumerate(dice.shuffled(bridges)[:chains]):
        name = people[number]
        first, second = _far_apart(dice, sessions, gap)
        script.say(first, dice.pick(tie.say).format(n=name, x=bridge), (number, "A"))
        about, other = dice.shuffled(tie.attributes)
        value = next(values[about.ask])
        script.say(second, dice.pick(about.say).format(x=bridge, v=value), (number, "B"))
        script.say(dice.below(sessions), dice.pick(other.say).format(x=bridge, v=next(values[other.ask])))
        for aside in dice.shuffled(ASIDES)[:3]:
            script.say(dice.below(sessions), aside.format(n=name))
        asked.append((dice.pick(about.ask).format(n=name), value, name, bridge))
    turns, found = script.turns(chatter=2)
    questions = tuple(
        ChainQuestion(f"q{i:03}", text, value, (found[i, "A"].id, found[i, "B"].id), (name,), (bridge,))
        for i, (text, value, name, bridge) in enumerate(asked)
    )
    return ChainConversation(tuple(turns), questions, (), seed)


def renamed_topics(seed: int, *, topics: int = 12, sessions: int = 30, gap: int = 4) -> ChainConversation:
    """Four notes about each of `topics` topics under its old name, and, `gap` sessions later or more, its new name.

    One question per note: it uses the new name, and shares no word but stop words with the note that answers it.
    `gold` = (renaming, note). Errors: `InvalidInput` for counts that do not fit.
    """
    _check(sessions, gap, topics, len(OLD_NAMES), "topics")
    dice = Dice(seed, "renamed topics")
    old, new = dice.shuffled(OLD_NAMES), dice.shuffled(NEW_NAMES)
    values = [dice.shuffled(attribute.values) for attribute in TOPIC_ATTRIBUTES]
    script = _Script(sessions, dice)
    asked = []
    for topic in range(topics):
        renaming = gap + dice.below(sessions - gap)
        script.say(renaming, dice.pick(RENAMINGS).format(x=old[topic], n=new[topic]), (topic, "renaming"))
        for about, attribute in enumerate(TOPIC_ATTRIBUTES):
            value = values[about][topic]
            text = dice.pick(attribute.say).format(x=old[topic], v=value)
            script.say(dice.below(renaming - gap + 1), text, (topic, about))
            asked.append((dice.pick(attribute.ask).format(n=new[topic]), value, topic, about))
    turns, found = script.turns(chatter=2)
    questions = tuple(
        ChainQuestion(
            f"q{i:03}", text, value, (found[topic, "renaming"].id, found[topic, about].id), (new[topic],), (old[topic],)
        )
        for i, (text, value, topic, about) in enumerate(dice.shuffled(asked))
    )
    return ChainConversation(tuple(turns), questions, (), seed)


def joined_propositions(
    seed: int, *, chains: int = 30, sessions: int = 24, gap: int = 3, chatter: int = 6
) -> ChainConversation:
    """First-person chat in which an answer needs two propositions, `gap` sessions or more apart, that share one thing.

    One speaker says what was done with a thing ("I lent Otto the striped canoe"), another one elsewhere what is the
    matter with it ("The striped canoe stands in the boiler room"); the question asks for the second by way of the
    first. A thing of the same kind but another look is always talked about, too. Fact turns carry a second, idle
    proposition; `chatter` more turns per session carry one each. `propositions` holds all there is, in order of turns.
    `gold` = turns of the two propositions. Errors: `InvalidInput` for counts that do not fit.
    """
    _check(sessions, gap, chains, MOST_JOINED, "chains")
    if chatter < 0:
        raise InvalidInput(f"chatter={chatter} must be 0 or more")
    dice = Dice(seed, "joined propositions")
    others = dice.shuffled(WOMEN + MEN)
    values = [dice.shuffled(attribute.values) for attribute in STATES]
    colours = {item: dice.shuffled(COLOURS) for item in OBJECTS}
    script = _Script(sessions, dice)
    stated: dict[object, list[tuple[str, tuple[str, ...]]]] = {}
    speakers: dict[object, str] = {}

    def tell(session: int, key: object, speaker: str, fact: tuple[str, str, tuple[str, ...]] | None) -> None:
        said, written, topic = dice.pick(SMALL_NEWS)
        parts: list[tuple[str, str, tuple[str, ...]]] = [(said, written.format(s=speaker), (speaker, topic))]
        if fact is not None:
            parts.insert(dice.below(2), fact)
        script.say(session, " ".join(part[0] for part in parts), key)
        stated[key] = [(part[1], part[2]) for part in parts]
        speakers[key] = speaker

    asked = []
    kinds = dice.shuffled([chain % len(STATES) for chain in range(chains)])
    for chain, about in enumerate(kinds):
        item = OBJECTS[chain % len(OBJECTS)]
        thing, lookalike = (f"{colours[item].pop()} {item}" for _ in range(2))
        first, second = _far_apart(dice, sessions, gap)
        speaker, witness, third = dice.shuffled(SPEAKERS)[:3]
        deed = dice.pick(DEEDS)
        names = {"s": speaker, "o": others[chain], "x": thing}
        done = (dice.pick(deed.say).format(**names), deed.proposition.format(**names), (speaker, thing, others[chain]))
        tell(first, (chain, "deed"), speaker, done)
        value, rival = values[about].pop(), values[about].pop()
        for what, which, who, session in (
            (thing, value, witness, second),
            (lookalike, rival, third, dice.below(sessions)),
        ):
            text = dice.pick(STATES[about].say).format(x=what, v=which)
            tell(session, (chain, what), who, (text, text, (what, which)))
        asked.append((dice.pick(STATES[about].ask).format(c=deed.clause.format(**names)), value, chain, names))
    for session in range(sessions):
        for number in range(chatter):
            tell(session, (session, number, "chatter"), dice.pick(SPEAKERS), None)
    turns, found = script.turns(0, speakers)
    key_of = {turn.id: key for key, turn in found.items()}
    listed = [(turn, *part) for turn in turns for part in stated[key_of[turn.id]]]
    propositions = tuple(
        Proposition(f"e{i:04}", text, turn.id, turn.session, arguments)
        for i, (turn, text, arguments) in enumerate(listed)
    )
    questions = tuple(
        ChainQuestion(
            f"q{i:03}",
            text,
            value,
            (found[chain, "deed"].id, found[chain, names["x"]].id),
            (names["s"], names["o"]),
            (names["x"],),
        )
        for i, (text, value, chain, names) in enumerate(asked)
    )
    return ChainConversation(tuple(turns), questions, propositions, seed)
