"""A small data set that the tests of the bench make up themselves."""

from __future__ import annotations

from remanence.bench.datasets import Corpus, Dataset, Document, Question


def document(identity: str, text: str, speaker: str | None = "Ana") -> Document:
    return Document(identity, text, speaker=speaker, session="s")


def small() -> Dataset:
    first = Corpus(
        "one",
        (
            document("a", "The dogs were running by the river"),
            document("b", "Rivers and lakes", "Bo"),
            document("c", "I run a bakery in Lisbon"),
            document("d", "ok"),
        ),
    )
    second = Corpus(
        "two", (document("a", "Cats sleep"), document("b", "My cat is called Miso"), document("c", "Bread"))
    )
    questions = (
        Question("q0", "one", "Which dog runs by rivers?", frozenset({"a"}), "easy"),
        Question("q1", "one", "bakery", frozenset({"c", "d"}), "hard"),
        Question("q2", "two", "Miso the cat", frozenset({"b"}), "easy", newest="b", older=frozenset({"a"})),
        Question("q3", "two", "Whose parrot sang?", frozenset({"c"}), "trick", answerable=False),
        Question("q4", "two", "Who said nothing?", frozenset(), "trick", answerable=False),
    )
    return Dataset("small", (first, second), questions, licence="none", notes="Made up.", title="Small")
