from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remanence.kernels import names as module
from remanence.kernels.names import name_key, names


def naive_runs(text: str) -> list[tuple[int, int]]:
    """Runs of capitalised words, one character at a time."""

    def at(position: int) -> str:
        return text[position] if 0 <= position < len(text) else "\0"

    def wordlike(position: int) -> bool:
        return at(position).isalnum() or at(position) == "_"

    def upper(position: int) -> bool:
        return at(position).isupper() and at(position) < "\u0530"

    def word_end(start: int) -> int:
        end = start + 1
        while at(end) == "." and upper(end + 1):
            end += 2
        if end > start + 1 and wordlike(end):
            end -= 2
        if end > start + 1:
            end += at(end) == "." and at(end + 1) == " "
        else:
            end = start + 1
            while wordlike(end):
                end += 1
        while at(end) in "-'’&" and upper(end + 1):
            end += 2
            while wordlike(end):
                end += 1
        before = end - 1
        while before >= 0 and wordlike(before):
            before -= 1
        last = text[before + 1 : end]
        titled = last in ("Mr", "Dr", "Mrs", "Mss", "St") or (len(last) == 1 and upper(end - 1))
        return end + (titled and at(end) == "." and at(end + 1) == " ")

    links = "of de la le du da del di van von der den bin al el y &".split()
    runs, position = [], 0
    while position < len(text):
        if not upper(position):
            position += 1
            continue
        start, end = position, word_end(position)
        while at(end) == " ":
            words = text[end + 1 :].split(" ", 2)
            skip = 0
            if words[0] in links and not upper(end + 1) and len(words) > 1:
                skip = len(words[0]) + 1
                if words[1] in ("the", "la", "los", "der") and len(words) > 2:
                    skip += len(words[1]) + 1
            if not upper(end + 1 + skip):
                break
            end = word_end(end + 1 + skip)
        runs.append((start, end))
        position = end
    return runs


PIECES = st.sampled_from(
    """Ana Ana's ana Will will O'Brien Jean-Luc Dr. Mr. St. J.K. J. K. U.S. NASA AT&T iPhone LangGraph GPT4 I I'm Don't
    Don of the la von van y & University Oslo New York New Great Reef The Name May Monday Self-care Łódź Øystein Éa 猫
    @ana Monday. A a b, ( : "Hello "Little Women" won’t ’Tis - ... X. Ms. Mss. Y_z _Q 3D""".split()
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(st.tuples(PIECES, st.sampled_from([" ", " ", " ", "", "  ", "\n"])), max_size=10))
def test_pattern_equals_naive_scan(pieces: list[tuple[str, str]]) -> None:
    text = "".join(piece + gap for piece, gap in pieces)
    assert [match.span() for match in module._runs(module._UPPER).finditer(text)] == naive_runs(text)
    plain = "".join(c for c in text if c.isascii())
    assert [match.span() for match in module._ASCII_RUNS.finditer(plain)] == naive_runs(plain)


@settings(max_examples=300)
@given(st.text(max_size=60))
def test_any_text_is_read(text: str) -> None:
    found = names(text)
    assert len({name_key(name) for name in found}) == len(found)
    assert all(name_key(name) for name in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("nothing here", []),
        ("Ana moved to Bergen", ["Ana", "Bergen"]),
        ("Yesterday Ana and Bob left. Then Carla came.", ["Ana", "Bob", "Carla"]),
        ("What did Caroline tell Melanie on Friday in May?", ["Caroline", "Melanie"]),
        ("Did Caroline's brother go?", ["Caroline"]),
        ("Hey Mel! Good to see you, Jo.", ["Mel", "Jo"]),
        # an ordinary word alone counts inside a sentence only
        ("Will you come?", []),
        ("I met Will there", ["Will"]),
        ("Reading is fun. We drove to Reading", ["Reading"]),
        ("We may meet in May", []),
        # runs
        ("He studied at the University of Oslo in Norway", ["University of Oslo", "Norway"]),
        ("we read The Lord of the Rings by J. R. R. Tolkien", ["Lord of the Rings", "J. R. R. Tolkien"]),
        ("J.K. Rowling wrote it", ["J.K. Rowling"]),
        ("Dr. Smith met Mrs. Jones. Ana did not", ["Dr. Smith", "Mrs. Jones", "Ana"]),
        ("New York is big, and so is the Great Barrier Reef", ["New York", "Great Barrier Reef"]),
        ("Great Barrier Reef", ["Great Barrier Reef"]),
        ("Jean-Luc O'Brien and Łódź", ["Jean-Luc O'Brien", "Łódź"]),
        ("Ana, Bob & Carla", ["Ana", "Bob & Carla"]),
        ("Ana met Ana", ["Ana"]),
        # acronyms, inner capitals
        ("NASA and the LGBTQ group", ["NASA", "LGBTQ"]),
        ("my iPhone runs LangGraph and GPT4", ["iPhone", "LangGraph", "GPT4"]),
        ("I AM SO VERY HAPPY, this is AMAZING and WOW", []),
        # contractions, hyphens, drawn-out interjections
        ("Don't go. Won't you? Self-care matters. Awwww nice", []),
        ("I'm sure I've told you", []),
        # handles and quoted titles
        ("ask @ana.b or mail x@example.com", ["@ana.b"]),
        ('I loved "Charlotte\'s Web" and “Nothing is Impossible”', ["Charlotte's Web", "Nothing is Impossible"]),
        ('She said "I will come" and "Why not?"', []),
        ("我最喜欢《三体》", ["三体"]),
        ('他说的是"亚瑟士"', ["亚瑟士"]),
        ("\ud800 Ana \x00", ["Ana"]),
    ],
)
def test_names(text: str, expected: list[str]) -> None:
    assert names(text) == expected


def test_a_name_is_found_in_question_and_answer_alike() -> None:
    for question, turn in [
        ("What did Melanie paint?", "Melanie: I painted a lake"),
        ("When did Jon visit New York?", "New York was great"),
        ("Who wrote The Name of the Wind?", 'Just finished "The Name of the Wind"'),
        ("Is Zoë back?", "ZOE is back"),
    ]:
        asked = {name_key(name) for name in names(question)}
        told = {name_key(name) for name in names(turn)}
        assert any(set(a.split()) <= set(b.split()) or set(b.split()) <= set(a.split()) for a in asked for b in told)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Ana", "ana"),
        ("ANA’s", "ana"),
        ("Dr. Ana-Léa's", "ana lea"),
        ("O'Brien", "obrien"),
        ("@ana.b", "anab"),
        ("J.K. Rowling", "jk rowling"),
        ("  Łódź ", "lodz"),
        ("Dr", "dr"),
        ("三体", "三体"),
        ("!!", ""),
    ],
)
def test_name_key(name: str, key: str) -> None:
    assert name_key(name) == key == name_key(key)


def test_long_texts_take_linear_time() -> None:
    for unit in ("A ", "A.", "A-", "Ana of ", '"Ana ', "@a.", "Ana's ", "iA"):
        names(unit * 10_000)
