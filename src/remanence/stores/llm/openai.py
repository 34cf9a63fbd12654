"""Any service that speaks OpenAI's chat protocol: OpenAI itself, Ollama, vLLM, llama.cpp, LiteLLM and other proxies.

Over the `openai` client (`pip install "remanence[openai]"`), which is imported at first use. What a service takes is
found out by asking, and remembered: JSON by schema, JSON alone, or a schema in words; which name the token limit has;
whether the temperature may be set.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from remanence.core.errors import InvalidInput, LLMError, LLMMalformed, LLMRejected, LLMUnavailable, MissingExtra
from remanence.stores.llm.schema import is_strict
from remanence.stores.llm.structured import MODES, Mode, Request, answer_by_schema, check_messages
from remanence.stores.services import FIRST_PAUSE_S, LONGEST_PAUSE_S, hint_of, retry_after, service_of
from remanence.substrates.chat import Message, Reply, Schema, Usage

if TYPE_CHECKING:
    import openai

__all__ = ["OpenAIChat"]

_RETRIED: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
# What services answer to a response format that they do not know; some say no more than "bad request".
_FORMAT_REFUSED: Final = frozenset({400, 404, 415, 422, 501})
_KEYS: Final = re.compile(r"\b(?:sk|pk|key|gsk|hf|xai)[-_][\w*.-]{6,}|\bBearer\s+\S+", re.IGNORECASE)


class OpenAIChat:
    """`POST {base_url}/chat/completions`, with bounded retries and JSON that is read tolerantly and checked.

    The constructor imports nothing and opens no connection.

    Args:
        model: the service's name for the model.
        base_url: up to and including the version; `$OPENAI_BASE_URL`, or OpenAI's own. Ollama: `http://HOST:11434/v1`.
        api_key: `$OPENAI_API_KEY`; local servers often need none. It is never shown, logged or part of an error.
        timeout: seconds without an answer before an attempt is given up.
        retries: further attempts after the first, for 408, 409, 429, 5xx and broken connections; one after a timeout.
            Pauses double from half a second up to 30 s; a `Retry-After` up to that length is obeyed instead.
        repairs: how often an answer that does not fit its schema is sent back with what is wrong with it.
        sleep: how to pause, in seconds.

    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 60.0,
        retries: int = 3,
        repairs: int = 1,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not model:
            raise InvalidInput("no model: pass the service's name for it, such as 'gpt-4o-mini'")
        service = service_of(base_url, api_key, timeout=timeout)
        for name, value in (("retries", retries), ("repairs", repairs)):
            if value < 0:
                raise InvalidInput(f"{name}={value} must be at least 0")
        self._model = model
        self._address, self._api_key = service
        self._timeout = timeout
        self._retries = retries
        self._repairs = repairs
        self._sleep = sleep
        self._lock = threading.Lock()
        self._client: openai.OpenAI | None = None
        self._mode: Mode = MODES[0]
        self._proven: set[Mode] = set()
        self._limit_name = "max_tokens"
        self._takes_temperature = True

    def __repr__(self) -> str:
        return f"OpenAIChat({self._model!r}, base_url={self._address!r})"

    @property
    def name(self) -> str:
        """`openai:` and the model; the same model behind another address gives the same answers."""
        return f"openai:{self._model}"

    @property
    def mode(self) -> str:
        """How JSON is asked for at present: "json_schema", "json_object" or "prompt"."""
        return self._mode

    def models(self) -> list[str]:
        """Names of the models that the service lists, sorted.

        Raises:
            LLMError: as `complete` does.

        """
        body, _ = self._retried(lambda client, timeout: client.models.with_raw_response.list(timeout=timeout), None)
        items = body.get("data") if isinstance(body, dict) else None
        if not isinstance(items, list):
            raise LLMMalformed(f"{self._origin} lists its models without a 'data' list; check base_url")
        return sorted(str(item["id"]) for item in items if isinstance(item, dict) and "id" in item)

    def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Schema | None = None,
        max_tokens: int = 2048,
        temperature: float = 0.0,
        timeout: float | None = None,
    ) -> Reply:
        """See `ChatModel.complete`."""
        check_messages(messages)
        if schema is None:
            return self._ask(Request(messages, None, None, max_tokens, temperature, timeout))
        return answer_by_schema(
            self,
            messages,
            schema,
            repairs=self._repairs,
            max_tokens=max_tokens,
            temperature=temperature,
            timeout=timeout,
            origin=self._origin,
        )

    def ask_for_json(self, request: Request) -> Reply:
        """One answer in the best form that the service takes; `request.mode` None: the form that worked so far."""
        first = request.mode or self._mode
        refused: LLMRejected | None = None
        for mode in MODES[MODES.index(first) :]:
            try:
                reply = self._ask(request.in_mode(mode))
            except _FormatRefusedError as error:
                if mode == MODES[-1] or mode in self._proven:
                    raise error.rejected from None
                refused = refused or error.rejected
                continue
            if request.mode is None:
                self._mode = mode
            return reply
        raise refused or AssertionError("the last mode answers or raises")

    def fits(self, mode: Mode) -> None:
        """Take note that an answer in this mode fitted its schema."""
        self._proven.add(mode)

    def ignored(self, mode: Mode) -> None:
        """Take note that an answer ignored what was asked for in this mode; next time words will say it."""
        if mode not in self._proven:
            self._mode = MODES[-1]

    @property
    def _origin(self) -> str:
        return f"model {self._model!r} at {self._address}"

    def _ask(self, request: Request) -> Reply:
        settled = False
        while True:
            arguments = self._arguments(request)
            create = partial(_create, arguments)
            try:
                body, ms = self._retried(create, request.timeout)
            except _FormatRefusedError as error:
                if not settled and self._adapt(error.said, arguments):
                    settled = self._limit_name != "max_tokens" and not self._takes_temperature
                    continue
                if "response_format" not in arguments:
                    raise error.rejected from None
                raise
            return _reply(body, self._origin, self._model, ms)

    def _arguments(self, request: Request) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "model": self._model,
            "messages": [
                {"role": message["role"], "content": _sendable(message["content"])} for message in request.messages
            ],
            self._limit_name: request.max_tokens,
        }
        if self._takes_temperature:
            arguments["temperature"] = request.temperature
        if request.schema is not None and request.mode == "json_schema":
            wanted = {"name": "answer", "schema": dict(request.schema), "strict": is_strict(request.schema)}
            arguments["response_format"] = {"type": "json_schema", "json_schema": wanted}
        elif request.schema is not None and request.mode == "json_object":
            arguments["response_format"] = {"type": "json_object"}
        return arguments

    def _adapt(self, said: str, arguments: Mapping[str, Any]) -> bool:
        """Take back what the service says it does not take; whether there was something to take back."""
        if "max_completion_tokens" in said and "max_tokens" in arguments:
            self._limit_name = "max_completion_tokens"
            return True
        if "temperature" in said and "temperature" in arguments:
            self._takes_temperature = False
            return True
        return False

    def _connected(self) -> openai.OpenAI:
        with self._lock:
            if self._client is None:
                try:
                    import openai
                except ImportError as error:
                    raise MissingExtra(
                        f'{self.name} needs the openai package: pip install "remanence[openai]" ({error})'
                    ) from error
                self._client = openai.OpenAI(
                    # Servers that want no key take any; the client insists on one.
                    api_key=self._api_key or "none",
                    base_url=self._address,
                    max_retries=0,
                    # A redirect would carry words and key to an address that the caller never named.
                    http_client=openai.DefaultHttpxClient(follow_redirects=False),
                )
            return self._client

    def _retried(self, call: Callable[[openai.OpenAI, float], Any], timeout: float | None) -> tuple[Any, float]:
        """The body of a successful answer, and how long all attempts took in milliseconds."""
        client = self._connected()
        import openai

        seconds = timeout or self._timeout
        started = time.perf_counter()
        pause = FIRST_PAUSE_S
        attempts = 0
        while True:
            attempts += 1
            wanted: float | None = None
            last = attempts > self._retries
            failure: LLMError
            # `from None`: the client's exceptions hold the request with its key and the service's own words.
            try:
                raw = call(client, seconds)
                return _parsed(raw.content, self._origin), (time.perf_counter() - started) * 1000
            except openai.APITimeoutError:
                failure = LLMUnavailable(f"{self._origin} gave no answer within {seconds:g} s; raise timeout=")
                last = last or attempts > 1
            except openai.APIStatusError as error:
                failure, wanted = self._status(error)
                last = last or not isinstance(failure, LLMUnavailable) or "insufficient_quota" in str(error.body)
            except openai.APIConnectionError as error:
                reason = self._safe(str(error.__cause__ or error))
                failure = LLMUnavailable(
                    f"{self._origin} cannot be reached: {reason}; check base_url and whether the service runs"
                )
            if isinstance(failure, LLMUnavailable):
                failure.retry_after = wanted
            if last:
                raise failure from None
            if wanted is not None and wanted > LONGEST_PAUSE_S:
                late = LLMUnavailable(f"{failure}; it asks to come back in {wanted:g} s, longer than is waited here")
                late.retry_after = wanted
                raise late from None
            self._sleep(pause if wanted is None else wanted)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _status(self, error: openai.APIStatusError) -> tuple[LLMError, float | None]:
        """What an HTTP error means, and how many seconds the service asks to wait.

        Raises `_FormatRefusedError` where asking in another form may help.
        """
        code = error.status_code
        said = _reason(error.body) or error.response.text[:300].strip() or error.response.reason_phrase
        message = f"{self._origin} answered HTTP {code}: {self._safe(said)[:300]}"
        if code in _RETRIED:
            return LLMUnavailable(message), retry_after(error.response.headers)
        hint = hint_of(code)
        rejected = LLMRejected(f"{message}; {hint}" if hint else message)
        if code in _FORMAT_REFUSED:
            raise _FormatRefusedError(rejected, f"{said} {getattr(error, 'param', '') or ''}".lower())
        return (LLMUnavailable(message) if code >= 500 else rejected), None

    def _safe(self, text: str) -> str:
        """A message without anything that looks like a key."""
        if self._api_key:
            text = text.replace(self._api_key, "…")
        return _KEYS.sub("…", text)


class _FormatRefusedError(Exception):
    """The service refuses the request; asked in another form it may serve."""

    def __init__(self, rejected: LLMRejected, said: str) -> None:
        super().__init__(said)
        self.rejected = rejected
        self.said = said


def _create(arguments: Mapping[str, Any], client: openai.OpenAI, timeout: float) -> Any:
    return client.chat.completions.with_raw_response.create(timeout=timeout, **arguments)


def _sendable(text: str) -> str:
    # Lone surrogates have no UTF-8 form and no meaning to a model.
    return text.encode("utf-8", "replace").decode("utf-8")


def _parsed(body: bytes, origin: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise LLMMalformed(f"{origin} answered with something other than JSON; check base_url") from None


def _reply(body: Any, origin: str, model: str, ms: float) -> Reply:
    """The service's answer, whatever it leaves out."""
    choices = body.get("choices") if isinstance(body, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise LLMMalformed(f"{origin} answered without 'choices'; check base_url and the model")
    message = choices[0].get("message")
    message = message if isinstance(message, dict) else {}
    if message.get("refusal"):
        raise LLMMalformed(f"{origin} refuses to answer this")
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    finish = choices[0].get("finish_reason")
    if finish == "content_filter":
        raise LLMMalformed(f"{origin}: its content filter stopped the answer")
    counted = body.get("usage") if isinstance(body.get("usage"), dict) else {}
    usage = Usage(_count(counted.get("prompt_tokens")), _count(counted.get("completion_tokens")), round(ms, 3))
    named = body.get("model")
    return Reply(
        text=content if isinstance(content, str) else "",
        usage=usage,
        model=named if isinstance(named, str) and named else model,
        finish_reason=finish if isinstance(finish, str) else None,
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _reason(body: object) -> str:
    """The message in an error's body, in any of the forms that services use."""
    if isinstance(body, dict):
        inner = body.get("error", body)
        if isinstance(inner, dict):
            inner = inner.get("message") or inner.get("detail") or ""
        return inner if isinstance(inner, str) else ""
    return body.strip() if isinstance(body, str) else ""
