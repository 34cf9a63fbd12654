"""Vectors from an OpenAI-compatible HTTP service: OpenAI itself, vLLM, llama.cpp, Ollama, LiteLLM and their like.

One POST of JSON is all there is to it, so the standard library does it and no extra is needed.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import EmbeddingError, InvalidInput
from remanence.stores.services import FIRST_PAUSE_S, LONGEST_PAUSE_S, hint_of, retry_after, service_of
from remanence.substrates.embedding import EmbeddingKind, EmbeddingSpace, normalised_rows

__all__ = ["OpenAIEmbedder"]

# 408 and 409 are what proxies answer under load; 5xx what a restarting server answers.
_RETRIED_STATUS = frozenset({408, 409, 429, 500, 502, 503, 504})
# OpenAI takes 300,000 tokens per request; a token is rarely less than one character.
_REQUEST_CHARS = 250_000


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the API key to an address that the caller never named."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class OpenAIEmbedder:
    """`POST {base_url}/embeddings` in batches, with bounded retries.

    The constructor opens no connection. The space is named after the model alone: the same model behind another
    address gives the same vectors. Blank texts are not sent (services refuse them) and get a zero row.

    Args:
        model: the service's name for the model.
        base_url: up to and including the version; `$OPENAI_BASE_URL`, or OpenAI's own.
        api_key: `$OPENAI_API_KEY`; local servers often need none.
        dimensions: ask the service for shortened vectors of this length; else its own length, learnt at first need.
        batch_size: texts per request.
        timeout: seconds without an answer before an attempt is given up.
        retries: further attempts after the first, for 408, 409, 429, 5xx, timeouts and broken connections. Pauses
            double from half a second up to 30 s; a `Retry-After` up to that length is obeyed instead.
        max_chars: longer texts are cut before they are sent, since a service refuses a whole batch for one text
            beyond its limit (8,191 tokens at OpenAI). Stored text is never cut.
        sleep: how to pause, in seconds.

    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        dimensions: int | None = None,
        batch_size: int = 128,
        timeout: float = 30.0,
        retries: int = 4,
        max_chars: int = 6_000,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not model:
            raise InvalidInput("no model: pass the service's name for it, such as 'text-embedding-3-small'")
        service = service_of(base_url, api_key, timeout=timeout)
        for name, value, least in (
            ("dimensions", dimensions, 1),
            ("batch_size", batch_size, 1),
            ("retries", retries, 0),
            ("max_chars", max_chars, 1),
        ):
            if value is not None and value < least:
                raise InvalidInput(f"{name}={value} must be at least {least}")
        self._model = model
        self._url = f"{service.address}/embeddings"
        self._api_key = service.key
        self._requested = dimensions
        self._dim = dimensions
        self._batch_size = batch_size
        self._timeout = timeout
        self._retries = retries
        self._max_chars = max_chars
        self._sleep = sleep
        self._lock = threading.Lock()
        self._opener = urllib.request.build_opener(_NoRedirect())

    def __reduce__(self) -> tuple[Any, ...]:
        # To another process goes the address, with the key that opens it; open connections stay.
        settings: dict[str, Any] = {
            "dimensions": self._requested,
            "batch_size": self._batch_size,
            "timeout": self._timeout,
            "retries": self._retries,
            "max_chars": self._max_chars,
            "sleep": self._sleep,
        }
        return (
            partial(OpenAIEmbedder, **settings),
            (self._model, self._url.removesuffix("/embeddings"), self._api_key),
        )

    @property
    def space(self) -> EmbeddingSpace:
        """The space, named after the model; asks the service once if the dimension was not given."""
        if self._dim is None:
            with self._lock:
                if self._dim is None:
                    self._dim = int(self._request(["dimension"], None).shape[1])
        return EmbeddingSpace(f"openai:{self._model}", self._dim)

    @property
    def inline(self) -> bool:
        """A network call has no place on the write path: False."""
        return False

    def embed(self, texts: Sequence[str], *, kind: EmbeddingKind = "passage") -> NDArray[np.float32]:
        """Vectors float32 [len(texts), dim]; `kind` makes no difference.

        Raises:
            EmbeddingError: refused, unreachable after all retries, or an answer that is not one finite vector of the
                expected length per text.

        """
        dim = self.space.dim
        vectors = np.zeros((len(texts), dim), dtype=np.float32)
        for rows, batch in self._batches(texts):
            vectors[rows] = self._request(batch, dim)
        return vectors

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], list[str]]]:
        rows: list[int] = []
        batch: list[str] = []
        chars = 0
        for row, text in enumerate(texts):
            # Lone surrogates have no UTF-8 form and no meaning to a model.
            clean = text[: self._max_chars].encode("utf-8", "replace").decode("utf-8")
            if not clean.strip():
                continue
            if batch and (len(batch) == self._batch_size or chars + len(clean) > _REQUEST_CHARS):
                yield rows, batch
                rows, batch, chars = [], [], 0
            rows.append(row)
            batch.append(clean)
            chars += len(clean)
        if batch:
            yield rows, batch

    def _request(self, texts: list[str], dim: int | None) -> NDArray[np.float32]:
        body: dict[str, object] = {"model": self._model, "input": texts, "encoding_format": "float"}
        if self._requested is not None:
            body["dimensions"] = self._requested
        answer = self._post(json.dumps(body).encode())
        return normalised_rows(
            _in_order(answer, len(texts), self._origin), rows=len(texts), dim=dim, origin=self._origin
        )

    @property
    def _origin(self) -> str:
        return f"model {self._model!r} at {self._url}"

    def _post(self, body: bytes) -> object:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "remanence"}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        pause = FIRST_PAUSE_S
        for attempts_left in range(self._retries, -1, -1):
            request = urllib.request.Request(self._url, data=body, headers=headers, method="POST")
            wanted: float | None = None
            try:
                with self._opener.open(request, timeout=self._timeout) as response:
                    return _parsed(response.read(), self._origin)
            except urllib.error.HTTPError as error:
                with error:
                    failure = EmbeddingError(f"{self._origin} answered HTTP {error.code}: {_reason(error)}")
                    wanted = retry_after(error.headers)
                    if error.code not in _RETRIED_STATUS or not attempts_left:
                        raise failure from error
            except TimeoutError as error:
                failure = EmbeddingError(f"{self._origin} gave no answer within {self._timeout:g} s; raise timeout=")
                if not attempts_left:
                    raise failure from error
            except (urllib.error.URLError, http.client.HTTPException, ConnectionError) as error:
                reason = getattr(error, "reason", error)
                failure = EmbeddingError(f"{self._origin} cannot be reached: {reason}; check base_url and the service")
                if not attempts_left:
                    raise failure from error
            if wanted is not None and wanted > LONGEST_PAUSE_S:
                raise EmbeddingError(f"{failure}; it asks to come back in {wanted:g} s, longer than is waited here")
            self._sleep(pause if wanted is None else wanted)
            pause = min(2 * pause, LONGEST_PAUSE_S)
        raise AssertionError("the last attempt returns or raises")


def _parsed(body: bytes, origin: str) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise EmbeddingError(f"{origin} answered with something other than JSON: {body[:80]!r}") from error


def _in_order(answer: object, count: int, origin: str) -> list[object]:
    """The vectors of an answer in the order of the texts; services may return them in any order, with an index."""
    items = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) and "embedding" in item for item in items):
        raise EmbeddingError(f"{origin} answered without a 'data' list of embeddings: {json.dumps(answer)[:200]}")
    if len(items) != count:
        raise EmbeddingError(f"{origin} returned {len(items)} vectors for {count} texts")
    indexes = [item.get("index", place) for place, item in enumerate(items)]
    if sorted(index for index in indexes if isinstance(index, int)) != list(range(count)):
        raise EmbeddingError(f"{origin} returned vectors numbered {indexes[:8]} for {count} texts")
    return [item["embedding"] for _, item in sorted(zip(indexes, items, strict=True), key=lambda pair: pair[0])]


def _reason(error: urllib.error.HTTPError) -> str:
    """What the service says is wrong, shortened, with a hint for the usual mistakes."""
    try:
        body = error.read(4096)
    except (OSError, http.client.HTTPException):
        body = b""
    text = body.decode("utf-8", "replace").strip()
    try:
        detail = json.loads(text)["error"]
        text = str(detail["message"] if isinstance(detail, dict) else detail)
    except (ValueError, KeyError, TypeError):
        pass
    return "; ".join(part for part in (text[:300] or str(error.reason), hint_of(error.code)) if part)
