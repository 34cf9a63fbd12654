"""The default embedder: one table row per token, added up. No model runs, nothing is downloaded.

The table was distilled from a sentence transformer by `tools/distill_static_embedder.py`; see `data/*/PROVENANCE.md`
for where it comes from and `docs/design/embedder.md` for what it is worth.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import EmbeddingError
from remanence.kernels.related import Relatives
from remanence.kernels.wordpiece import WordPiece
from remanence.substrates.embedding import EmbeddingKind, EmbeddingSpace

__all__ = ["StaticEmbedder", "table_fingerprint"]

DEFAULT_TABLE = Path(__file__).parent / "data" / "minilm-l6-static-256"
TABLE_FILES = ("table.npy", "scales.npy", "vocab.txt")

# Rows gathered at once: 1,024 rows of 256 float32 are 1 MB and stay in the cache until they are added up.
_CHUNK_TOKENS = 1_024


def relatives_of(folder: Path) -> Path:
    """The file beside a table with the related words that `tools/relate_words.py` worked out."""
    return folder.with_name(f"{folder.name}.related.npz")


def table_fingerprint(folder: Path) -> str:
    """SHA-256 over the files that decide the vectors, in hexadecimal."""
    digest = hashlib.sha256()
    for name in TABLE_FILES:
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _space(config)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EmbeddingError(f"no usable static table in {folder}: {error}; reinstall remanence") from error
    return config


def _space(config: dict[str, Any]) -> EmbeddingSpace:
    return EmbeddingSpace(f"{config['name']}@{config['fingerprint'][:16]}", int(config["dim"]))


@dataclass(frozen=True, slots=True)
class _Loaded:
    codes: NDArray[np.int8]
    scales: NDArray[np.float32]
    tokenizer: WordPiece


class StaticEmbedder:
    """Sum of int8 token rows times their scales, brought to length 1.

    The constructor touches no disk; the table is mapped into memory at the first `embed`. One object may be used by
    many threads. A token's scale carries its weight: frequent words count little, unknown ones not at all.

    Args:
        folder: a table in the format of `tools/distill_static_embedder.py`; the one that ships with the package if
            left out.

    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self._folder = DEFAULT_TABLE if folder is None else Path(folder)
        self._known_space: EmbeddingSpace | None = None
        self._loaded: _Loaded | None = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        # To another process goes where the table is, not the table; the one that ships lies elsewhere there.
        return (StaticEmbedder, (None if self._folder == DEFAULT_TABLE else self._folder,))

    @property
    def space(self) -> EmbeddingSpace:
        """Name and hash of the table, and its dimension; read from its small config file, not from the table."""
        if self._known_space is None:
            self._known_space = _space(_config(self._folder))
        return self._known_space

    @property
    def inline(self) -> bool:
        """Plain arithmetic: True."""
        return True

    def verify(self) -> None:
        """Compare the table with the fingerprint in its config (reads all of it, about 10 ms).

        Raises:
            EmbeddingError: the files are not those that the fingerprint names.

        """
        expected, found = _config(self._folder)["fingerprint"], table_fingerprint(self._folder)
        if expected != found:
            raise EmbeddingError(f"{self._folder} has fingerprint {found}, not {expected}; reinstall remanence")

    def embed(self, texts: Sequence[str], *, kind: EmbeddingKind = "passage") -> NDArray[np.float32]:
        """Vectors float32 [len(texts), dim]; `kind` makes no difference."""
        loaded = self._load()
        ids, lengths = loaded.tokenizer.encode_many(texts)
        sums = _text_sums(loaded, np.asarray(ids, dtype=np.intp), lengths)
        norms = np.sqrt(np.einsum("ij,ij->i", sums, sums))
        norms[norms == 0] = 1.0
        sums /= norms[:, None]
        return sums

    def words(self) -> tuple[list[str], NDArray[np.float32]]:
        """The whole words of the vocabulary in lower case, most frequent first, and their vectors [words, dim]."""
        loaded = self._load()
        tokens = loaded.tokenizer.tokens
        rows = [row for row, token in enumerate(tokens) if len(token) > 1 and token.isalpha()]
        # A word that is a token of its own: `embed` would add up this one row.
        vectors = np.multiply(loaded.codes[rows], loaded.scales[rows, None], dtype=np.float32)
        vectors /= np.maximum(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)), np.float32(1e-30))[:, None]
        return [tokens[row] for row in rows], vectors

    def relatives(self, analyzer: str) -> Relatives | None:
        """The related words of this very table for an analyzer of this fingerprint, where they were worked out."""
        path = relatives_of(self._folder)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                if bytes(arrays["made_for"]).decode() != f"{_config(self._folder)['fingerprint']} {analyzer}":
                    return None
                terms = tuple(bytes(arrays["terms"]).decode().split("\n"))
                return Relatives(terms, arrays["starts"], arrays["near"], arrays["cosines"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError) as error:
            raise EmbeddingError(f"{path} cannot be read: {error}; reinstall remanence") from error

    def _load(self) -> _Loaded:
        loaded = self._loaded
        if loaded is None:
            with self._lock:
                loaded = self._loaded
                if loaded is None:
                    loaded = self._loaded = _read(self._folder, self.space.dim)
        return loaded


def _read(folder: Path, dim: int) -> _Loaded:
    try:
        codes = np.load(folder / "table.npy", mmap_mode="r", allow_pickle=False)
        scales = np.load(folder / "scales.npy", allow_pickle=False)
        vocab = (folder / "vocab.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, ValueError) as error:
        raise EmbeddingError(f"the static table in {folder} cannot be read: {error}; reinstall remanence") from error
    if codes.dtype != np.int8 or codes.shape != (len(vocab), dim) or scales.shape != (len(vocab),):
        raise EmbeddingError(
            f"the static table in {folder} is inconsistent: table {codes.dtype} {codes.shape}, scales {scales.shape}, "
            f"{len(vocab)} tokens, dim {dim}; reinstall remanence"
        )
    return _Loaded(codes, scales.astype(np.float32), WordPiece(vocab))


def _text_sums(loaded: _Loaded, tokens: NDArray[np.intp], lengths: Sequence[int]) -> NDArray[np.float32]:
    """Sum of the scaled rows of each text, float32 [len(lengths), dim].

    Rows are added one after the other in float32, without BLAS: the sum of a text has the same bits whatever else is
    in the batch, and on every machine.
    """
    sums = np.zeros((len(lengths), loaded.codes.shape[1]), dtype=np.float32)
    rows = np.zeros((0, sums.shape[1]), dtype=np.float32)
    begin = low = high = 0  # `rows` holds those of tokens[low:high]
    for total, length in zip(sums, lengths, strict=True):
        end = begin + length
        # A text is cut at multiples counted from its own start, never where the buffer happens to end.
        for start in range(begin, end, _CHUNK_TOKENS):
            stop = min(start + _CHUNK_TOKENS, end)
            if stop > high:
                low, high = start, min(start + _CHUNK_TOKENS, len(tokens))
                chunk = tokens[low:high]
                rows = np.multiply(loaded.codes[chunk], loaded.scales[chunk, None], dtype=np.float32)
            total += np.add.reduce(rows[start - low : stop - low], axis=0)
        begin = end
    return sums
