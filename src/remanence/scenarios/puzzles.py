"""A stream of arithmetic puzzles and a scripted weak model that solves one only if its prompt holds the needed rule.

Puzzles belong to families: an operation ("brenn") in a ledger ("harbour") has a hidden formula, the family's snippet,
one line of Python. Operations and ledgers are crossed, so the most similar earlier puzzle is often one of another
family. `WeakModel` answers the two kinds of prompt of a Dynamic Cheatsheet (a generator that solves, a curator that
rewrites the memory) as a pure function of the messages: usable directly, or as what an HTTP service answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from remanence.core.errors import InvalidInput
from remanence.kernels.packing import estimate_tokens
from remanence.scenarios.dice import Dice

__all__ = ["Puzzle", "PuzzleFamily", "WeakModel", "families", "final_answer", "puzzle_stream", "refused"]

OPERATIONS = ("brenn", "tolk", "quarl", "fesp", "mivvin", "zarth")
LEDGERS = ("harbour", "mountain", "orchard", "desert")
QUESTIONS = (
    "In the {ledger} ledger, what is {x} {operation} {y}?",
    "Work out {x} {operation} {y} by the {ledger} ledger.",
    "The {ledger} ledger asks for {x} {operation} {y}. What is the number?",
    "What number does the {ledger} ledger give for {x} {operation} {y}?",
    "Following the {ledger} ledger, compute {x} {operation} {y}.",
    "A clerk of the {ledger} ledger needs {x} {operation} {y}; which number is right?",
)
REFUSAL = "ERROR: context length exceeded"

_PUZZLE = re.compile(r"Puzzle (?P<number>\d+): (?P<question>[^\n]*)")
_ASKED = re.compile(r"(?P<x>\d+) (?P<operation>[a-z]+) (?P<y>\d+)")
_LEDGER = re.compile(r"(?P<ledger>[a-z]+) ledger")
_RULE = re.compile(r"def [a-z_]+\(x, y\): return [^\n`<]+")
_ITEM = re.compile(r"<memory_item>(?P<body>.*?)</memory_item>(?:\s*\*\* Count:\s*(?P<count>\d+))?", re.DOTALL)
_REFERENCES = re.compile(r"\(Reference: (?P<list>Q[^)]*)\)")
_QUESTION_TAG = re.compile(r"<question>(.*?)</question>", re.DOTALL | re.IGNORECASE)
_QUESTION_HEAD = re.compile(r"^[^\w\n]*question[^\w\n]*$|\bquestion:", re.IGNORECASE | re.MULTILINE)
_CURATION = re.compile(r"previous[ _]cheatsheet", re.IGNORECASE)
_AFTERWARDS = re.compile(r"model[ _]answer", re.IGNORECASE)
_FINAL = re.compile(r"FINAL ANSWER:\s*(-?\d+)")


@dataclass(frozen=True, slots=True)
class PuzzleFamily:
    """A hidden rule: x `operation` y = (a·x + b·y + c) mod m in this ledger; `snippet` is the rule as Python."""

    operation: str
    ledger: str
    a: int
    b: int
    c: int
    m: int

    @property
    def name(self) -> str:
        """Operation and ledger, as the snippet's function is called."""
        return f"{self.operation}_{self.ledger}"

    @property
    def snippet(self) -> str:
        """What must stand in a prompt for the weak model to solve a puzzle of the family."""
        return f"def {self.name}(x, y): return ({self.a} * x + {self.b} * y + {self.c}) % {self.m}"

    def value(self, x: int, y: int) -> int:
        """The right number."""
        return (self.a * x + self.b * y + self.c) % self.m


@dataclass(frozen=True, slots=True)
class Puzzle:
    """One instance; `answer` is the number in digits, `family` and `snippet` are for checkers only."""

    id: str
    number: int
    text: str
    answer: str
    family: str
    snippet: str

    def solved_by(self, reply: str) -> bool:
        """Whether the final answer of a reply is right."""
        return final_answer(reply) == self.answer


def final_answer(reply: str) -> str | None:
    """The number after the last `FINAL ANSWER:` of a reply, or None."""
    found = _FINAL.findall(reply)
    return str(found[-1]) if found else None


def refused(reply: str) -> bool:
    """Whether the weak model refused a prompt for its length; a service would answer 400 then."""
    return reply.startswith(REFUSAL)


def families(seed: int, count: int = 5) -> tuple[PuzzleFamily, ...]:
    """The first `count` families of this seed, up to 24; neighbours share their operation or their ledger.

    Errors: `InvalidInput` for another count.
    """
    if not 1 <= count <= len(OPERATIONS) * len(LEDGERS):
        raise InvalidInput(f"count={count} must be 1 to {len(OPERATIONS) * len(LEDGERS)}")
    dice = Dice(seed, "families")
    operations, ledgers = dice.shuffled(OPERATIONS), dice.shuffled(LEDGERS)
    found: list[PuzzleFamily] = []
    for first in range(0, len(ledgers), 2):
        for operation in operations:
            for ledger in ledgers[first : first + 2]:
                a, b, c = dice.between(2, 9), dice.between(2, 9), dice.between(1, 40)
                found.append(PuzzleFamily(operation, ledger, a, b, c, dice.pick((83, 89, 97, 101))))
    return tuple(found[:count])


def puzzle_stream(seed: int, *, count: int = 200, family_count: int = 5) -> tuple[Puzzle, ...]:
    """`count` puzzles of `family_count` families in a random order; a longer stream begins with the shorter one.

    Errors: `InvalidInput` for counts out of range.
    """
    if count < 1:
        raise InvalidInput(f"count={count} must be at least 1")
    kinds = families(seed, family_count)
    return tuple(_puzzle(Dice(seed, "puzzle", number), number, kinds) for number in range(1, count + 1))


def _puzzle(dice: Dice, number: int, kinds: Sequence[PuzzleFamily]) -> Puzzle:
    family = dice.pick(kinds)
    x, y = dice.between(11, 99), dice.between(11, 99)
    question = dice.pick(QUESTIONS).format(ledger=family.ledger, operation=family.operation, x=x, y=y)
    text = f"Puzzle {number}: {question}"
    return Puzzle(f"z{number:04}", number, text, str(family.value(x, y)), family.name, family.snippet)


class WeakModel:
    """A model that knows no rule by itself, reads well, and copies neatly most of the time.

    Generator prompts. The puzzle asked is the one in `<question>` tags, else the first after the last heading
    "Question", else the last one of the prompt. The answer is right iff the family's snippet stands in the prompt, or
    else with probability `discover` (drawn per puzzle, so the same for every memory); a right answer shows the snippet
    in a code block, a wrong one shows none. Both end in `FINAL ANSWER: n`.

    Curator prompts are those with the words "previous cheatsheet". The reply copies every memory item of the prompt
    that holds a snippet, and adds an item for each snippet that stands elsewhere in the prompt. Where the prompt has
    the words "model answer" (curation after the answer), each snippet outside the items is a use: the Count of its
    item goes up by one and the puzzle is added to its references. Otherwise (synthesis before the answer) known items
    stay as they are. With probability `malformed`, drawn per prompt, the reply holds no complete
    `<cheatsheet>…</cheatsheet>`.

    Any prompt of more than `context_limit` tokens (as `kernels.packing.estimate_tokens` counts) is refused with a text
    that `refused` recognises.

    Args:
        seed: that of the puzzles; also of the model's own draws.
        discover: probability of finding an unknown rule.
        malformed: probability of an unusable curation.
        context_limit: tokens of all messages together; None for no limit.

    """

    def __init__(
        self, seed: int, *, discover: float = 0.1, malformed: float = 0.2, context_limit: int | None = None
    ) -> None:
        for name, share in (("discover", discover), ("malformed", malformed)):
            if not 0 <= share <= 1:
                raise InvalidInput(f"{name}={share} must be a probability from 0 to 1")
        if context_limit is not None and context_limit < 1:
            raise InvalidInput(f"context_limit={context_limit} must be at least 1, or None")
        self._seed = seed
        self._discover = discover
        self._malformed = malformed
        self._limit = context_limit
        self._families = {
            (family.operation, family.ledger): family for family in families(seed, len(OPERATIONS) * len(LEDGERS))
        }

    def __call__(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The reply to a conversation. Without a puzzle in it, says so."""
        prompt = "\n".join(message["content"] for message in messages)
        size = estimate_tokens(prompt)
        if self._limit is not None and size > self._limit:
            return f"{REFUSAL}: this model takes {self._limit} tokens, and the messages have {size}"
        asked = self._asked(prompt)
        if asked is None:
            return "I see no puzzle here."
        return self._curate(prompt, asked) if _CURATION.search(prompt) else self._solve(prompt, asked)

    def discovers(self, puzzle: str) -> bool:
        """Whether the model finds the rule of this puzzle (its text) without help."""
        return Dice(self._seed, "discover", puzzle).chance(self._discover)

    def _asked(self, prompt: str) -> re.Match[str] | None:
        tagged = _QUESTION_TAG.findall(prompt)
        if tagged:
            return _PUZZLE.search(tagged[-1])
        heads = list(_QUESTION_HEAD.finditer(prompt))
        if heads and (found := _PUZZLE.search(prompt, heads[-1].end())):
            return found
        every = list(_PUZZLE.finditer(prompt))
        return every[-1] if every else None

    def _solve(self, prompt: str, asked: re.Match[str]) -> str:
        terms, ledger = _ASKED.search(asked["question"]), _LEDGER.search(asked["question"])
        family = self._families.get((terms["operation"], ledger["ledger"])) if terms and ledger else None
        if terms is None or family is None:
            return "I cannot read this puzzle."
        x, y = int(terms["x"]), int(terms["y"])
        right = family.value(x, y)
        if family.snippet in prompt or self.discovers(asked.group().strip()):
            return f"The rule is known:\n```python\n{family.snippet}\n```\nFINAL ANSWER: {right}"
        guess = x + y if x + y != right else x + y + 1
        return f"I do not know this rule, so I add the numbers.\nFINAL ANSWER: {guess}"

    def _curate(self, prompt: str, asked: re.Match[str]) -> str:
        counts: dict[str, int] = {}
        references: dict[str, list[str]] = {}
        for item in _ITEM.finditer(prompt):
            rule = _RULE.search(item["body"])
            if rule:
                counts[rule.group()] = counts.get(rule.group(), 0) + int(item["count"] or 1)
                cited = _REFERENCES.search(item["body"])
                references.setdefault(rule.group(), []).extend(cited["list"].split(", ") if cited else [])
        used = bool(_AFTERWARDS.search(prompt))
        for rule_text in dict.fromkeys(_RULE.findall(_ITEM.sub("", prompt))):
            if used or rule_text not in counts:
                counts[rule_text] = counts.get(rule_text, 0) + 1
                references.setdefault(rule_text, []).append(f"Q{asked['number']}")
        sheet = "\n".join(_item(rule, counts[rule], references[rule]) for rule in counts)
        dice = Dice(self._seed, "malformed", prompt)
        if dice.chance(self._malformed):
            return dice.pick((f"<cheatsheet>\n{sheet}", sheet, "Here is the updated sheet, as you asked.", ""))
        return f"Nothing else is worth keeping.\n<cheatsheet>\n{sheet}\n</cheatsheet>"


def _item(rule: str, count: int, references: Sequence[str]) -> str:
    name = rule[len("def ") : rule.index("(")].replace("_", " in the ledger of the ")
    cited = ", ".join(dict.fromkeys(references))
    return (
        f"<memory_item>\n<description>\nHow to work out {name}. (Reference: {cited})\n</description>\n"
        f"<example>\n{rule}\n</example>\n</memory_item>\n** Count: {count}"
    )
