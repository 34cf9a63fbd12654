from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from remanence.core.errors import EmbeddingError
from remanence.kernels.wordpiece import encode_naive
from remanence.stores.embedders import static
from remanence.stores.embedders.static import DEFAULT_TABLE, StaticEmbedder

TABLE_FILES = {"table.npy", "scales.npy", "vocab.txt", "config.json", "LICENSE", "PROVENANCE.md"}


@pytest.fixture(scope="module")
def embedder() -> StaticEmbedder:
    return StaticEmbedder()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Five tokens in three dimensions, so that every sum can be worked out by hand."""
    folder = tmp_path / "table"
    folder.mkdir()
    np.save(folder / "table.npy", np.array([[9, 9, 9], [1, 0, 0], [0, 2, 0], [0, 0, 4], [-1, 0, 0]], dtype=np.int8))
    np.save(folder / "scales.npy", np.array([0.0, 3.0, 2.0, 0.25, 3.0], dtype=np.float32))
    (folder / "vocab.txt").write_text("[UNK]\na\nb\n##c\nd\n", encoding="utf-8")
    config = {"name": "tiny", "dim": 3, "fingerprint": static.table_fingerprint(folder)}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def by_hand(embedder: StaticEmbedder, text: str) -> NDArray[np.float64]:
    folder = embedder._folder
    vocab = (folder / "vocab.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    codes = np.load(folder / "table.npy").astype(np.float64)
    scales = np.load(folder / "scales.npy").astype(np.float64)
    total = np.zeros(codes.shape[1])
    for index in encode_naive(text, vocab):
        total += codes[index] * scales[index]
    length = float(np.linalg.norm(total))
    return total / length if length else total


def test_vectors_are_normalised_sums_of_scaled_rows(table: Path) -> None:
    vectors = StaticEmbedder(table).embed(["a b", "ac", "a a b", "zzz", "", "a zzz", "a d"])
    expected = [[3, 4, 0], [3, 0, 1], [6, 4, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]]
    lengths = np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1)
    np.testing.assert_allclose(vectors, expected / lengths, rtol=1e-6)


def test_shipped_table_agrees_with_the_sum_by_hand(embedder: StaticEmbedder) -> None:
    texts = ["I moved from Lisbon to Oslo", "Größe, café & 我们 👍", "supercalifragilistic", "the the the"]
    for text, vector in zip(texts, embedder.embed(texts), strict=True):
        np.testing.assert_allclose(vector, by_hand(embedder, text), atol=2e-6)


def test_meaning_is_near(embedder: StaticEmbedder) -> None:
    def cosine(left: str, right: str) -> float:
        first, second = embedder.embed([left, right])
        return float(first @ second)

    assert cosine("My dog is sick", "the puppy needs a vet") > cosine("My dog is sick", "the stock market fell") + 0.15
    assert cosine("Where does Ana live?", "Ana moved to Bergen") > cosine("Where does Ana live?", "I like jazz") + 0.1
    # A bag of tokens: order is invisible, frequent words hardly count.
    assert cosine("dog bites man", "man bites dog") == pytest.approx(1.0)
    assert cosine("guitar", "the guitar is in the") > 0.8


def test_neighbours_in_a_batch_do_not_change_a_bit(embedder: StaticEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    long = " ".join(["guitar lessons on monday"] * 700)
    texts = ["short", "", long, "another one here", long + " end", "last"]
    together = embedder.embed(texts)
    for text, row in zip(texts, together, strict=True):
        assert (embedder.embed([text])[0] == row).all()
    assert (embedder.embed(texts * 40)[-len(texts) :] == together).all()
    np.testing.assert_allclose(together[2], by_hand(embedder, long), atol=1e-5)


@pytest.mark.parametrize("text", ["", "\x00", "\ud800", "  \n ", "🜲", "\u0301"])
def test_text_without_known_tokens_gets_zeros(embedder: StaticEmbedder, text: str) -> None:
    assert not embedder.embed([text]).any()


def test_a_megabyte_of_anything(embedder: StaticEmbedder) -> None:
    for text in ("word " * 200_000, "我" * 300_000, "x" * 1_000_000, "\x00" * 1_000_000):
        vector = embedder.embed([text])[0]
        assert np.isfinite(vector).all()
        assert float(np.linalg.norm(vector)) == pytest.approx(1.0, abs=1e-5) or not vector.any()


def test_the_constructor_touches_no_disk(tmp_path: Path) -> None:
    missing = StaticEmbedder(tmp_path / "nowhere")
    assert missing.inline
    with pytest.raises(EmbeddingError, match=r"no usable static table in .*nowhere"):
        missing.embed(["x"])
    with pytest.raises(EmbeddingError, match="no usable static table"):
        _ = missing.space


def test_space_comes_from_the_config_alone(table: Path) -> None:
    (table / "table.npy").unlink()
    embedder = StaticEmbedder(table)
    assert embedder.space.dim == 3
    assert embedder.space.fingerprint.startswith("tiny@")
    with pytest.raises(EmbeddingError, match="cannot be read"):
        embedder.embed(["a"])


def test_threads_load_the_table_once(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[Path] = []
    read = static._read

    def counted(folder: Path, dim: int) -> static._Loaded:
        loads.append(folder)
        return read(folder, dim)

    monkeypatch.setattr(static, "_read", counted)
    embedder = StaticEmbedder(table)
    gate = threading.Barrier(8)
    results: list[NDArray[np.float32]] = []

    def work() -> None:
        gate.wait()
        results.append(embedder.embed(["a b", "c a"]))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert len(results) == 8
    assert all((result == results[0]).all() for result in results)


def test_damage_is_found(table: Path, tmp_path: Path) -> None:
    StaticEmbedder(table).verify()
    changed = tmp_path / "changed"
    shutil.copytree(table, changed)
    np.save(changed / "scales.npy", np.ones(5, dtype=np.float32))
    with pytest.raises(EmbeddingError, match="has fingerprint"):
        StaticEmbedder(changed).verify()
    np.save(changed / "scales.npy", np.ones(4, dtype=np.float32))
    with pytest.raises(EmbeddingError, match=r"inconsistent: table int8 \(5, 3\), scales \(4,\), 5 tokens"):
        StaticEmbedder(changed).embed(["a"])
    (changed / "table.npy").write_bytes(b"not numpy")
    with pytest.raises(EmbeddingError, match="cannot be read"):
        StaticEmbedder(changed).embed(["a"])


@pytest.mark.parametrize("content", ["{", "[]", '{"name": "x"}', '{"name": "x", "dim": "?", "fingerprint": "00"}'])
def test_unusable_configs_are_typed_errors(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(EmbeddingError, match="no usable static table"):
        _ = StaticEmbedder(tmp_path).space


def test_what_ships(embedder: StaticEmbedder) -> None:
    assert {path.name for path in DEFAULT_TABLE.iterdir()} == TABLE_FILES
    assert sum(path.stat().st_size for path in DEFAULT_TABLE.iterdir()) < 10_000_000
    embedder.verify()
    config = json.loads((DEFAULT_TABLE / "config.json").read_text(encoding="utf-8"))
    assert config["license"] == "Apache-2.0"
    assert config["source"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert "Apache License" in (DEFAULT_TABLE / "LICENSE").read_text(encoding="utf-8")
    assert (config["name"], config["dim"]) == ("minilm-l6-static-256", 256)
    assert embedder.space.fingerprint == f"minilm-l6-static-256@{config['fingerprint'][:16]}"


def test_words_are_whole_and_have_the_vectors_that_embedding_gives(embedder: StaticEmbedder, table: Path) -> None:
    words, vectors = embedder.words()
    assert 15_000 < len(words) == len(set(words))
    assert words[:3] == ["the", "of", "and"]
    assert not [word for word in words if word.startswith(("#", "[")) or not word.isalpha()]
    assert vectors.shape == (len(words), 256)
    np.testing.assert_array_equal(vectors[[5, 500]], embedder.embed([words[5], words[500]]))
    assert StaticEmbedder(table).words()[0] == []


def test_the_table_is_mapped_not_read(embedder: StaticEmbedder) -> None:
    embedder.embed(["warm"])
    assert embedder._loaded is not None
    assert isinstance(embedder._loaded.codes, np.memmap)
