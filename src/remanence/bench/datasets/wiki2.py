"""2WikiMultihopQA (Ho et al., 2020, arXiv:2011.01060), passages and questions as HippoRAG uses them."""

from __future__ import annotations

from pathlib import Path

from remanence.bench.datasets._files import find, missing, read_json
from remanence.bench.datasets._model import Corpus, Dataset, Document, Question
from remanence.core.card import EntryCard

CARD = EntryCard(
    slug="wiki2",
    kind="benchmark",
    title="2WikiMultihopQA, gold passages",
    paper="",
    about="Questions over two and four passages of Wikipedia; finds all of them.",
)
NAME = "2wiki"


def load(data_dir: Path) -> Dataset:
    """Read `corpus.json` and every `questions_gold*.json` under `hipporag/2wikimultihopqa`.

    Document ids are positions in the corpus, which is what `gold_doc_idx` names.
    """
    questions_at = find(data_dir, "hipporag/2wikimultihopqa", "questions_gold*.json")
    corpus_at = questions_at[0].parent / "corpus.json"
    if not corpus_at.is_file():
        raise missing(data_dir, "hipporag/2wikimultihopqa/corpus.json")
    documents = tuple(
        Document(id=str(position), text=row["text"], title=row["title"])
        for position, row in enumerate(read_json(corpus_at))
    )
    questions = {
        row["id"]: Question(
            id=row["id"],
            corpus=NAME,
            text=row["question"],
            gold=frozenset(str(position) for position in row["gold_doc_idx"]),
            category=row["question_type"].replace("_", "-"),
        )
        for path in questions_at
        for row in read_json(path)
        if row["gold_doc_idx"]
    }
    return Dataset(
        name=NAME,
        title=CARD.title,
        corpora=(Corpus(NAME, documents),),
        questions=tuple(questions.values()),
        licence="Apache-2.0",
        notes="Gold passages are derived from gold triples by title, good to one or two points.",
    )
