"""Generated conversations at the hard level: gold paraphrases its question, other turns repeat the question's words."""

from __future__ import annotations

from pathlib import Path

from remanence.bench.datasets._model import Corpus, Dataset, Document, Question
from remanence.core.card import EntryCard
from remanence.scenarios.dialogues import Dialogue, generate

CARD = EntryCard(
    slug="dialogues",
    kind="benchmark",
    title="Generated dialogues (hard), evidence turns",
    paper="",
    about="People who change their minds over months; finds the turns that prove an answer and not those that seem to.",
)
NAME = CARD.slug
GENERATED = True
SEEDS = (5000, 5001, 5002, 5003)
"""None of them was learnt from or looked at while the engine was made."""
SESSIONS = 24


def load(data_dir: Path | None = None) -> Dataset:
    """Generate one conversation per seed, as it would be remembered; the category is the kind of question."""
    dialogues = [generate(seed, sessions=SESSIONS, hardness="hard") for seed in SEEDS]
    return Dataset(
        name=NAME,
        title=CARD.title,
        corpora=tuple(Corpus(_name(one), tuple(_documents(one))) for one in dialogues),
        questions=tuple(question for one in dialogues for question in _questions(one)),
        licence="generated",
        notes="The engine's weights were learnt on other conversations of this generator, among much else.",
    )


def _name(dialogue: Dialogue) -> str:
    return f"hard-{dialogue.seed}"


def _documents(dialogue: Dialogue) -> list[Document]:
    return [
        Document(turn.id, turn.text, speaker=turn.speaker, session=turn.session, event_at=turn.at)
        for turn in dialogue.turns
    ]


def _questions(dialogue: Dialogue) -> list[Question]:
    return [
        Question(
            id=f"{dialogue.seed}-{question.id}",
            corpus=_name(dialogue),
            text=question.text,
            gold=frozenset(question.gold),
            category=question.category,
            now=question.now,
            answerable=bool(question.gold),
        )
        for question in dialogue.questions
    ]
