from __future__ import annotations

import random
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import remanence.stores.embedders
from remanence.core.errors import InvalidInput
from remanence.kernels import wordpiece
from remanence.kernels.wordpiece import WordPiece, basic_words, encode_naive

VOCAB_FILE = Path(next(iter(remanence.stores.embedders.__path__))) / "data" / "minilm-l6-static-256" / "vocab.txt"
VOCAB = VOCAB_FILE.read_text(encoding="utf-8").removesuffix("\n").split("\n")
SMALL = ["[UNK]", "un", "##aff", "##able", "##a", "aff", "able", "a", ",", "!", "##s", "caf", "##e", "σας", "σασ", "天"]

REAL = [
    "Hello, world! I'm going to the café with José & Zoë — it's 3:45pm (GMT+1), isn't it?",
    "My email is ana.silva+test@example.co.uk; see https://example.com/a?b=c&d=%20e#f",
    "👩‍👩‍👧‍👦 Family 🇳🇴 flag 🏳️‍🌈 skin 👍🏽 done ✅ ❤️",
    "שלום עולם, מה שלומך? مرحبا بالعالم، كيف حالك؟ كَيْفَ حَالُكَ",
    "สวัสดีชาวโลก วันนี้อากาศดีมาก ๆ",
    "我昨天从里斯本搬到了奥斯陆。明日は東京へ行きます！안녕하세요 세계",
    "नमस्ते दुनिया। আমি বাংলায় গান গাই। தமிழ் வாழ்க",
    "Größe STRASSE straße ẞ İstanbul ıspanak ǅ ŉ ﬁne ﬀ Ǆ",
    "ΟΔΥΣΣΕΥΣ ΤΑΣ ΣΑΣ. Ὀδυσσεύς Πηληϊάδεω",
    "Đặng Thái Sơn chơi piano ở Hà Nội; Łódź, Čapek, Ångström, naïve coöperation",
    "a\x00b\x01c\x7fd\x85e\u200bf\u200dg\ufeffh\u00adi\u202ej\ufffdk\ue000l",
    "tab\there\nnew\r\nline\x0bvertical\x0cform\x1cfs\x1dgs\x1ers\x1fus",
    "nbsp\u00a0thin\u2009ideo\u3000end\u2028ls\u2029ps",
    "e\u0301e\u0300\u0323 a\u0315\u0300\u05ae\u0062 \u1100\u1161\u11a8 q\u0307\u0323",
    "x" * 100 + " " + "x" * 101 + " " + "é" * 100 + " " + "é" * 101,
    "...---!!!??? $100.00 50% C++ C# a_b-c/d\\e|f~g`h^i",
    "𝕳𝖊𝖑𝖑𝖔 𝐰𝐨𝐫𝐥𝐝 ⅷ ½ ² ₃ № ™ ① ㍿",
    "𠀀𪛟 𪜀𫜿 𫝀𫠝 𫠡 𬺡 豈丽 ㍻",
    "",
    "   ",
]
# Ranges that real and hostile text comes from; a letter from each soon meets the others.
RANGES = [
    (0x00, 0x7F),
    (0x80, 0x24F),
    (0x300, 0x36F),
    (0x370, 0x52F),
    (0x590, 0x6FF),
    (0x900, 0xD7F),
    (0xE00, 0xE7F),
    (0x1100, 0x11FF),
    (0x1E00, 0x206F),
    (0x2E80, 0x33FF),
    (0x4E00, 0x4EFF),
    (0xAC00, 0xACFF),
    (0xF900, 0xFFFF),
    (0x1F300, 0x1FAFF),
    (0x20000, 0x2FA1F),
]


def long_settled(char: str) -> bool:
    """Whether all tables agree on the character: the reference's are years older than Python's.

    Newer letters without case and newer symbols (emoji) are plain characters to both; no newer character is a token.
    """
    old, new = unicodedata.ucd_3_2_0.category(char), unicodedata.category(char)
    return old == new or (old == "Cn" and new in ("Lo", "So"))


def random_text(rng: random.Random) -> str:
    chars = [chr(rng.randint(*rng.choice(RANGES))) for _ in range(rng.randrange(40))]
    return "".join(char for char in chars if long_settled(char))


@pytest.fixture(scope="module")
def reference() -> Any:
    tokenizers = pytest.importorskip("tokenizers")
    vocab = {token: index for index, token in enumerate(VOCAB)}
    reference = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocab, unk_token="[UNK]"))
    reference.normalizer = tokenizers.normalizers.BertNormalizer()
    reference.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return reference


@pytest.fixture(scope="module")
def ours() -> WordPiece:
    return WordPiece(VOCAB)


def test_equals_tokenizers_on_real_text(reference: Any, ours: WordPiece) -> None:
    for text in REAL:
        assert ours.encode(text) == reference.encode(text, add_special_tokens=False).ids, text


def test_equals_tokenizers_on_random_unicode(reference: Any, ours: WordPiece) -> None:
    rng = random.Random(7)
    texts = [random_text(rng) for _ in range(4000)]
    assert sum(map(len, texts)) > 30_000
    expected = [found.ids for found in reference.encode_batch(texts, add_special_tokens=False)]
    for text, ids in zip(texts, expected, strict=True):
        assert ours.encode(text) == ids, text


def test_equals_tokenizers_on_recombined_words(reference: Any, ours: WordPiece) -> None:
    rng = random.Random(11)
    pieces = [token.removeprefix("##") for token in VOCAB if not token.startswith("[")]
    texts = []
    for _ in range(3000):
        word = "".join(rng.choice(pieces) for _ in range(rng.randint(1, 4)))
        texts.append(f"{word.title()} {word.upper()}{rng.choice('.,!? ')}{rng.choice(pieces)}")
    expected = [found.ids for found in reference.encode_batch(texts, add_special_tokens=False)]
    assert [ours.encode(text) for text in texts] == expected


def test_equals_tokenizers_on_each_character(reference: Any, ours: WordPiece) -> None:
    chars = [chr(code) for code in range(0x3400) if long_settled(chr(code))]
    texts = [f"a{char}b" for char in chars]
    expected = [found.ids for found in reference.encode_batch(texts, add_special_tokens=False)]
    wrong = [hex(ord(char)) for char, text, ids in zip(chars, texts, expected, strict=True) if ours.encode(text) != ids]
    assert wrong == []


@given(st.text(max_size=60))
def test_fast_form_equals_naive_form(text: str) -> None:
    assert WordPiece(SMALL).encode(text) == encode_naive(text, SMALL)


@given(st.text(alphabet="unaffblecs ,!éΣσς天\x1f\x0b\u00a0\u0301", max_size=40))
def test_fast_form_equals_naive_form_near_the_vocabulary(text: str) -> None:
    assert WordPiece(SMALL).encode(text) == encode_naive(text, SMALL)


def test_greedy_longest_match_first() -> None:
    tokens = WordPiece(SMALL)
    assert [SMALL[i] for i in tokens.encode("unaffable")] == ["un", "##aff", "##able"]
    assert [SMALL[i] for i in tokens.encode("unaffables")] == ["un", "##aff", "##able", "##s"]
    # One missing piece makes the whole word unknown, not only its end.
    assert [SMALL[i] for i in tokens.encode("unaffablex a")] == ["[UNK]", "a"]


def test_sigma_has_one_lower_form() -> None:
    # "ΣΑΣ".lower() ends in ς in Python; the source tokenizer lowers each character alone.
    assert basic_words("ΣΑΣ") == ["σασ"]
    assert [SMALL[i] for i in WordPiece(SMALL).encode("ΣΑΣ σας")] == ["σασ", "σας"]


def test_controls_join_and_spaces_separate() -> None:
    # str.split() alone would cut at the file separator and at the vertical tab.
    assert basic_words("a\x1cb\x0bc\x85d") == ["abcd"]
    assert basic_words("a\tb\nc\u3000d") == ["a", "b", "c", "d"]
    tokens = WordPiece(["[UNK]", "ab", "a", "b"])
    assert tokens.encode("a\x1cb") == [1]
    assert tokens.encode("a\u00a0b") == [2, 3]


def test_long_words_are_unknown() -> None:
    tokens = WordPiece(["[UNK]", "a", "##a"])
    assert tokens.encode("a" * 100) == [1] + [2] * 99
    assert tokens.encode("a" * 101) == [0]


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ud83d x \ude00", "\x00", "\x00\x00 a"])
def test_lone_surrogates_and_nul_are_dropped(text: str) -> None:
    visible = "".join(char for char in text if char in "abx ")
    assert WordPiece(VOCAB).encode(text) == WordPiece(VOCAB).encode(visible)


def test_a_full_cache_changes_nothing() -> None:
    tiny, large = WordPiece(VOCAB, cache_size=2), WordPiece(VOCAB)
    for _ in range(2):
        for text in REAL:
            assert tiny.encode(text) == large.encode(text)
    assert len(tiny._chunks) <= 2
    assert len(tiny._words) <= 2


def test_long_chunks_are_not_remembered() -> None:
    tokens = WordPiece(VOCAB)
    tokens.encode("我" * 10_000 + " " + "q" * 10_000)
    assert sum(map(len, tokens._chunks)) == 0
    assert sum(map(len, tokens._words)) <= 1


def test_character_tables_stay_bounded() -> None:
    WordPiece(VOCAB).encode("".join(chr(code) for code in range(0x3000, 0x3000 + 20_000)))
    assert len(wordpiece._CLEAN) <= wordpiece._TABLE_LIMIT
    assert len(wordpiece._ISOLATE) <= wordpiece._TABLE_LIMIT


def test_encode_many_lays_texts_end_to_end(ours: WordPiece) -> None:
    ids, lengths = ours.encode_many(REAL)
    assert lengths == [len(ours.encode(text)) for text in REAL]
    assert ids == [index for text in REAL for index in ours.encode(text)]
    assert ours.encode_many([]) == ([], [])


@pytest.mark.parametrize(
    ("vocab", "message"), [(["a", "b"], "has no '\\[UNK\\]'"), (["[UNK]", "a", "a"], "only 2 different")]
)
def test_unusable_vocabularies_are_refused(vocab: list[str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        WordPiece(vocab)
