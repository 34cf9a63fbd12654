"""The proxy's two acts on memory: recalling for a question, and storing a turn. Synchronous; both run in threads."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from remanence.core.errors import RemanenceError
from remanence.runtime.memory import Memory
from remanence.server.access import PERMIT, Permit
from remanence.server.proxy.conversation import Conversation
from remanence.server.proxy.recent import Recent
from remanence.substrates.records.model import MAX_TEXT

__all__ = ["NOTHING", "Plan", "Recalled", "Remembering", "Stored"]

LOG: Final = logging.getLogger("remanence.server.proxy")

VIA: Final = "proxy"
"""Under `via` in the metadata of what was stored here."""
_TURN_SECONDS: Final = 600.0
"""How long a repeated request counts as the same turn: clients repeat, people regenerate, assistants use tools."""
_MISSED_SECONDS: Final = 86_400.0
_BLOCK_SECONDS: Final = 86_400.0
"""How long one step of work with tools may take until its question loses its block."""
_MOST: Final = 4_096


@dataclass(frozen=True, slots=True)
class Plan:
    """What one request does with memory. `reads` and `writes` are scope ids; None: it does not."""

    conversation: Conversation
    budget: int
    arrived: datetime
    model: str | None = None
    reads: Mapping[str, Any] | None = None
    writes: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Recalled:
    """A block for the prompt, empty if nothing was found, and what it holds: each memory's id and digest."""

    block: str = ""
    tokens: int = 0
    memories: tuple[tuple[str, str], ...] = ()
    degraded: tuple[str, ...] = ()

    @property
    def ids(self) -> list[str]:
        """The ids of the memories, in the order of their numbers in the block."""
        return [id for id, _ in self.memories]


NOTHING: Final = Recalled()


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a turn: the ids of its new memories; `state` is "stored", "failed" or "pending"."""

    state: str = "stored"
    ids: list[str] = field(default_factory=list)


class Remembering:
    """Memory behind the proxy. `memory` is asked for with each act, so that one that is down comes back."""

    def __init__(self, memory: Callable[[], Memory]) -> None:
        self._memory = memory
        self._turns: Recent[str, bool] = Recent(_MOST, _TURN_SECONDS)
        self._missed: Recent[str, bool] = Recent(_MOST, _MISSED_SECONDS)
        self._blocks: Recent[tuple[object, ...], Recalled] = Recent(_MOST, _BLOCK_SECONDS)

    def recall(self, plan: Plan) -> Recalled:
        """Memories for the last question that do not stand in the prompt anyway.

        While the assistant works with tools on a question, it keeps the block that it has got, byte by byte, as long as
        every memory in it is still there and still says the same.
        """
        talk = plan.conversation
        if plan.reads is None or not plan.budget or not talk.query:
            return NOTHING
        memory = self._memory()
        name = (talk.name, tuple(sorted(plan.reads.items())), plan.budget)
        if talk.continues:
            kept = self._blocks.get(name)
            if kept is not None and all(self._holds(memory, plan, id, said) for id, said in kept.memories):
                self._blocks.put(name, kept)
                return kept
        context = memory.context(
            talk.query,
            max_tokens=plan.budget,
            filters={"NOT": [{"text": {"in": talk.said()}}]},
            **plan.reads,
        )
        found = Recalled(
            context.text if context.citations else "",
            context.tokens if context.citations else 0,
            tuple((row["id"], _digest(row["memory"])) for row in context.citations),
            context.degraded,
        )
        self._blocks.put(name, found)
        return found

    def store(self, plan: Plan, permit: Permit, answer: str | None, **more: str) -> Stored:
        """Store what was said in this turn, in one transaction, unless it is stored already.

        The client sends its history with every request, so what could not be stored is made up for with the next turn
        of the same conversation, if that comes to this process within a day.

        Args:
            plan: the request.
            permit: the leave to write.
            answer: what the assistant said; None where nobody knows.
            more: metadata of the answer.

        """
        talk = plan.conversation
        if plan.writes is None or talk.last is None:
            return Stored()
        late = [at for at in talk.names if at not in talk.new and self._missed.drop(talk.names[at])]
        items = [item for at in late for item in self._missed_turn(plan, at)]
        new = [at for at in talk.new if self._fits(talk.texts[at]) and self._turns.put(talk.names[at], True)]
        items += [self._said(plan, at, timestamp=plan.arrived) for at in new]
        reply = f"{talk.name}:{_digest(answer or '')}"
        if answer is not None and self._fits(answer) and self._turns.put(reply, True):
            items.append({"role": "assistant", "content": answer, "metadata": {**self._meta(plan), **more}})
        if not items:
            return Stored()
        token = PERMIT.set(permit)
        try:
            found = self._memory().add_many(items, **plan.writes)
        except Exception as error:
            LOG.warning("a turn could not be stored: %s", type(error).__name__, exc_info=error)
            for at in (*late, *new):
                self._turns.drop(talk.names[at])
                self._missed.put(talk.names[at], True)
            self._turns.drop(reply)
            return Stored("failed")
        finally:
            PERMIT.reset(token)
        return Stored("stored", [id for id in found["ids"] if id is not None])

    def _missed_turn(self, plan: Plan, user: int) -> list[dict[str, Any]]:
        return [self._said(plan, at) for at in (user, *plan.conversation.after(user))]

    def _said(self, plan: Plan, at: int, **more: Any) -> dict[str, Any]:
        # The text without what was recalled into it; other keys of the message are not its speaker's words.
        message = plan.conversation.messages[at]
        name = message.get("name")
        return {
            "role": message["role"],
            "content": plan.conversation.texts[at],
            "metadata": self._meta(plan),
            **({"name": name} if isinstance(name, str) and name else {}),
            **more,
        }

    @staticmethod
    def _meta(plan: Plan) -> dict[str, str]:
        return {"via": VIA} if plan.model is None else {"via": VIA, "model": plan.model}

    @staticmethod
    def _fits(text: str) -> bool:
        return bool(text.strip()) and len(text) <= MAX_TEXT

    @staticmethod
    def _holds(memory: Memory, plan: Plan, id: str, said: str) -> bool:
        try:
            item = memory.get(id, **(plan.reads or {}))
        except RemanenceError as error:
            LOG.warning("a recalled memory could not be checked: %s", type(error).__name__, exc_info=error)
            return False
        return item is not None and _digest(item["memory"]) == said


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
