"""Uncased BERT normalisation and WordPiece, as arithmetic on strings.

The static embedder looks up one table row per WordPiece token, so its tokens must be exactly those of the model it
was distilled from. The `tokenizers` package gives them too, but brings about 45 MB of dependencies into the base
install; the algorithm itself is small. Tests hold the two equal on real and random text.

Source: J. Devlin et al., "BERT" (NAACL 2019), uncased variant: control characters removed, CJK ideographs isolated,
canonical decomposition with nonspacing marks dropped, lower case, punctuation isolated, then greedy longest match
(M. Schuster and K. Nakajima, "Japanese and Korean voice search", ICASSP 2012).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from remanence.core.errors import InvalidInput

__all__ = ["WordPiece", "basic_words", "encode_naive"]

CONTINUATION = "##"
MAX_WORD_CHARS = 100

# The blocks that BERT calls CJK. Extension E starts at 2B920 instead of 2B820, as in the tokenizer of the source
# model: a table row belongs to what that tokenizer produced, typing slip included.
_CJK_RANGES = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
# Characters seen so far are remembered; the bound keeps a text that walks through all of Unicode from growing it.
_TABLE_LIMIT = 16_384
# A run without spaces that is longer than this is seldom met twice (a URL, a base64 blob, a Chinese paragraph).
_CACHED_CHUNK_CHARS = 48

_ASCII_WORD = re.compile(r"[a-z0-9]+|[^a-z0-9]")


def _is_punctuation(char: str) -> bool:
    code = ord(char)
    if code < 128:
        return 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return unicodedata.category(char).startswith("P")


def _clean(char: str) -> str:
    """What the cleaning pass makes of one character: nothing, a space, the character, or it between spaces."""
    code = ord(char)
    if char in "\t\n\r":
        return " "
    # Cs: a lone surrogate is no text; it cannot even be encoded.
    if code == 0xFFFD or unicodedata.category(char) in ("Cc", "Cf", "Co", "Cs"):
        return ""
    if char.isspace():
        return " "
    if any(first <= code <= last for first, last in _CJK_RANGES):
        return f" {char} "
    return char


def _isolate(char: str) -> str:
    return f" {char} " if _is_punctuation(char) else char


class _Table(dict[int, str]):
    """A `str.translate` table that fills itself from a function of one character."""

    def __init__(self, rule: str) -> None:
        super().__init__()
        self._rule = _clean if rule == "clean" else _isolate

    def __missing__(self, code: int) -> str:
        value = self._rule(chr(code))
        if len(self) < _TABLE_LIMIT:
            self[code] = value
        return value


_CLEAN = _Table("clean")
_ISOLATE = _Table("isolate")


def basic_words(text: str) -> list[str]:
    """Normalise `text` and split it into the words that WordPiece takes apart.

    Any string is accepted, lone surrogates and NUL included (both are dropped).
    """
    cleaned = text.translate(_CLEAN)
    if cleaned.isascii():
        return [word for chunk in cleaned.lower().split(" ") for word in _ASCII_WORD.findall(chunk)]
    decomposed = unicodedata.normalize("NFD", cleaned)
    bare = "".join([char for char in decomposed if unicodedata.category(char) != "Mn"])
    # str.lower() gives a word-final sigma its own form; the source tokenizer lowers character by character.
    lowered = bare.replace("Σ", "σ").lower()
    return lowered.translate(_ISOLATE).split()


class WordPiece:
    """Text to token ids, without [CLS] and [SEP].

    Args:
        vocab: tokens by id, continuations marked with `##`, `unknown` among them.
        unknown: the token for a word that cannot be put together from the vocabulary.
        cache_size: how many distinct space-separated chunks and how many distinct words are remembered. The cache is
            emptied when full, so its size is bounded and its content never changes a result.

    Raises:
        InvalidInput: the vocabulary lacks `unknown` or names a token twice.

    """

    def __init__(self, vocab: Sequence[str], *, unknown: str = "[UNK]", cache_size: int = 32_768) -> None:
        self._ids = {token: index for index, token in enumerate(vocab)}
        if len(self._ids) != len(vocab):
            raise InvalidInput(f"vocabulary of {len(vocab)} tokens holds only {len(self._ids)} different ones")
        if unknown not in self._ids:
            raise InvalidInput(f"vocabulary has no {unknown!r}; pass the token that stands for unknown words")
        self.unknown_id = self._ids[unknown]
        self._longest = max(len(token) for token in vocab)
        self._cache_size = cache_size
        self._chunks: dict[str, tuple[int, ...]] = {}
        self._words: dict[str, tuple[int, ...]] = {}

    @property
    def tokens(self) -> list[str]:
        """The vocabulary, by id."""
        return list(self._ids)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, [UNK] for each word that the vocabulary cannot spell."""
        ids: list[int] = []
        self._extend(ids, text)
        return ids

    def encode_many(self, texts: Iterable[str]) -> tuple[list[int], list[int]]:
        """Token ids of all texts one after the other, and how many of them each text has."""
        ids: list[int] = []
        lengths: list[int] = []
        done = 0
        for text in texts:
            self._extend(ids, text)
            lengths.append(len(ids) - done)
            done = len(ids)
        return ids, lengths

    def _extend(self, ids: list[int], text: str) -> None:
        # isprintable() is False for every control character and every space but " ": then the cleaning table decides
        # what separates, for str.split() would also cut at controls that BERT deletes.
        if not text.isprintable():
            text = text.translate(_CLEAN)
        chunks = self._chunks
        for chunk in text.split():
            known = chunks.get(chunk)
            if known is None:
                known = self._chunk_ids(chunk)
            ids += known

    def _chunk_ids(self, chunk: str) -> tuple[int, ...]:
        words = self._words
        found: list[int] = []
        for word in basic_words(chunk):
            pieces = words.get(word)
            if pieces is None:
                pieces = self._word_ids(word)
                if len(word) <= MAX_WORD_CHARS:
                    self._remember(words, word, pieces)
            found += pieces
        ids = tuple(found)
        if len(chunk) <= _CACHED_CHUNK_CHARS:
            self._remember(self._chunks, chunk, ids)
        return ids

    def _remember(self, cache: dict[str, tuple[int, ...]], key: str, value: tuple[int, ...]) -> None:
        if len(cache) >= self._cache_size:
            cache.clear()
        cache[key] = value

    def _word_ids(self, word: str) -> tuple[int, ...]:
        whole = self._ids.get(word)
        if whole is not None:
            return (whole,)
        if len(word) > MAX_WORD_CHARS:
            return (self.unknown_id,)
        ids, longest = self._ids, self._longest
        pieces: list[int] = []
        start, size = 0, len(word)
        while start < size:
            prefix = CONTINUATION if start else ""
            # No token is longer than `longest`, so longer candidates need no look-up.
            for stop in range(min(size, start + longest), start, -1):
                piece = ids.get(prefix + word[start:stop])
                if piece is not None:
                    break
            else:
                return (self.unknown_id,)
            pieces.append(piece)
            start = stop
        return tuple(pieces)


def encode_naive(text: str, vocab: Sequence[str], unknown: str = "[UNK]") -> list[int]:
    """`WordPiece(vocab).encode(text)` in its plain form: whole text at once, no cache, every length tried."""
    ids = {token: index for index, token in enumerate(vocab)}
    cleaned = "".join(_clean(char) for char in text)
    decomposed = unicodedata.normalize("NFD", cleaned)
    bare = "".join(char for char in decomposed if unicodedata.category(char) != "Mn")
    lowered = "".join("σ" if char == "Σ" else char.lower() for char in bare)
    result: list[int] = []
    for word in "".join(_isolate(char) for char in lowered).split():
        pieces: list[int] = []
        rest = word if len(word) <= MAX_WORD_CHARS else ""
        while rest:
            sizes = [n for n in range(len(rest), 0, -1) if (CONTINUATION if pieces else "") + rest[:n] in ids]
            if not sizes:
                pieces = []
                break
            pieces.append(ids[(CONTINUATION if pieces else "") + rest[: sizes[0]]])
            rest = rest[sizes[0] :]
        result += pieces or [ids[unknown]]
    return result
