"""A plain BM25 without stemming, stop words or context: what a hard scenario must withstand."""

from __future__ import annotations

import math
import re
from collections import Counter


class Bm25:
    """Ranks texts by the words that they share with a query (k1 = 1.2, b = 0.75)."""

    def __init__(self, texts: list[str]) -> None:
        self.counts = [Counter(words(text)) for text in texts]
        self.lengths = [sum(count.values()) for count in self.counts]
        self.mean = sum(self.lengths) / len(texts)
        self.documents = Counter(word for count in self.counts for word in count)

    def rank(self, query: str) -> list[int]:
        """Indexes of all texts, best first; ties in order of appearance."""
        asked = words(query)
        scores = [
            sum(self.weight(word) * self.saturation(count[word], length) for word in asked if word in count)
            for count, length in zip(self.counts, self.lengths, strict=True)
        ]
        return sorted(range(len(scores)), key=lambda i: -scores[i])

    def weight(self, word: str) -> float:
        found = self.documents[word]
        return math.log(1 + (len(self.counts) - found + 0.5) / (found + 0.5))

    def saturation(self, count: int, length: int) -> float:
        return count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length / self.mean))


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
