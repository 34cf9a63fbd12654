"""A neural sentence encoder through the sentence-transformers package (extra: `sentence-transformers`)."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import EmbeddingError, InvalidInput, MissingExtra
from remanence.substrates.embedding import EmbeddingKind, EmbeddingSpace, normalised_rows

__all__ = ["SentenceTransformersEmbedder"]


@dataclass(frozen=True, slots=True)
class _Loaded:
    model: Any
    prompts: dict[EmbeddingKind, str | None]
    space: EmbeddingSpace


class SentenceTransformersEmbedder:
    """Vectors of a sentence-transformers model; loaded at first need, not by the constructor.

    Queries and passages get the model's own prompts where it has them. The fingerprint covers the weights, the
    vocabulary and what else decides a vector, so the same model has the same one wherever its files lie.

    Args:
        model_name_or_path: a folder, or a name that the package may download unless `HF_HUB_OFFLINE=1` is set.
        device: `"cpu"`, `"cuda"` …; the package chooses if left out.
        batch_size: texts per forward pass.

    """

    def __init__(self, model_name_or_path: str, *, device: str | None = None, batch_size: int = 32) -> None:
        if not model_name_or_path:
            raise InvalidInput("no model: pass a folder or a name such as 'all-MiniLM-L6-v2'")
        if batch_size < 1:
            raise InvalidInput(f"batch_size={batch_size} must be at least 1")
        self._name = model_name_or_path
        self._device = device
        self._batch_size = batch_size
        self._loaded: _Loaded | None = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        # To another process goes which model it is, not its weights.
        settings: dict[str, Any] = {"device": self._device, "batch_size": self._batch_size}
        return (partial(SentenceTransformersEmbedder, **settings), (self._name,))

    @property
    def space(self) -> EmbeddingSpace:
        """Hash and dimension of the model; loads it."""
        return self._load().space

    @property
    def inline(self) -> bool:
        """A neural model has no place on the write path: False."""
        return False

    def embed(self, texts: Sequence[str], *, kind: EmbeddingKind = "passage") -> NDArray[np.float32]:
        """Vectors float32 [len(texts), dim]."""
        loaded = self._load()
        if not texts:
            return np.zeros((0, loaded.space.dim), dtype=np.float32)
        return self._encode(loaded.model, list(texts), loaded.prompts[kind], loaded.space.dim)

    def _encode(self, model: Any, texts: list[str], prompt: str | None, dim: int | None) -> NDArray[np.float32]:
        # Lone surrogates cannot cross into the tokenizer, which takes UTF-8.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        try:
            vectors = model.encode(
                clean, batch_size=self._batch_size, prompt_name=prompt, show_progress_bar=False, convert_to_numpy=True
            )
        except Exception as error:
            raise EmbeddingError(
                f"model {self._name!r} failed on {len(texts)} texts: {type(error).__name__}: {error}"
            ) from error
        return normalised_rows(vectors, rows=len(texts), dim=dim, origin=f"model {self._name!r}")

    def _load(self) -> _Loaded:
        if self._loaded is None:
            with self._lock:
                if self._loaded is None:
                    self._loaded = self._read()
        return self._loaded

    def _read(self) -> _Loaded:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingExtra(
                f"model {self._name!r} needs an optional package: pip install 'remanence[sentence-transformers]'"
            ) from error
        try:
            model = SentenceTransformer(self._name, device=self._device)
        except Exception as error:
            raise EmbeddingError(
                f"model {self._name!r} cannot be loaded: {type(error).__name__}: {error}; "
                "check the name or pass the folder that holds it"
            ) from error
        known = {name: text for name, text in model.prompts.items() if text}
        prompts: dict[EmbeddingKind, str | None] = {
            "query": "query" if "query" in known else None,
            "passage": next((name for name in ("passage", "document") if name in known), None),
        }
        dim = int(self._encode(model, ["dimension"], None, None).shape[1])
        return _Loaded(model, prompts, EmbeddingSpace(f"sentence-transformers@{_fingerprint(model)[:16]}", dim))


def _fingerprint(model: Any) -> str:
    """SHA-256 over what decides a vector: weights, vocabulary, modules with their pooling, prompts, length limit.

    Taken from the loaded model rather than from files or the config dictionaries, whose layout changes from one
    version of the package to the next while the vectors stay the same.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name}:{plain.dtype}:{tuple(plain.shape)};".encode())
        digest.update(plain.reshape(-1).view(_byte_type()).numpy().tobytes() if plain.numel() else b"")
    rest = {
        "vocabulary": sorted(model.tokenizer.get_vocab().items()),
        "modules": [[type(module).__name__, _pooling(module)] for module in model.children()],
        "prompts": {name: text for name, text in model.prompts.items() if text},
        "max_seq_length": model.max_seq_length,
    }
    digest.update(json.dumps(rest, sort_keys=True).encode())
    return digest.hexdigest()


def _pooling(module: Any) -> str:
    # Before 6.0 the mode was a set of flags behind a method, since then it is a name or a list of names.
    old = getattr(module, "get_pooling_mode_str", None)
    mode: Any = old() if old is not None else getattr(module, "pooling_mode", "")
    return mode if isinstance(mode, str) else "+".join(mode)


def _byte_type() -> Any:
    import torch

    return torch.uint8
