from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from remanence.core.errors import InvalidInput
from remanence.kernels.analyzer import Analyzer, is_stopword
from remanence.kernels.bm25 import Postings, idf, length_norms, saturate
from remanence.scenarios import chains_text
from remanence.scenarios.chains import (
    ChainConversation,
    ChainQuestion,
    PassageCorpus,
    joined_propositions,
    linked_notes,
    passage_corpus,
    renamed_topics,
)
from remanence.scenarios.phrases import says

SEEDS = range(3)
ANALYZER = Analyzer("english")
CONVERSATIONS: tuple[Callable[[int], ChainConversation], ...] = (linked_notes, renamed_topics, joined_propositions)
conversations = pytest.mark.parametrize("make", CONVERSATIONS, ids=lambda make: make.__name__)


def content(text: str) -> set[str]:
    return {term for term in ANALYZER.terms(text) if not is_stopword(term)}


def ranking(texts: list[str], ids: list[str]) -> Callable[[str], list[str]]:
    """BM25 over texts: a function from a query to the ids, best first."""
    words: dict[str, int] = {}
    documents = [[words.setdefault(term, len(words)) for term in ANALYZER.terms(text)] for text in texts]
    postings = Postings()
    postings.append(
        np.array([term for document in documents for term in document], np.int32), np.cumsum([0, *map(len, documents)])
    )
    norms = length_norms(np.array([len(document) for document in documents], float))

    def rank(query: str) -> list[str]:
        scores = np.zeros(len(ids))
        for term in {words[term] for term in ANALYZER.terms(query) if term in words}:
            rows, tfs = postings.of(term)
            scores[rows] += saturate(tfs, norms[rows], idf(len(ids), len(rows)))
        return [ids[i] for i in np.argsort(-scores, kind="stable")]

    return rank


def rank_turns(one: ChainConversation) -> Callable[[str], list[str]]:
    return ranking([turn.text for turn in one.turns], [turn.id for turn in one.turns])


def rank_passages(one: PassageCorpus) -> Callable[[str], list[str]]:
    return ranking([passage.text for passage in one.passages], [passage.id for passage in one.passages])


def walked(one: PassageCorpus, question: ChainQuestion) -> str:
    """The answer by following triples from the named entity: employer, seat, speciality."""
    step = {(s, r): o for passage in one.passages for s, r, o in passage.triples}
    relations = ["works for", "headquartered in", "known for"]
    at = question.names[0]
    start = [(at, relation) in step for relation in relations].index(True)
    for relation in relations[start : start + question.hops]:
        at = step[at, relation]
    return at


def test_worlds_are_repeatable_and_seeds_differ() -> None:
    assert passage_corpus(5) == passage_corpus(5)
    assert passage_corpus(5) != passage_corpus(6)
    for make in CONVERSATIONS:
        assert make(5) == make(5)
        assert make(5) != make(6)


def test_the_default_corpus_has_480_passages_and_120_questions_of_each_kind() -> None:
    one = passage_corpus(0)
    assert len(one.passages) == 480
    assert [len(one.of(hops)) for hops in (1, 2, 3)] == [120, 120, 120]
    assert {passage.triples[0][1] for passage in one.passages} == {"works for", "headquartered in", "known for"}


@pytest.mark.parametrize("side_facts", [0.0, 1.0])
def test_answers_follow_from_the_triples_alone(side_facts: float) -> None:
    for seed in SEEDS:
        one = passage_corpus(seed, side_facts=side_facts)
        for question in one.questions:
            assert walked(one, question) == question.answer, question


def test_triples_stand_in_their_passage_and_titles_are_unique() -> None:
    for seed in SEEDS:
        one = passage_corpus(seed, side_facts=0.5)
        assert len({passage.title for passage in one.passages}) == len(one.passages)
        for passage in one.passages:
            for subject, _, value in passage.triples:
                assert subject == passage.title
                assert says(passage.text, subject)
                assert says(passage.text, value)


def test_questions_name_one_entity_and_neither_bridges_nor_answer() -> None:
    for seed in SEEDS:
        one = passage_corpus(seed)
        titles = {passage.title for passage in one.passages}
        for question in one.questions:
            assert {title for title in titles if says(question.text, title)} == set(question.names)
            assert not says(question.text, question.answer)
            surname = question.names[0].rpartition(" ")[2]
            assert not any(surname in bridge for bridge in question.bridges)


def test_word_overlap_finds_the_first_passage_and_not_the_second() -> None:
    one = passage_corpus(0)
    rank = rank_passages(one)
    for hops, low, high in ((1, 0.7, 1.0), (2, 0.0, 0.10), (3, 0.0, 0.03)):
        asked = one.of(hops)
        both = sum(set(q.gold) <= set(rank(q.text)[:5]) for q in asked) / len(asked)
        assert low <= both <= high, (hops, both)
    first = sum(q.gold[0] in rank(q.text)[:5] for q in one.of(2)) / 120
    assert first > 0.95


def test_a_walk_over_the_triples_finds_both_passages() -> None:
    one = passage_corpus(0)
    about: dict[str, set[str]] = {}
    for passage in one.passages:
        for subject, _, value in passage.triples:
            about.setdefault(subject, set()).add(passage.id)
            about.setdefault(value, set()).add(passage.id)
    for question in one.of(2):
        near = set.union(*(about[name] for name in (*question.names, *question.bridges)))
        assert set(question.gold) <= near
        assert len(near) <= 5


def test_side_facts_add_a_wrong_city_to_every_person() -> None:
    one = passage_corpus(1, side_facts=1.0)
    seat = {s: o for passage in one.passages for s, r, o in passage.triples if r == "headquartered in"}
    people = [passage for passage in one.passages if passage.triples[0][1] == "works for"]
    assert len(people) == 240
    for passage in people:
        works, studied = passage.triples
        assert studied[1] == "studied in"
        assert studied[2] != seat[works[2]]


def test_names_share_words() -> None:
    titles = [passage.title for passage in passage_corpus(0).passages]
    words = [word for title in titles for word in title.split()]
    assert len(set(words)) < len(words) / 3


@pytest.mark.parametrize(
    "frames",
    [
        chains_text.WORKS,
        chains_text.BASED,
        chains_text.KNOWN,
        chains_text.STUDIED,
        chains_text.TWO_HOP,
        chains_text.THREE_HOP,
        chains_text.RENAMINGS,
        *(tie.say for tie in chains_text.TIES),
        *(attribute.say for tie in chains_text.TIES for attribute in tie.attributes),
        *(attribute.say for attribute in (*chains_text.TOPIC_ATTRIBUTES, *chains_text.STATES)),
        *(deed.say for deed in chains_text.DEEDS),
    ],
)
def test_each_relation_has_six_frames(frames: tuple[str, ...]) -> None:
    assert len(set(frames)) >= 6


def test_no_frame_of_a_question_shares_a_word_with_a_frame_that_answers_it() -> None:
    blank = dict.fromkeys("nxvso", "") | {"c": ""}
    attributes = [attribute for tie in chains_text.TIES for attribute in tie.attributes]
    for attribute in (*attributes, *chains_text.TOPIC_ATTRIBUTES, *chains_text.STATES):
        for ask, say in product(attribute.ask, attribute.say):
            for value in attribute.values:
                assert not content(ask.format(**blank)) & content(say.format(**(blank | {"v": value}))), (ask, say)


@conversations
def test_the_answer_shares_no_word_with_the_question_but_the_bridge_with_the_first_text(
    make: Callable[[int], ChainConversation],
) -> None:
    for seed in SEEDS:
        one = make(seed)
        texts = {turn.id: turn.text for turn in one.turns}
        for question in one.questions:
            first, last = (texts[id] for id in question.gold)
            (bridge,) = question.bridges
            assert says(first, bridge)
            assert says(last, bridge)
            assert says(last, question.answer)
            assert not says(first, question.answer)
            assert not says(question.text, bridge)
            assert not says(question.text, question.answer)
            if make is not joined_propositions:
                assert says(first, question.names[0])
                assert not content(question.text) & content(last), question


@conversations
def test_exactly_one_turn_answers_each_question(make: Callable[[int], ChainConversation]) -> None:
    for seed in SEEDS:
        one = make(seed)
        for question in one.questions:
            bridge = question.bridges[0]
            found = [t.id for t in one.turns if says(t.text, bridge) and says(t.text, question.answer)]
            assert found == [question.gold[1]]


@conversations
def test_gold_turns_lie_in_far_sessions(make: Callable[[int], ChainConversation]) -> None:
    gap = {linked_notes: 8, renamed_topics: 4, joined_propositions: 3}[make]
    one = make(2)
    sessions = sorted({turn.session for turn in one.turns})
    number = {turn.id: sessions.index(turn.session) for turn in one.turns}
    for question in one.questions:
        assert abs(number[question.gold[0]] - number[question.gold[1]]) >= gap


@conversations
def test_word_overlap_does_not_reach_the_last_turn(make: Callable[[int], ChainConversation]) -> None:
    for seed in SEEDS:
        one = make(seed)
        rank = rank_turns(one)
        asked = one.questions
        first = sum(q.gold[0] in rank(q.text)[:10] for q in asked) / len(asked)
        last = sum(q.gold[1] in rank(q.text)[:10] for q in asked) / len(asked)
        assert first > 0.8, first
        assert last < 0.3, last


def test_turns_are_in_order_of_time_with_opaque_unique_ids() -> None:
    for make in CONVERSATIONS:
        one = make(0)
        assert [turn.at for turn in one.turns] == sorted(turn.at for turn in one.turns)
        assert len({turn.id for turn in one.turns}) == len(one.turns)
        assert all(turn.id.startswith(turn.session) for turn in one.turns)


def test_old_notes_do_not_know_the_new_name_and_the_renaming_knows_both() -> None:
    for seed in SEEDS:
        one = renamed_topics(seed)
        texts = {turn.id: turn for turn in one.turns}
        for question in one.questions:
            renaming, note = (texts[id] for id in question.gold)
            assert says(renaming.text, question.names[0])
            assert not says(note.text, question.names[0])
            assert note.at < renaming.at


def test_propositions_cover_their_turns_and_share_the_argument() -> None:
    for seed in SEEDS:
        one = joined_propositions(seed)
        turns = {turn.id: turn for turn in one.turns}
        assert {proposition.turn for proposition in one.propositions} == set(turns)
        for proposition in one.propositions:
            assert turns[proposition.turn].session == proposition.session
            assert all(says(proposition.text, argument) for argument in proposition.arguments)
            assert not content(proposition.text) & {"i", "my", "me"}
        for question in one.questions:
            first, last = (
                [p for p in one.propositions if p.turn == id and question.bridges[0] in p.arguments]
                for id in question.gold
            )
            assert len(first) == len(last) == 1
            assert set(first[0].arguments) & set(last[0].arguments) == set(question.bridges)
            assert set(question.names) <= set(first[0].arguments)
            assert question.answer in last[0].arguments
            assert turns[question.gold[0]].speaker == question.names[0] != turns[question.gold[1]].speaker


def test_a_lookalike_of_each_thing_has_another_value() -> None:
    one = joined_propositions(0)
    texts = [turn.text for turn in one.turns]
    for question in one.questions:
        item = question.bridges[0].split()[1]
        rivals = [text for text in texts if says(text, item) and not says(text, question.bridges[0])]
        assert rivals
        assert not any(says(text, question.answer) for text in rivals)


def test_counts_that_do_not_fit_are_refused() -> None:
    attempts: tuple[Callable[[], object], ...] = (
        lambda: passage_corpus(0, chains=0),
        lambda: passage_corpus(0, chains=151),
        lambda: passage_corpus(0, colleagues=0),
        lambda: passage_corpus(0, side_facts=1.5),
        lambda: linked_notes(0, chains=46),
        lambda: linked_notes(0, sessions=8),
        lambda: renamed_topics(0, topics=21),
        lambda: joined_propositions(0, chains=61),
        lambda: joined_propositions(0, chatter=-1),
    )
    for refused in attempts:
        with pytest.raises(InvalidInput, match="must be"):
            refused()


def test_the_largest_worlds_exist() -> None:
    assert len(passage_corpus(0, chains=150, colleagues=10).passages) == 1800
    assert len(linked_notes(0, chains=45).questions) == 45
    assert len(renamed_topics(0, topics=20).questions) == 80
    assert len(joined_propositions(0, chains=60).questions) == 60
    assert passage_corpus(0, chains=1, side_facts=1.0).of(2)
