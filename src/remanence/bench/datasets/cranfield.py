"""The Cranfield collection (Cleverdon, 1967): 1,400 abstracts on aerodynamics, 225 queries, relevance judgments."""

from __future__ import annotations

import re
from pathlib import Path

from remanence.bench.datasets._files import find, missing
from remanence.bench.datasets._model import Corpus, Dataset, Document, Question
from remanence.core.card import EntryCard
from remanence.core.errors import ImportFormatError

CARD = EntryCard(
    slug="cranfield",
    kind="benchmark",
    title="Cranfield, relevant abstracts",
    paper="",
    about="Abstracts on aerodynamics; finds those judged relevant to a query.",
)
NAME = CARD.slug

_SPACE = re.compile(r"\s+")


def load(data_dir: Path) -> Dataset:
    """Read `cran.all.1400.xml`, `cran.qry.xml` and `cranqrel.trec.txt`.

    Judgments number the queries 1 to 225 by position, not by the `<num>` in the query file. Any positive grade is
    relevant (one line says 3). Abstracts repeat their title at the start; it is kept once, as the title. Two documents
    are empty.
    """
    documents_at = find(data_dir, "cranfield", "cran.all.1400.xml")[0]
    folder = documents_at.parent
    for name in ("cran.qry.xml", "cranqrel.trec.txt"):
        if not (folder / name).is_file():
            raise missing(data_dir, f"cranfield/{name}")
    # Not an XML parser: the file of documents has no root element.
    texts = [_document(entry) for entry in _entries(documents_at, "doc")]
    queries = [_field(entry, "title") for entry in _entries(folder / "cran.qry.xml", "top")]
    gold = _judgments(folder / "cranqrel.trec.txt", len(queries))
    return Dataset(
        name=NAME,
        title=CARD.title,
        corpora=(Corpus(NAME, tuple(texts)),),
        questions=tuple(
            Question(id=str(number), corpus=NAME, text=query, gold=frozenset(gold[number]), category="all")
            for number, query in enumerate(queries, start=1)
            if gold[number]
        ),
        licence="freely available research collection, no licence stated",
        notes="Binary gains. Gold sets hold seven documents on average, so recall@1 cannot be high.",
    )


def _document(entry: str) -> Document:
    title, text = _field(entry, "title"), _field(entry, "text")
    return Document(id=_field(entry, "docno"), text=text.removeprefix(title).strip(), title=title or None)


def _judgments(path: Path, queries: int) -> dict[int, set[str]]:
    gold: dict[int, set[str]] = {number: set() for number in range(1, queries + 1)}
    for line_number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        columns = line.split()
        if not columns:
            continue
        try:
            query, _, document, grade = columns
            if int(grade) > 0:
                gold[int(query)].add(document)
        except (ValueError, KeyError) as error:
            raise ImportFormatError(f"{path.name}, line {line_number}: {line!r} is not a judgment") from error
    return gold


def _entries(path: Path, tag: str) -> list[str]:
    return re.findall(rf"<{tag}>(.*?)</{tag}>", path.read_text(encoding="utf-8"), re.DOTALL)


def _field(entry: str, tag: str) -> str:
    match = re.search(rf"<{tag}>(.*?)</{tag}>", entry, re.DOTALL)
    return _SPACE.sub(" ", match[1]).strip() if match else ""
