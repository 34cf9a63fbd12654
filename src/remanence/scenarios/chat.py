"""One session as it is spoken: who is present, whose turn it is, and the talk that carries no facts."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from remanence.scenarios import smalltalk
from remanence.scenarios.dice import Dice
from remanence.scenarios.model import Turn
from remanence.scenarios.phrases import Lines, Person, names_subject, render

T = TypeVar("T")
RECENT = 40
"""How many sentences back a repetition is avoided."""


class Chat:
    """Appends turns to `turns`, moving `clock` on with each."""

    def __init__(self, clock: datetime) -> None:
        self.clock = clock
        self.recent: deque[object] = deque(maxlen=RECENT)
        self.begin(Dice("nobody"), "", [])

    def begin(self, dice: Dice, name: str, present: list[Person]) -> None:
        """Start a session; what was said before is no longer held here."""
        self.dice = dice
        self.name = name
        self.present = present
        self.turns: list[Turn] = []

    def say(self, speaker: Person, text: str) -> str:
        """Add a turn; its id."""
        text = text[0].upper() + text[1:]
        turn = Turn(f"{self.name}-t{len(self.turns):03d}", self.name, speaker.name, text, self.clock)
        self.turns.append(turn)
        self.clock += timedelta(seconds=self.dice.between(12, 95))
        return turn.id

    def said_at(self, turn: str) -> datetime:
        """When a turn of this session was said."""
        return self.turns[int(turn.rpartition("t")[2])].at

    def fresh(self, items: Sequence[T]) -> T:
        """One of the items, preferably none that was used lately."""
        item = self.dice.pick(items)
        for _ in range(3):
            if item not in self.recent:
                break
            item = self.dice.pick(items)
        self.recent.append(item)
        return item

    def other(self, *not_these: Person) -> Person:
        """Someone present, but none of these."""
        return self.dice.pick([someone for someone in self.present if someone not in not_these])

    def pair(self, pairs: Sequence[tuple[str, str]]) -> None:
        """A greeting or a farewell and its reply."""
        one = self.dice.pick(self.present)
        two = self.other(one)
        first, second = self.fresh(pairs)
        self.say(one, first.format(A=two.name, B=one.name))
        self.say(two, second.format(A=two.name, B=one.name))

    def react(self, listener: Person) -> None:
        """Perhaps a word of interest."""
        if self.dice.chance(0.6):
            self.say(listener, self.fresh(smalltalk.REACTIONS))

    def small_talk(self) -> None:
        """An exchange about nothing in particular."""
        one = self.dice.pick(self.present)
        two = self.other(one)
        fill = {name: self.dice.pick(options) for name, options in smalltalk.FILL.items()}
        for i, line in enumerate(self.fresh(smalltalk.EXCHANGES)):
            lead = self.dice.pick(smalltalk.LEAD_INS) if i == 0 else ""
            self.say(two if i % 2 else one, lead + line.format(**fill))

    def tell(
        self, speaker: Person, who: Person, template: str, fields: dict[str, str], ask: Lines = (), asked: float = 0.0
    ) -> str:
        """Have `speaker` say something about `who`, in some conversational setting; the id of that turn.

        With probability `asked` a listener first asks one of `ask`. Where the sentence does not name whom it is
        about, a listener names them first.
        """
        listener = self.other(speaker)
        first = who is speaker
        sentence = render(template, who, first, fields)
        if first and ask and self.dice.chance(asked):
            self.say(listener, self.dice.pick(ask).format(A=speaker.name))
        elif not first and (not names_subject(template) or self.dice.chance(0.4)):
            self.say(listener, self.fresh(smalltalk.ABOUT).format(n=who.name))
        elif self.dice.chance(0.3):
            sentence = f"{self.fresh(smalltalk.OPENERS)} {sentence[0].upper()}{sentence[1:]}"
        turn = self.say(speaker, sentence)
        self.react(listener)
        return turn

    def answer(self, speaker: Person, ask: Lines, fields: dict[str, str]) -> str:
        """A question to `speaker` and a reply that makes no sense without it; the id of the reply."""
        listener = self.other(speaker)
        self.say(listener, self.dice.pick(ask).format(A=speaker.name))
        turn = self.say(speaker, self.fresh(smalltalk.SHORT).format(**fields))
        self.react(listener)
        return turn
