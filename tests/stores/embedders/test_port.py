from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from remanence.core.errors import EmbeddingError, InvalidInput
from remanence.stores.embedders import as_embedder
from remanence.stores.embedders.function import CallableEmbedder
from remanence.stores.embedders.openai import OpenAIEmbedder
from remanence.stores.embedders.sentence_transformers import SentenceTransformersEmbedder
from remanence.stores.embedders.static import StaticEmbedder
from remanence.substrates.embedding import Embedder, EmbeddingSpace, HashEmbedder, normalised_rows

TEXTS = ["I moved to Bergen", "the weather in Oslo", "", "👩‍👩‍👧 \ud800 \x00", "I moved to Bergen"]


def shout(texts: list[str]) -> list[list[float]]:
    return [[float(len(text)), float(text.count("e")), 1.0] for text in texts]


def offline_embedders() -> list[Embedder]:
    return [StaticEmbedder(), HashEmbedder(), HashEmbedder(dim=3, seed=-5), CallableEmbedder(shout, "shout")]


@pytest.mark.parametrize("embedder", offline_embedders(), ids=lambda e: type(e).__name__)
def test_promises_of_the_port(embedder: Embedder) -> None:
    vectors = embedder.embed(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), embedder.space.dim)
    lengths = np.linalg.norm(vectors, axis=1)
    assert (np.isclose(lengths, 1, atol=1e-5) | (lengths == 0)).all()
    assert (vectors[0] == vectors[4]).all()
    for row, text in zip(vectors, TEXTS, strict=True):
        assert (embedder.embed([text])[0] == row).all()
        assert (embedder.embed([text], kind="query")[0] == row).all()
    assert embedder.embed([]).shape == (0, embedder.space.dim)


def test_space_key_names_model_and_dimension() -> None:
    assert EmbeddingSpace("model", 3).key == "model:3"
    keys = {embedder.space.key for embedder in offline_embedders()}
    assert len(keys) == 4


def test_hash_embedder_knows_words_and_seeds() -> None:
    embedder = HashEmbedder()
    near, far = embedder.embed(["Ana lives in Bergen"]), embedder.embed(["quarterly budget figures"])
    query = embedder.embed(["where in Bergen, Ana?"])
    assert float(query[0] @ near[0]) > float(query[0] @ far[0]) + 0.3
    assert embedder.embed(["Ana"]).tolist() == embedder.embed(["ana"]).tolist()
    assert not (HashEmbedder(seed=1).embed(TEXTS[:1]) == embedder.embed(TEXTS[:1])).all()
    # Known values: a change here would orphan every vector that was ever stored.
    assert embedder.embed(["Bergen"])[0].nonzero()[0].tolist() == [41]


def test_hash_embedder_refuses_no_dimension() -> None:
    with pytest.raises(InvalidInput, match="dim=0"):
        HashEmbedder(dim=0)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[1.0, 2.0]], r"shape \(1, 2\) for 2 texts"),
        ([[1.0, 2.0], [1.0]], "no matrix of numbers"),
        ([["a", "b"], ["c", "d"]], "no matrix of numbers"),
        ([1.0, 2.0], r"shape \(2,\) for 2 texts"),
        ([[1.0], [2.0]], "1 dimensions where 2 were promised"),
        ([[1.0, 2.0], [float("nan"), 1.0]], "NaN or an infinite value for text number 1"),
        ([[float("inf"), 2.0], [1.0, 1.0]], "NaN or an infinite value for text number 0"),
        (None, "no matrix of numbers|shape"),
    ],
)
def test_unusable_output_is_refused(vectors: object, message: str) -> None:
    with pytest.raises(EmbeddingError, match=message) as caught:
        normalised_rows(vectors, rows=2, dim=2, origin="the model")
    assert "the model" in str(caught.value)


@pytest.mark.parametrize("factor", [1e-300, 1e-30, 1.0, 1e30, 1e300])
def test_rows_of_any_size_get_length_one(factor: float) -> None:
    rows: NDArray[np.float64] = np.array([[3.0, 4.0], [0.0, 0.0]]) * factor
    expected = np.array([[0.6, 0.8], [0.0, 0.0]])
    np.testing.assert_allclose(normalised_rows(rows, rows=2, dim=None, origin="x"), expected, rtol=1e-6)


def test_callable_embedder_learns_its_dimension_once() -> None:
    calls: list[list[str]] = []

    def fn(texts: list[str]) -> NDArray[np.float64]:
        calls.append(texts)
        return np.ones((len(texts), 5))

    embedder = CallableEmbedder(fn, "five")
    assert calls == []
    assert embedder.space == embedder.space == EmbeddingSpace("callable:five", 5)
    assert len(calls) == 1
    assert not embedder.inline
    assert CallableEmbedder(fn, "five", dim=5, inline=True).inline
    with pytest.raises(EmbeddingError, match="5 dimensions where 4 were promised"):
        CallableEmbedder(fn, "five", dim=4).embed(["x"])


def test_callable_failures_are_typed_and_keep_their_cause() -> None:
    def fail(texts: list[str]) -> list[list[float]]:
        raise ConnectionError("no route")

    with pytest.raises(EmbeddingError, match="'broken' failed on 2 texts: ConnectionError: no route") as caught:
        CallableEmbedder(fail, "broken", dim=2).embed(["a", "b"])
    assert isinstance(caught.value.__cause__, ConnectionError)
    with pytest.raises(InvalidInput, match="needs a name"):
        CallableEmbedder(fail, "")
    with pytest.raises(InvalidInput, match="dim=0"):
        CallableEmbedder(fail, "x", dim=0)


def test_as_embedder_takes_what_callers_have() -> None:
    static = StaticEmbedder()
    assert as_embedder(static) is static
    assert isinstance(as_embedder("static"), StaticEmbedder)
    assert isinstance(as_embedder("hash"), HashEmbedder)
    assert isinstance(as_embedder("sentence-transformers:/models/x"), SentenceTransformersEmbedder)
    assert isinstance(as_embedder("openai:text-embedding-3-small"), OpenAIEmbedder)
    wrapped = as_embedder(shout)
    assert isinstance(wrapped, CallableEmbedder)
    assert wrapped.space.fingerprint.endswith(".shout")


@pytest.mark.parametrize("source", ["", "word2vec", "openai:", "openai", "sentence-transformers:", "hash:3", 7, None])
def test_as_embedder_names_the_choices(source: object) -> None:
    with pytest.raises(InvalidInput, match="'static', 'static:FOLDER', 'hash'"):
        as_embedder(source)  # type: ignore[arg-type]


def test_as_embedder_takes_any_object_with_the_port_and_does_not_use_it() -> None:
    class Loads:
        inline = False

        @property
        def space(self) -> EmbeddingSpace:
            raise AssertionError("read before it is needed")

        def embed(self, texts: list[str], *, kind: str = "passage") -> NDArray[np.float32]:
            raise AssertionError("used before it is needed")

    loads = Loads()
    assert as_embedder(loads) is loads  # type: ignore[arg-type, comparison-overlap]


def test_as_embedder_refuses_what_has_no_lasting_name() -> None:
    with pytest.raises(InvalidInput, match="CallableEmbedder"):
        as_embedder(lambda texts: shout(texts))
    with pytest.raises(InvalidInput, match="is a class; pass an object"):
        as_embedder(StaticEmbedder)  # type: ignore[arg-type]


def test_importing_embedders_loads_no_model_and_no_framework() -> None:
    code = (
        "import sys\n"
        "from remanence.stores.embedders import as_embedder\n"
        "for name in ('static', 'sentence-transformers:x', 'openai:x'):\n"
        "    as_embedder(name)\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'tokenizers', 'httpx', 'openai'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
