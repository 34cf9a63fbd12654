from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from remanence.core.errors import EmbeddingError
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.related import RelatedTerms
from remanence.stores.embedders.static import DEFAULT_TABLE, StaticEmbedder, relatives_of


def test_what_ships_is_what_would_be_worked_out() -> None:
    embedder, analyzer = StaticEmbedder(), Analyzer()
    shipped = embedder.relatives(analyzer.fingerprint)
    assert shipped is not None, "run tools/relate_words.py"
    assert relatives_of(DEFAULT_TABLE).stat().st_size < 1_000_000
    ready = RelatedTerms(embedder.words, analyzer, ready=lambda _: shipped)
    computed = RelatedTerms(embedder.words, analyzer)
    for term in (*shipped.terms[::40], "dog", "wed", "unheardof", ""):
        assert ready(term) == ready(term) == computed(term)
    assert dict(ready("marriag"))["wed"] > 0.6


def test_ready_answers_spare_the_table() -> None:
    embedder, analyzer = StaticEmbedder(), Analyzer()

    def table() -> None:
        raise AssertionError("the table was read")

    ready = RelatedTerms(table, analyzer, ready=embedder.relatives)  # type: ignore[arg-type]
    assert ready("dog")
    with pytest.raises(AssertionError, match="the table was read"):
        ready.naive("dog")


def test_other_analyzers_tables_and_limits_get_their_own_answers(tmp_path: Path) -> None:
    embedder, analyzer = StaticEmbedder(), Analyzer("german")
    assert embedder.relatives(analyzer.fingerprint) is None
    assert RelatedTerms(embedder.words, analyzer, ready=embedder.relatives)("hund") is not None
    copied = tmp_path / DEFAULT_TABLE.name
    shutil.copytree(DEFAULT_TABLE, copied)
    assert StaticEmbedder(copied).relatives(Analyzer().fingerprint) is None
    few = RelatedTerms(embedder.words, Analyzer(), most=1, ready=embedder.relatives)
    assert len(few("marriag")) == 1


def test_a_damaged_file_is_a_typed_error(tmp_path: Path) -> None:
    copied = tmp_path / DEFAULT_TABLE.name
    shutil.copytree(DEFAULT_TABLE, copied)
    relatives_of(copied).write_bytes(b"no arrays")
    with pytest.raises(EmbeddingError, match="reinstall"):
        StaticEmbedder(copied).relatives(Analyzer().fingerprint)
    np.savez(relatives_of(copied), other=np.zeros(1))
    with pytest.raises(EmbeddingError, match="reinstall"):
        StaticEmbedder(copied).relatives(Analyzer().fingerprint)
