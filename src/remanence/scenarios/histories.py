"""Seeded random histories of store operations, as plain data, for comparing stores with each other.

Nothing here knows a store: a harness turns each step into its own calls and compares what comes back, refusals
included. Records are named by references ("r7"): the harness keeps the id that the store gave to the `put` of that
reference. Some references are unknown, erased, or belong to another scope on purpose, and some scopes look alike.

Arguments by kind; every step also has `scope` (a mapping of user_id, agent_id, run_id and app_id to text), `now`
(aware UTC, increasing from step to step) and `batch` (steps with the same number share scope and may be sent as one
atomic batch; none of them refers to a record that the same batch puts):

    put      ref, text, record_kind, speaker, event_at, valid_from, valid_to, meta, sources ((ref, start, end), …)
    revise   ref, text, valid_from, expected ("current" | "stale" | None: the version the caller claims to have seen)
    close    ref, at (None: retract altogether)
    reopen   ref, version (1 is the first)
    link     source, target, type, weight                  unlink   source, target, type
    touch    refs, at, strength, utility                   erase    refs (None: all that the scope covers), reason
    get      refs, as_of, known_at                         history  ref
    find     as_of, known_at, record_kinds, limit, newest_first, after (a reference or None)
    count    as_of, known_at, record_kinds
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from remanence.core.errors import InvalidInput
from remanence.scenarios.dice import Dice

ScopeIds = dict[str, str]

ODD_IDS = (
    "a", "an", "ana", "ana ", " ana", "Ana", "ANA", "anab", "ana_b", "ana%", "%", "%%", "_", "__", "a_a", "aba", ".",
    "..", "a.b", "a/b", "a:b", "a|b", "a,b", "a\tb", "a\nb", "a\\b", "a'b", 'a"b', "a;b", "--", "' OR '1'='1", "*",
    "?", "[a-z]", "^a$", "null", "None", "NULL", "0", "00", "1", "-1", "true", "\u00e9", "e\u0301", "ß", "ss", "SS",
    "\u0130", "i\u0307", "\u0131", "日本", "日", "ไทย", "مرحبا", "\u202eana", "a\u200bna", "\ufeffana", "\u00a0",
    " ", "  ", "\U0001f9e0", "\U0001f9e0\U0001f9e0", "\U0001f469\u200d\U0001f467", "\U0001f469", "é" * 200,
    "x" * 511, "x" * 512, "user_id", "ana\x1f", "ana\x7f",
)  # fmt: skip
"""Ids that stores confuse when they match prefixes, patterns, cases or normal forms, or glue ids together."""

WORDS = (
    "harbour lantern orchard copper violin ferry winter marble pepper attic river saddle thunder button meadow compass "
    "ladder candle anchor walnut bridge pillow rocket garden mirror basket hammer silver pocket tunnel"
).split()
ODD_TEXTS = (
    "naïve café — “quoted”", "日本語のテキスト", "ข้อความภาษาไทย", "نص عربي مع 123 أرقام",
    "\U0001f9e0\U0001f680 emoji \U0001f469\u200d\U0001f467", "e\u0301 versus \u00e9", "50% of_all 'rows'; --",
    "tab\tand\nnewline\r\n", "\u202eright to left", "x" * 5000, "a", ".", "   spaces   ", 'NEAR("a" AND b*) OR "',
    "\ufeffbyte order", "\u2028line separator",
)  # fmt: skip
REFUSED_TEXTS = ("", "nul \x00 inside", "lone \ud800 surrogate", "\x00")
KINDS = ("turn", "fact", "note", "summary")
TYPES = ("mentions", "supports", "contradicts", "next")
FIELDS = ("user_id", "agent_id", "run_id", "app_id")
START = datetime(2024, 1, 8, 9, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """One operation: its kind and its arguments (see the module for both)."""

    kind: str
    args: dict[str, object]


def scopes(seed: int, count: int) -> list[ScopeIds]:
    """`count` distinct scopes that are easily mistaken for one another: alike in spelling, nested, or crosswise."""
    if count < 1:
        raise InvalidInput(f"count must be at least 1, not {count}")
    dice = Dice(seed, "scopes")
    ids = dice.shuffled(ODD_IDS)[: max(3, count)]
    found: list[ScopeIds] = []
    while len(found) < count:
        if found and dice.chance(0.5):
            scope = dict(dice.pick(found))
            scope[dice.pick(FIELDS)] = dice.pick(ids)
        elif found and dice.chance(0.3):
            scope = dict(zip(dice.shuffled(FIELDS), dice.pick(found).values(), strict=False))
        else:
            scope = {dice.pick(FIELDS): dice.pick(ids)}
        if scope not in found:
            found.append(scope)
    return found


def history(seed: int, *, steps: int = 60, scope_count: int = 5, refused: bool = False) -> tuple[HistoryStep, ...]:
    """A random history of `steps` operations over `scope_count` scopes, the same for the same arguments everywhere.

    `refused` adds texts and intervals that a store may have to refuse (empty, NUL, lone surrogates, ends before
    starts); two stores must then refuse alike. Errors: `InvalidInput` for counts below 1.
    """
    if steps < 1:
        raise InvalidInput(f"steps must be at least 1, not {steps}")
    writer = _Writer(Dice(seed, "history"), scopes(seed, scope_count), refused)
    return tuple(writer.step() for _ in range(steps))


class _Writer:
    def __init__(self, dice: Dice, scopes: list[ScopeIds], refused: bool) -> None:
        self.dice = dice
        self.scopes = scopes
        self.refused = refused
        self.now = START
        self.batch = 0
        self.scope = scopes[0]
        self.home: dict[str, ScopeIds] = {}
        self.fresh: list[str] = []
        self.links: list[dict[str, object]] = []
        self.made = 0
        makers: list[tuple[str, int, Callable[[], dict[str, object]]]] = [
            ("put", 30, self.put),
            ("revise", 14, self.revise),
            ("close", 7, self.close),
            ("reopen", 5, self.reopen),
            ("link", 7, self.link),
            ("unlink", 3, self.unlink),
            ("touch", 4, self.touch),
            ("erase", 2, self.erase),
            ("get", 9, self.get),
            ("find", 10, self.find),
            ("count", 3, self.count),
            ("history", 6, self.past),
        ]
        self.table = [(kind, make) for kind, weight, make in makers for _ in range(weight)]

    def step(self) -> HistoryStep:
        dice = self.dice
        self.now += timedelta(seconds=dice.between(1, 7200), microseconds=dice.below(1_000_000))
        if not dice.chance(0.3):
            self.batch += 1
            self.scope = dice.pick(self.scopes)
            self.fresh.clear()
        kind, make = dice.pick(self.table) if self.home else ("put", self.put)
        args = {"scope": dict(self.scope), "now": self.now, "batch": self.batch, **make()}
        return HistoryStep(kind, args)

    # What the arguments are made of

    def ref(self) -> str:
        """Mostly a record of this scope, sometimes one of another scope, sometimes none at all."""
        known = [name for name in self.home if name not in self.fresh]
        fate = self.dice.random()
        if fate < 0.04 or not known:
            return "r0"
        mine = [name for name in known if self.scope.items() <= self.home[name].items()]
        return self.dice.pick(mine if mine and fate < 0.85 else known)

    def refs(self) -> tuple[str, ...]:
        return tuple(self.ref() for _ in range(self.dice.between(1, 4)))

    def text(self) -> str:
        fate = self.dice.random()
        if self.refused and fate < 0.05:
            return self.dice.pick(REFUSED_TEXTS)
        if fate < 0.25:
            return self.dice.pick(ODD_TEXTS)
        return " ".join(self.dice.pick(WORDS) for _ in range(self.dice.between(1, 12)))

    def moment(self, empty: float = 0.5) -> datetime | None:
        """A day around now, often none."""
        if self.dice.chance(empty):
            return None
        return self.now + timedelta(days=self.dice.between(-40, 40), seconds=self.dice.below(86_400))

    def view(self) -> dict[str, object]:
        known = START + (self.now - START) * self.dice.random() if self.dice.chance(0.3) else None
        return {"as_of": self.moment(0.6), "known_at": known}

    def kinds(self) -> tuple[str, ...] | None:
        return self.dice.pick([None, None, ("turn",), ("fact", "note"), ("absent",), ()])

    # One maker per kind

    def put(self) -> dict[str, object]:
        dice = self.dice
        self.made += 1
        name = f"r{self.made}"
        starts, ends = self.moment(0.6), self.moment(0.8)
        if ends is not None and not (self.refused and dice.chance(0.3)):
            first = starts or self.now
            ends = max(ends, first + timedelta(days=1))
        sources: tuple[tuple[str, int, int], ...] = ()
        if self.home and dice.chance(0.25):
            start = dice.below(4)
            sources = tuple((ref, start, start + dice.below(20)) for ref in self.refs())
        self.home[name] = dict(self.scope)
        self.fresh.append(name)
        return {
            "ref": name,
            "text": self.text(),
            "record_kind": dice.pick(KINDS),
            "speaker": dice.pick([None, "Ana", "ana", "日本", ""]),
            "event_at": starts if dice.chance(0.5) else None,
            "valid_from": starts,
            "valid_to": ends,
            "meta": dice.pick([{}, {}, {"k": 1}, {"k": "1"}, {"tags": ["a", "b"]}, {"k": {"deep": None}}, {"%": True}]),
            "sources": sources,
        }

    def revise(self) -> dict[str, object]:
        expected = self.dice.pick([None, None, None, "current", "stale"])
        return {"ref": self.ref(), "text": self.text(), "valid_from": self.moment(), "expected": expected}

    def close(self) -> dict[str, object]:
        return {"ref": self.ref(), "at": self.moment(0.4)}

    def reopen(self) -> dict[str, object]:
        return {"ref": self.ref(), "version": self.dice.between(1, 3)}

    def link(self) -> dict[str, object]:
        ends: dict[str, object] = {"source": self.ref(), "target": self.ref(), "type": self.dice.pick(TYPES)}
        self.links.append(ends)
        return {**ends, "weight": self.dice.pick([1.0, 0.5, 0.0, 2.0])}

    def unlink(self) -> dict[str, object]:
        if self.links and self.dice.chance(0.8):
            return dict(self.dice.pick(self.links))
        return {"source": self.ref(), "target": self.ref(), "type": self.dice.pick(TYPES)}

    def touch(self) -> dict[str, object]:
        return {
            "refs": self.refs(),
            "at": self.now,
            "strength": self.dice.pick([None, 0.0, 0.25, 1.5]),
            "utility": self.dice.pick([None, -1.0, 0.5]),
        }

    def erase(self) -> dict[str, object]:
        everything = self.dice.chance(0.25)
        return {"refs": None if everything else self.refs(), "reason": self.dice.pick(["", "asked to", "50% 'done'"])}

    def get(self) -> dict[str, object]:
        return {"refs": self.refs(), **self.view()}

    def find(self) -> dict[str, object]:
        return {
            **self.view(),
            "record_kinds": self.kinds(),
            "limit": self.dice.pick([None, 1, 3, 100]),
            "newest_first": self.dice.chance(0.5),
            "after": self.ref() if self.dice.chance(0.3) else None,
        }

    def count(self) -> dict[str, object]:
        return {**self.view(), "record_kinds": self.kinds()}

    def past(self) -> dict[str, object]:
        return {"ref": self.ref()}
