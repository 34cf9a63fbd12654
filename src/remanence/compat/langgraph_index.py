"""What a LangGraph store indexes and how it filters: texts of fields, embeddings of LangChain, `$` operators."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from remanence.compat.extras import missing
from remanence.core.errors import EmbeddingError, InvalidFilter, InvalidInput
from remanence.substrates.embedding import EmbeddingKind, EmbeddingSpace, normalised_rows

try:
    from langchain_core.embeddings import Embeddings
    from langgraph.store.base import ensure_embeddings, get_text_at_path, tokenize_path
except ImportError as error:
    raise missing(__name__, "langgraph", error) from error

__all__ = ["IndexedFields", "LangChainEmbedder", "admits", "check_filter", "plain_text"]

WHOLE: Final = "$"
DEPTH: Final = 64
"""Levels of nesting that are written out as lines; what lies deeper stays JSON."""
_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "$eq": lambda value, wanted: _equal(value, wanted),
    "$ne": lambda value, wanted: not _equal(value, wanted),
    "$gt": lambda value, wanted: _sign(value, wanted) == 1,
    "$gte": lambda value, wanted: _sign(value, wanted) in (0, 1),
    "$lt": lambda value, wanted: _sign(value, wanted) == -1,
    "$lte": lambda value, wanted: _sign(value, wanted) in (0, -1),
}


class IndexedFields:
    """Which texts of a value are searched: those at `fields`, in LangGraph's path language; `["$"]` is all of it."""

    def __init__(self, fields: Sequence[str] | None = None) -> None:
        self._paths = _paths(["$"] if fields is None else fields)

    def texts(self, value: Mapping[str, Any], index: object = None) -> list[str]:
        """The texts of a value that are not blank; `index` as in `PutOp`: None, False, or paths of its own."""
        if index is False:
            return []
        if index is None:
            paths = self._paths
        elif isinstance(index, Sequence) and not isinstance(index, str):
            paths = _paths(index)
        else:
            raise InvalidInput(f"index={index!r} must be None, False or a list of paths such as 'meta.title'")
        found: list[str] = []
        for path in paths:
            found += [plain_text(value)] if path == WHOLE else get_text_at_path(value, path)
        return [text for text in found if text.strip()]


def _paths(fields: object) -> list[str | list[str]]:
    if not isinstance(fields, list | tuple) or not all(field and isinstance(field, str) for field in fields):
        raise InvalidInput(f"index fields {fields!r} must be a list of paths such as 'text' or 'notes[*].title'")
    return [WHOLE if field == WHOLE else tokenize_path(field) for field in fields]


def plain_text(value: Any, depth: int = 0) -> str:
    """A JSON value as words: the text itself where a value holds nothing else, lines of `key: text` otherwise."""
    if isinstance(value, Mapping | list | tuple) and depth < DEPTH:
        if isinstance(value, list | tuple):
            return "\n".join(plain_text(inner, depth + 1) for inner in value)
        if len(value) == 1:
            (only,) = value.values()
            if isinstance(only, str | Mapping):
                return plain_text(only, depth + 1)
        return "\n".join(f"{key}: {plain_text(inner, depth + 1)}" for key, inner in value.items())
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class LangChainEmbedder:
    """LangChain's embeddings, or a function of a list of texts (also an asynchronous one), as an embedder.

    Args:
        embed: as in LangGraph's `IndexConfig`: `Embeddings`, a function, or a name such as "openai:…".
        dim: length of the vectors; found out by embedding one word at first need if None.
        name: what its vectors are called in a store; by class and model, or by the function's name, if None.

    """

    def __init__(self, embed: Any, dim: Any = None, name: str | None = None) -> None:
        if dim is not None and (isinstance(dim, bool) or not isinstance(dim, int) or dim < 1):
            raise InvalidInput(f"dims={dim!r} must be a whole number from 1 up")
        self._model: Embeddings = ensure_embeddings(embed)
        self._name = name or _name_of(embed)
        self._dim: int | None = dim

    @property
    def space(self) -> EmbeddingSpace:
        """The space, named after the model; may embed a word once to learn the dimension."""
        if self._dim is None:
            self._dim = int(self._vectors(["dimension"], "passage", None).shape[1])
        return EmbeddingSpace(f"langchain:{self._name}", self._dim)

    @property
    def inline(self) -> bool:
        """A model or a network, for all that is known: False."""
        return False

    def embed(self, texts: Sequence[str], *, kind: EmbeddingKind = "passage") -> NDArray[np.float32]:
        """Vectors float32 [len(texts), dim]. Raises `EmbeddingError`."""
        dim = self.space.dim
        return self._vectors(list(texts), kind, dim) if texts else np.zeros((0, dim), np.float32)

    def _vectors(self, texts: list[str], kind: EmbeddingKind, dim: int | None) -> NDArray[np.float32]:
        try:
            found = self._ask(texts, kind)
        except Exception as error:
            raise EmbeddingError(
                f"embedder {self._name!r} failed on {len(texts)} texts: {type(error).__name__}: {error}"
            ) from error
        return normalised_rows(found, rows=len(texts), dim=dim, origin=f"embedder {self._name!r}")

    def _ask(self, texts: list[str], kind: EmbeddingKind) -> object:
        model = self._model
        if getattr(model, "afunc", None) is not None and getattr(model, "func", None) is None:
            # An asynchronous function gets a loop of its own, whatever runs in the thread that asks.
            return _in_a_loop(model.aembed_documents(texts))
        if kind == "query":
            return [model.embed_query(text) for text in texts]
        return model.embed_documents(texts)


def _in_a_loop(question: Coroutine[Any, Any, object]) -> object:
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, question).result()


def _name_of(embed: Any) -> str:
    if isinstance(embed, str):
        return embed
    if isinstance(embed, Embeddings):
        model = getattr(embed, "model", None) or getattr(embed, "model_name", None)
        return f"{type(embed).__qualname__}{f':{model}' if isinstance(model, str) else ''}"
    return f"{getattr(embed, '__module__', '')}.{getattr(embed, '__qualname__', type(embed).__qualname__)}"


def check_filter(where: Mapping[str, Any] | None) -> None:
    """Raise `InvalidFilter` for an operator that there is none of; nothing was read by then."""
    if where is None:
        return
    if not isinstance(where, Mapping):
        raise InvalidFilter(f"filter must be a mapping, not {type(where).__name__} {where!r}")
    for key, wanted in where.items():
        if not isinstance(key, str):
            raise InvalidFilter(f"filter key {key!r} must be a string")
        _check(key, wanted)


def _check(key: str, wanted: Any) -> None:
    if not isinstance(wanted, Mapping):
        return
    operators = [name for name in wanted if isinstance(name, str) and name.startswith("$")]
    unknown = [name for name in wanted if name not in _OPERATORS] if operators else []
    if unknown:
        raise InvalidFilter(f"unknown operator {unknown[0]!r} on {key!r}; use one of {', '.join(_OPERATORS)}")
    if not operators:
        for name, inner in wanted.items():
            _check(f"{key}.{name}", inner)


def admits(where: Mapping[str, Any] | None, value: Mapping[str, Any]) -> bool:
    """Whether a value meets every condition of a filter that was checked.

    A condition is a value to be equal to, a mapping of operators, or a mapping of conditions on what lies below the
    key. A key that is absent is None. Values of different types are not equal and have no order.
    """
    return all(_holds(value.get(key), wanted) for key, wanted in (where or {}).items())


def _holds(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        if any(isinstance(name, str) and name.startswith("$") for name in wanted):
            return all(_OPERATORS[name](value, operand) for name, operand in wanted.items())
        return isinstance(value, Mapping) and admits(wanted, value)
    return _equal(value, wanted)


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, list | tuple) and isinstance(wanted, list | tuple):
        return len(value) == len(wanted) and all(map(_equal, value, wanted))
    if isinstance(value, Mapping) and isinstance(wanted, Mapping):
        return value.keys() == wanted.keys() and all(_equal(value[key], wanted[key]) for key in value)
    return bool(value == wanted)


def _sign(value: Any, wanted: Any) -> int | None:
    """-1, 0 or 1; None for values that have no order between them."""
    both = (value, wanted)
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) and one == one for one in both)
    if not numbers and not all(isinstance(one, str) for one in both):
        return None
    return -1 if value < wanted else int(value > wanted)
