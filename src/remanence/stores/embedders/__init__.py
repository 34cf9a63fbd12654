"""Embedders: the static one that ships with the package, and the ways to plug in another.

`as_embedder` takes what a caller may have: an embedder, a function, or a name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeGuard

from remanence.core.errors import InvalidInput
from remanence.stores.embedders.static import StaticEmbedder
from remanence.substrates.embedding import Embedder, HashEmbedder

__all__ = ["StaticEmbedder", "as_embedder"]

_FORMS = "'static', 'static:FOLDER', 'hash', 'sentence-transformers:NAME_OR_FOLDER' or 'openai:MODEL'"


def as_embedder(source: Embedder | Callable[[list[str]], object] | str) -> Embedder:
    """An embedder from an embedder (returned as it is), a function of a list of texts, or a name.

    Names: `static`, `static:FOLDER`, `hash`, `sentence-transformers:NAME_OR_FOLDER`, `openai:MODEL` (key and address
    from `OPENAI_API_KEY` and `OPENAI_BASE_URL`). Nothing is loaded or connected to yet.

    Raises:
        InvalidInput: none of these, or a function without a name of its own.

    """
    if isinstance(source, str):
        return _by_name(source)
    # A class has the attributes of its instances; `Memory(embedder=StaticEmbedder)` is a slip worth a clear answer.
    if isinstance(source, type):
        raise InvalidInput(f"{source.__name__} is a class; pass an object of it: {source.__name__}(…)")
    if _is_embedder(source):
        return source
    if callable(source):
        from remanence.stores.embedders.function import CallableEmbedder

        name = getattr(source, "__qualname__", "")
        if not name or "<lambda>" in name:
            raise InvalidInput(
                "a function without a name cannot tell its vectors from those of another one; "
                "wrap it: CallableEmbedder(fn, name='my-model-v1')"
            )
        return CallableEmbedder(source, f"{source.__module__}.{name}")
    raise InvalidInput(f"{source!r} is no embedder; pass an Embedder, a function of a list of texts, or {_FORMS}")


def _is_embedder(source: object) -> TypeGuard[Embedder]:
    # Looked up without running: reading `space` would load the model or call the service.
    absent = object()
    return all(inspect.getattr_static(source, name, absent) is not absent for name in ("space", "inline", "embed"))


def _by_name(name: str) -> Embedder:
    family, _, rest = name.partition(":")
    if family == "static":
        return StaticEmbedder(rest or None)
    if family == "hash" and not rest:
        return HashEmbedder()
    if family == "sentence-transformers" and rest:
        from remanence.stores.embedders.sentence_transformers import SentenceTransformersEmbedder

        return SentenceTransformersEmbedder(rest)
    if family == "openai" and rest:
        from remanence.stores.embedders.openai import OpenAIEmbedder

        return OpenAIEmbedder(rest)
    raise InvalidInput(f"unknown embedder {name!r}; use {_FORMS}")
