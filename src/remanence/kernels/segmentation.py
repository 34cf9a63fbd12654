"""Event segmentation: where one episode of a conversation ends and the next begins.

Two channels, either of which may put a boundary (the OR of HiMem, 2026), and what the conversation says itself:

- *topic*: the cosine between the mean vectors of the turns before and after, less what all turns have in common, is
  lower than its neighbours (M. Hearst's TextTiling, 1997) and below the mean of earlier cosines by some deviations;
- *surprise*: the mean negative log-likelihood of a turn's terms under a cache language model (the terms of the last
  turns over a uniform background; R. Kuhn and R. De Mori, 1990) lies as far above its own mean;
- a greeting, or the turn after a farewell;
- words such as "by the way" and "anyway", which bring both thresholds nearer;
- silence of at least `Settings.gap`, and `Settings.longest` turns.

`Segmenter` takes turns as they come; `segment` looks at a whole session, position by position. They agree. A boundary
depends on `Settings.reach` turns before it and `Settings.window` after it, and on where the episode began: one that was
found is never taken back, and a long conversation can be continued from its last episode.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import InvalidInput

Vector = NDArray[np.float32]
Whole = NDArray[np.int64]

GREETING = re.compile(
    r"^\W*(?:(?:oh|well|ah|and|hello|hi|hey|wow)\W+)?"
    r"(?:hey(?! (?:that|it|no|wait|what about|don't))|hi|hello|hiya|howdy|good (?:morning|evening|afternoon)"
    r"|morning(?=[,!.])|long time(?:,)? no|(?:great|good|nice|lovely) to (?:hear|see)"
    r"|(?:it's|its|it has) been (?:a while|ages|so long|forever))\b"
    r"|^[^.!?]{0,30}[.!?,] ?(?:long time no|how(?:'s| is| are)? (?:it going|things|you been|you doing)|what's (?:up"
    r"|new))\b",
    re.IGNORECASE,
)
"""How a conversation is opened."""
FAREWELL = re.compile(
    r"\b(?:bye|goodbye|good night|goodnight|see (?:you|ya)(?: (?:soon|later|then|around|tomorrow|next))?[.!]"
    r"|talk (?:to you |again )?(?:soon|later|next)|talk soon|catch (?:you|up) (?:later|soon)|take care|until next time"
    r"|ttyl|have a (?:great|good|nice|lovely) (?:day|night|evening|one|weekend|time)|sleep well|(?:got"
    r"|have) to (?:run|go)"
    r"(?! (?:to|through|for))|gotta (?:run|go)|later!|take it easy|keep in touch|stay in touch)(?!\w)",
    re.IGNORECASE,
)
"""How a conversation is closed."""
TURN_OF_TALK = re.compile(
    r"\b(?:by the way|btw|anyway|anyways|anyhow|speaking of|on another note|on a different note|changing the subject"
    r"|change of subject|before i forget|that reminds me|moving on|guess what|i (?:wanted|meant) to (?:tell|ask)"
    r"|did i (?:tell|mention)|what else|another (?:thing|question)|next (?:question|topic)|unrelated)\b",
    re.IGNORECASE,
)
"""Words that announce another subject."""

_UNIT = 1 << 20
"""Scores are rounded to parts of a million, so that sums of them are exact in any order."""
_PRIOR = 20
_VOCABULARY = 20_000
"""Words among which the background of the language model chooses evenly."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides about boundaries. `docs/design/units.md` has the measurements behind the defaults.

    Attributes:
        window: Turns on each side whose mean vectors are compared.
        shortest: Turns that an episode has at least, unless silence cuts it.
        longest: Turns that it has at most.
        gap: Silence that always ends an episode.
        topic: Deviations below the mean at which a cosine that is less than its neighbours makes a boundary.
        surprise: Deviations above the mean at which the negative log-likelihood does.
        eased: Deviations by which announcing words lower both.
        memory: Turns that the cache of the language model holds.
        history: Earlier turns from which means and deviations are taken.
    """

    window: int = 3
    shortest: int = 4
    longest: int = 40
    gap: timedelta = timedelta(minutes=30)
    topic: float = 1.5
    surprise: float = 3.0
    eased: float = 0.5
    memory: int = 20
    history: int = 80

    def __post_init__(self) -> None:
        for name in ("window", "memory", "history"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name}={getattr(self, name)} must be at least 1")
        if not self.window < self.shortest <= self.longest:
            raise InvalidInput(
                f"shortest={self.shortest} must be more than window={self.window}, so that an episode can be compared "
                f"with the one before, and at most longest={self.longest}"
            )
        if self.gap <= timedelta(0):
            raise InvalidInput(f"gap={self.gap} must be longer than nothing")

    @property
    def reach(self) -> int:
        """Turns before a position on which its scores and their thresholds depend."""
        return self.history + max(self.history, self.memory, self.window)


@dataclass(frozen=True, slots=True)
class Beat:
    """One turn as the segmenter sees it: its text, terms with meaning, unit vector (None: says nothing) and time."""

    text: str
    terms: Sequence[str] = ()
    vector: Vector | None = None
    at: datetime | None = None


class Segmenter:
    """Finds boundaries in a stream. `starts` are the positions at which an episode is known to begin, ascending.

    Args:
        settings: What decides.
        begun: A position at which an episode is known to begin; the turns before it are context only.
    """

    def __init__(self, settings: Settings | None = None, begun: int = 0) -> None:
        if begun < 0:
            raise InvalidInput(f"begun={begun} is no position of a turn")
        self.settings = Settings() if settings is None else settings
        self.starts: list[int] = []
        self._begun = begun
        self._pushed = 0
        self._silence = 0
        self._turns: deque[_Turn] = deque(maxlen=2 * self.settings.window + 1)
        self._vectors: deque[Whole | None] = deque()
        self._sum: Whole | None = None
        self._cache: deque[Counter[str]] = deque()
        self._counts: Counter[str] = Counter()
        self._topics: deque[int | None] = deque([None, None], maxlen=3)
        self._topic_history = _History(self.settings.history)
        self._surprise_history = _History(self.settings.history)

    def push(self, beat: Beat) -> bool:
        """Take the next turn; whether a boundary became known: before this turn, or up to `window` turns ago."""
        position, before = self._pushed, len(self.starts)
        silent = position > 0 and _silent(self._turns[-1].beat, beat, self.settings.gap)
        if silent:
            self._silence = position
        opens = position > 0 and _opens(self._turns[-1].beat.text, beat.text)
        turn = _Turn(beat, _whole(beat.vector), _weight(beat.terms), _surprise(self._counts, beat.terms), opens)
        self._remember(turn)
        self._pushed += 1
        if position == self._begun or (position > self._begun and silent):
            self.starts.append(position)
        self._topics.append(self._newest_topic())
        if position >= self.settings.window:
            self._decide(position - self.settings.window)
        return len(self.starts) > before

    def _newest_topic(self) -> int | None:
        """Nearness of the last `window` turns to those before them."""
        window, turns = self.settings.window, list(self._turns)
        return _nearness(turns[:-window][-window:], turns[-window:], self._sum, len(self._vectors))

    def _decide(self, position: int) -> None:
        rules, window = self.settings, self.settings.window
        turn = self._turns[-window - 1]
        before, topic, after = self._topics
        if position > self._begun and self._silence <= position and self.starts:
            length = position - self.starts[-1]
            ahead = any(later.opens for later in list(self._turns)[-window:])
            if length >= rules.longest or (
                length >= rules.shortest and (turn.opens or (not ahead and self._strays(turn, before, topic, after)))
            ):
                self.starts.append(position)
        self._topic_history.add(topic)
        self._surprise_history.add(turn.surprise)

    def _strays(self, turn: _Turn, before: int | None, topic: int | None, after: int | None) -> bool:
        eased = self.settings.eased if TURN_OF_TALK.search(turn.beat.text) else 0.0
        return (
            _is_lowest(before, topic, after) and self._topic_history.below(topic, self.settings.topic - eased)
        ) or self._surprise_history.above(turn.surprise, self.settings.surprise - eased)

    def _remember(self, turn: _Turn) -> None:
        self._turns.append(turn)
        self._vectors.append(turn.vector)
        self._sum = _plus(self._sum, turn.vector, 1)
        if len(self._vectors) > self.settings.history:
            self._sum = _plus(self._sum, self._vectors.popleft(), -1)
        counts = Counter(turn.beat.terms)
        self._cache.append(counts)
        self._counts.update(counts)
        if len(self._cache) > self.settings.memory:
            for term, count in self._cache.popleft().items():
                self._counts[term] -= count
                if not self._counts[term]:
                    del self._counts[term]


def segment(beats: Sequence[Beat], settings: Settings | None = None) -> list[range]:
    """The episodes of a session as ranges of positions that follow each other without a gap; none for no turns.

    Looks at each position by itself, all of the session at hand: the readable form of what `Segmenter` does in passing.
    """
    rules = Settings() if settings is None else settings
    size, window = len(beats), rules.window
    cache = [Counter(term for beat in beats[max(0, i - rules.memory) : i] for term in beat.terms) for i in range(size)]
    turns = [
        _Turn(
            beat,
            _whole(beat.vector),
            _weight(beat.terms),
            _surprise(cache[i], beat.terms),
            i > 0 and _opens(beats[i - 1].text, beat.text),
        )
        for i, beat in enumerate(beats)
    ]
    topics = [_topic_at(turns, i, rules) for i in range(size)]
    surprises = [turn.surprise for turn in turns]
    silences = {i for i in range(1, size) if _silent(beats[i - 1], beats[i], rules.gap)}
    starts = [0] if beats else []
    for i in range(1, size):
        near = range(i + 1, i + 1 + window)
        length = i - starts[-1]
        if i in silences:
            starts.append(i)
        elif near.stop <= size and silences.isdisjoint(near):
            eased = rules.eased if TURN_OF_TALK.search(beats[i].text) else 0.0
            past = slice(max(0, i - rules.history), i)
            far = _is_lowest(topics[i - 1], topics[i], topics[i + 1]) and _History.of(topics[past]).below(
                topics[i], rules.topic - eased
            )
            odd = _History.of(surprises[past]).above(surprises[i], rules.surprise - eased)
            wanted = turns[i].opens or ((far or odd) and not any(turns[j].opens for j in near))
            if length >= rules.longest or (length >= rules.shortest and wanted):
                starts.append(i)
    return ranges(starts, size)


def ranges(starts: Sequence[int], size: int) -> list[range]:
    """Episodes of a session of `size` turns from the positions at which they begin."""
    return [range(start, end) for start, end in itertools.pairwise((*starts, size))]


def pk(reference: Iterable[int], found: Iterable[int], size: int, k: int | None = None) -> float:
    """How often two turns `k` apart are told wrongly to belong, or not to belong, to one segment (less is better).

    Segmentations are given by the positions at which segments begin; position 0 may be left out. `k` is half of the
    reference's mean length by default. D. Beeferman, A. Berger, J. Lafferty, "Statistical models for text
    segmentation", Machine Learning, 1999. Raises `InvalidInput` for positions outside of `size` turns.
    """
    gold, guess, k = _compared(reference, found, size, k)
    wrong = sum((gold[i] == gold[i + k]) != (guess[i] == guess[i + k]) for i in range(size - k))
    return wrong / (size - k) if size > k else 0.0


def window_diff(reference: Iterable[int], found: Iterable[int], size: int, k: int | None = None) -> float:
    """How often a window of `k` turns holds another number of boundaries than it should (less is better).

    Arguments as `pk`. L. Pevzner and M. Hearst, "A critique and improvement of an evaluation metric for text
    segmentation", Computational Linguistics, 2002.
    """
    gold, guess, k = _compared(reference, found, size, k)
    wrong = sum(gold[i + k] - gold[i] != guess[i + k] - guess[i] for i in range(size - k))
    return wrong / (size - k) if size > k else 0.0


def _compared(
    reference: Iterable[int], found: Iterable[int], size: int, k: int | None
) -> tuple[list[int], list[int], int]:
    """For both: the number of the segment of each turn; and `k`."""
    gold, guess = _numbers(reference, size), _numbers(found, size)
    if k is None:
        k = max(1, round(size / (2 * (gold[-1] + 1)))) if size else 1
    if k < 1:
        raise InvalidInput(f"k={k} must be at least 1")
    return gold, guess, k


def _numbers(starts: Iterable[int], size: int) -> list[int]:
    begins = set(starts) - {0}
    if any(not 0 < start < size for start in begins):
        raise InvalidInput(f"segments begin at {sorted(begins)}, but there are only {size} turns")
    out, number = [], 0
    for position in range(size):
        number += position in begins
        out.append(number)
    return out


class _History:
    """Mean and deviation of the last scores."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._scores: deque[int | None] = deque()
        self._count = self._sum = self._squares = 0

    @classmethod
    def of(cls, scores: Sequence[int | None]) -> _History:
        history = cls(max(1, len(scores)))
        for score in scores:
            history.add(score)
        return history

    def add(self, score: int | None) -> None:
        self._scores.append(score)
        self._weigh(score, 1)
        if len(self._scores) > self._size:
            self._weigh(self._scores.popleft(), -1)

    def below(self, score: int | None, sigmas: float) -> bool:
        """Whether a score lies `sigmas` deviations below the mean."""
        limit = self._limit(-sigmas)
        return score is not None and limit is not None and score < limit

    def above(self, score: int | None, sigmas: float) -> bool:
        """Whether a score lies `sigmas` deviations above the mean."""
        limit = self._limit(sigmas)
        return score is not None and limit is not None and score > limit

    def _weigh(self, score: int | None, sign: int) -> None:
        if score is not None:
            self._count += sign
            self._sum += sign * score
            self._squares += sign * score * score

    def _limit(self, sigmas: float) -> float | None:
        # Deviations of a handful of scores mean nothing.
        if self._count < 4:
            return None
        variance = self._count * self._squares - self._sum * self._sum
        return (self._sum + sigmas * math.sqrt(variance)) / self._count


@dataclass(frozen=True, slots=True)
class _Turn:
    """A turn and what is known of it alone: its vector in whole numbers, what that counts, its surprise in units."""

    beat: Beat
    vector: Whole | None
    weight: float
    surprise: int | None
    opens: bool


def _whole(vector: Vector | None) -> Whole | None:
    return None if vector is None else np.rint(vector * np.float64(_UNIT)).astype(np.int64)


def _plus(total: Whole | None, vector: Whole | None, sign: int) -> Whole | None:
    if vector is None:
        return total
    return sign * vector if total is None else total + sign * vector


def _weight(terms: Sequence[str]) -> float:
    # A remark without content ("Wow, great!") says little about the subject, a long turn much.
    return math.sqrt(len(set(terms)))


def _topic_at(turns: Sequence[_Turn], position: int, rules: Settings) -> int | None:
    end = position + rules.window
    if end > len(turns):
        return None
    known = turns[max(0, end - rules.history) : end]
    total: Whole | None = None
    for turn in known:
        total = _plus(total, turn.vector, 1)
    return _nearness(turns[max(0, position - rules.window) : position], turns[position:end], total, len(known))


def _nearness(left: Sequence[_Turn], right: Sequence[_Turn], total: Whole | None, count: int) -> int | None:
    """Cosine of the weighted sums of two groups of vectors, in units; None where one of them is zero or unknown.

    What all turns have in common, the mean of the last `count` turns, is taken away first: chatty turns resemble each
    other whatever they are about. `_PRIOR` turns without direction keep that of a young session small.
    """
    if total is None or not left or not right:
        return None
    mean = total / (_UNIT * (count + _PRIOR))
    a, b = _weighted(left, mean), _weighted(right, mean)
    lengths = math.sqrt(float(a @ a) * float(b @ b))
    return round(_UNIT * float(a @ b) / lengths) if lengths > 0 else None


def _weighted(turns: Sequence[_Turn], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.zeros_like(mean)
    for turn in turns:
        if turn.vector is not None:
            total += turn.weight * (turn.vector / _UNIT - mean)
    return total


def _is_lowest(before: int | None, score: int | None, after: int | None) -> bool:
    """Whether a score is less than the next one and at most the last one."""
    return score is not None and (before is None or score <= before) and (after is None or score < after)


def _surprise(cache: Counter[str], terms: Sequence[str]) -> int | None:
    """Mean negative log-likelihood of distinct terms, in units; None without terms."""
    distinct = dict.fromkeys(terms)
    if not distinct:
        return None
    total = cache.total() + 1
    likelihoods = [math.log((cache[term] + 1 / _VOCABULARY) / total) for term in distinct]
    return round(-_UNIT * math.fsum(likelihoods) / len(likelihoods))


def _opens(before: str, text: str) -> bool:
    """Whether a turn opens a conversation, by its own words or because the last one was closed."""
    if GREETING.search(text):
        return True
    return FAREWELL.search(before) is not None and FAREWELL.search(text) is None


def _silent(before: Beat, beat: Beat, gap: timedelta) -> bool:
    return before.at is not None and beat.at is not None and abs(beat.at - before.at) >= gap
