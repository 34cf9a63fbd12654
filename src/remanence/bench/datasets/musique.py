"""MuSiQue (Trivedi et al., 2022, arXiv:2108.00573), the 100 training questions that HippoRAG was tuned on."""

from __future__ import annotations

from pathlib import Path

from remanence.bench.datasets._files import find, missing, read_json
from remanence.bench.datasets._model import Corpus, Dataset, Document, Question
from remanence.core.card import EntryCard
from remanence.core.errors import ImportFormatError

CARD = EntryCard(
    slug="musique",
    kind="benchmark",
    title="MuSiQue (training questions), supporting paragraphs",
    paper="",
    about="Questions of two to four hops; finds every supporting paragraph.",
)
NAME = CARD.slug


def load(data_dir: Path) -> Dataset:
    """Read every `musique*.json` that has a `…_corpus.json` beside it; each pair is a corpus.

    Titles repeat, so paragraphs are matched to passages by title and text. The category is the number of hops.
    """
    corpora: list[Corpus] = []
    questions: list[Question] = []
    for path in find(data_dir, "hipporag", "musique*.json"):
        corpus_at = path.with_name(f"{path.stem}_corpus.json")
        if not corpus_at.is_file():
            continue
        rows = read_json(corpus_at)
        at = {(row["title"], row["text"]): str(position) for position, row in enumerate(rows)}
        documents = (Document(id=str(n), text=row["text"], title=row["title"]) for n, row in enumerate(rows))
        corpora.append(Corpus(path.stem, tuple(documents)))
        for row in read_json(path):
            support = [part for part in row["paragraphs"] if part["is_supporting"]]
            try:
                gold = frozenset(at[part["title"], part["paragraph_text"]] for part in support)
            except KeyError as error:
                raise ImportFormatError(f"{corpus_at.name} lacks the paragraph {error} of {row['id']}") from error
            hops = row["id"].partition("hop")[0] + "hop"
            questions.append(Question(row["id"], path.stem, row["question"], gold, category=hops))
    if not corpora:
        raise missing(data_dir, "hipporag/musique_train_corpus.json")
    return Dataset(
        name=NAME,
        title=CARD.title,
        corpora=tuple(corpora),
        questions=tuple(questions),
        licence="CC BY 4.0",
        notes="100 questions: intervals are wide.",
    )
