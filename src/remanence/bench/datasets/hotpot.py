"""HotpotQA (Yang et al., 2018, arXiv:1809.09600), 100 training questions over their pooled passages."""

from __future__ import annotations

from pathlib import Path

from remanence.bench.datasets._files import find, missing, read_json
from remanence.bench.datasets._model import Corpus, Dataset, Document, Question
from remanence.core.card import EntryCard

CARD = EntryCard(
    slug="hotpot",
    kind="benchmark",
    title="HotpotQA (training questions), supporting passages",
    paper="",
    about="Questions that need two passages; finds both among the pooled passages.",
)
NAME = CARD.slug


def load(data_dir: Path) -> Dataset:
    """Read every `hotpotqa*.json` that has a `…_corpus.json` beside it; passages are known by their titles.

    Gold is at passage level: the titles among the supporting facts.
    """
    corpora: list[Corpus] = []
    questions: list[Question] = []
    for path in find(data_dir, "hipporag", "hotpotqa*.json"):
        corpus_at = path.with_name(f"{path.stem}_corpus.json")
        if not corpus_at.is_file():
            continue
        passages = read_json(corpus_at)
        documents = (Document(id=title, text="".join(lines).strip(), title=title) for title, lines in passages.items())
        corpora.append(Corpus(path.stem, tuple(documents)))
        questions.extend(
            Question(
                id=row["_id"],
                corpus=path.stem,
                text=row["question"],
                gold=frozenset(title for title, _ in row["supporting_facts"] if title in passages),
                category=row["type"],
            )
            for row in read_json(path)
        )
    if not corpora:
        raise missing(data_dir, "hipporag/hotpotqa_train_corpus.json")
    return Dataset(
        name=NAME,
        title=CARD.title,
        corpora=tuple(corpora),
        questions=tuple(questions),
        licence="CC BY-SA 4.0",
        notes="100 questions: intervals are wide.",
    )
