"""Language models behind one port. None is ever asked that was not configured.

`as_llm` takes what a caller may have: a model, a function, a name or settings.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from remanence.core.errors import InvalidInput
from remanence.substrates.chat import ChatModel, Reply, Usage

__all__ = ["ChatModel", "Reply", "Usage", "as_llm"]

ENVIRONMENT: Final = "REMANENCE_LLM"
_FORMS: Final = "'openai:MODEL', {'model': …, 'base_url': …, 'api_key': …} or a function of a list of messages"
_SETTINGS: Final = ("model", "base_url", "api_key", "timeout", "retries", "repairs")


def as_llm(spec: object = None) -> ChatModel | None:
    """A language model from a model (returned as it is), a function of a list of messages, a name, or settings.

    Name: `openai:MODEL`, with key and address from `OPENAI_API_KEY` and `OPENAI_BASE_URL`. Settings: a mapping with
    `model` and, as needed, `base_url`, `api_key`, `timeout`, `retries`, `repairs`. None: what `$REMANENCE_LLM` names,
    or no model when it is not set; a key alone configures nothing. False: no model. Nothing is imported or connected
    to yet.

    Raises:
        InvalidInput: none of these, or a function without a name of its own.

    """
    if spec is None:
        spec = os.environ.get(ENVIRONMENT, "").strip() or False
    if spec is False:
        return None
    if isinstance(spec, str):
        family, _, model = spec.partition(":")
        if family == "openai" and model:
            return _openai({"model": model})
        raise InvalidInput(f"unknown language model {spec!r}; use {_FORMS}")
    if isinstance(spec, Mapping):
        return _openai(spec)
    if isinstance(spec, type):
        raise InvalidInput(f"{spec.__name__} is a class; pass an object of it: {spec.__name__}(…)")
    if _is_model(spec):
        return spec
    if callable(spec):
        from remanence.stores.llm.function import CallableChat

        name = getattr(spec, "__qualname__", "")
        if not name or "<lambda>" in name:
            raise InvalidInput(
                "a function without a name cannot tell its answers from those of another one; "
                "wrap it: CallableChat(fn, name='my-model-v1')"
            )
        return CallableChat(spec, f"{spec.__module__}.{name}")
    raise InvalidInput(f"{type(spec).__name__} is no language model; pass {_FORMS}")


def _openai(settings: Mapping[str, Any]) -> ChatModel:
    from remanence.stores.llm.openai import OpenAIChat

    if unknown := sorted(map(str, set(settings) - set(_SETTINGS))):
        raise InvalidInput(f"llm settings {', '.join(unknown)} are unknown; there are {', '.join(_SETTINGS)}")
    model = settings.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidInput("llm settings need 'model', the service's name for it")
    return OpenAIChat(**{**settings, "model": model.removeprefix("openai:")})


def _is_model(spec: object) -> TypeGuard[ChatModel]:
    absent = object()
    return all(inspect.getattr_static(spec, name, absent) is not absent for name in ("name", "complete"))
