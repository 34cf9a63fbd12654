"""What the facts of a scope say to a question, kept ready between searches."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from remanence.core.scope import Scope
from remanence.kernels.claims.known import NOTHING_KNOWN, Known, Verdict
from remanence.substrates.records.model import Record, View
from remanence.substrates.records.operations import Changes, History
from remanence.substrates.records.scope_index import who_speaks

if TYPE_CHECKING:
    from remanence.kernels.claims.answers import Ledger
    from remanence.runtime.engine import Engine

__all__ = ["Facts", "TruthCache"]

MOST: Final = 4096
"""Scopes whose facts are kept ready: most have few, and reading none anew takes as long as reading some."""
MOST_FACTS: Final = 100_000
"""Facts that are kept ready in all these scopes together."""
FOLLOWED: Final = 256
"""Changes of the journal that are followed one by one."""


@dataclass(slots=True)
class Facts:
    """The facts of one scope at one position of the store."""

    seq: int
    ledger: Ledger
    me: frozenset[str]
    """Names that "I" stands for."""
    facts: dict[str, Known] = field(default_factory=dict)
    counted: int = 0
    """Facts when these were last put among those that are kept."""
    _by_turn: dict[str, list[Known]] | None = None

    def verdict(self, query: str, view: View) -> Verdict:
        """What is known on the matter of a question."""
        if not self.facts:
            return NOTHING_KNOWN
        # The rules and words of questions take long to load, and where nothing is known nobody needs them.
        from remanence.kernels.claims.answers import answer
        from remanence.kernels.claims.questions import read_question

        now = view.now
        return answer(read_question(query, view.as_of or now, self.ledger.people), self.ledger, now, view.as_of)

    def stated_by(self, turn: str) -> Sequence[Known]:
        """The facts that a record states."""
        if self._by_turn is None:
            self._by_turn = {}
            for fact in self.facts.values():
                for source in fact.sources:
                    self._by_turn.setdefault(source, []).append(fact)
        return self._by_turn.get(turn, ())

    def put(self, id: str, fact: Known | None) -> None:
        """Take note of what a fact has become; None if it is no more."""
        self._by_turn = None
        if fact is None:
            self.facts.pop(id, None)
            self.ledger.drop(id)
        else:
            self.facts[id] = fact
            self.ledger.put(fact)


class TruthCache:
    """The facts of the scopes in use, brought up to the store's present state before each question. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.RLock()
        self._kept: OrderedDict[Scope, Facts] = OrderedDict()
        self._held = 0

    def verdict(self, query: str, scope: Scope, view: View) -> Verdict:
        """What is known on the matter of a question."""
        with self._lock:
            return self.facts(scope, view).verdict(query, view)

    def stated_by(self, turns: Sequence[str], scope: Scope, view: View) -> list[Sequence[Known]]:
        """The facts that each of these records states."""
        with self._lock:
            facts = self.facts(scope, view)
            return [facts.stated_by(turn) for turn in turns]

    def facts(self, scope: Scope, view: View) -> Facts:
        """The facts of a scope: all that are believed now, or that were at `view.known_at`."""
        # The position is read first, so that what is kept is never older than it says.
        seq = self._engine.store.position()
        if view.known_at is not None:
            return self._read(scope, view, seq)
        with self._lock:
            kept = self._kept.pop(scope, None)
            self._held -= 0 if kept is None else kept.counted
            if kept is None or not (kept.seq == seq or self._follow(kept, scope, seq)):
                kept = self._read(scope, view, seq)
            kept.counted = len(kept.facts)
            self._kept[scope] = kept
            self._held += kept.counted
            while len(self._kept) > MOST or (self._held > MOST_FACTS and len(self._kept) > 1):
                _, dropped = self._kept.popitem(last=False)
                self._held -= dropped.counted
            return kept

    def clear(self) -> None:
        """Forget everything; the next question reads anew."""
        with self._lock:
            self._kept.clear()
            self._held = 0

    def _follow(self, facts: Facts, scope: Scope, seq: int) -> bool:
        """Take over what has changed since; False where that would cost more than reading everything."""
        from remanence.runtime import knowing

        (entries,) = self._engine.read([Changes(since=facts.seq, limit=FOLLOWED + 1)], scope)
        if len(entries) > FOLLOWED or any(entry.op in ("erase", "reindex") for entry in entries):
            return False
        ids = tuple(dict.fromkeys(entry.id for entry in entries if entry.op not in ("link", "unlink")))
        for history in self._engine.read([History(id) for id in ids], scope):
            newest = history[-1]
            if newest.kind == "fact" and newest.derived:
                facts.put(newest.id, knowing.known(newest))
            elif newest.role == "user" and self._is_new(facts, newest):
                return False
        facts.seq = seq
        return True

    @staticmethod
    def _is_new(facts: Facts, turn: Record) -> bool:
        """Whether somebody else says "I" here now than before; where many do, one more changes nothing."""
        if facts.facts and not facts.me:
            return False
        return who_speaks(turn.speaker, turn.role, turn.scope) not in facts.me

    def _read(self, scope: Scope, view: View, seq: int) -> Facts:
        from remanence.kernels.claims.answers import Ledger
        from remanence.runtime import knowing  # It reads through the engine that this belongs to.

        known, me = knowing.ledger(self._engine, scope, view)
        return Facts(seq, Ledger(known, me=me), frozenset(me), {fact.id: fact for fact in known})
