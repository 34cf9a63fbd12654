from __future__ import annotations

import threading
import unicodedata

import pytest
import Stemmer
from hypothesis import given, settings
from hypothesis import strategies as st

from remanence.core.errors import InvalidInput
from remanence.kernels import analyzer as module
from remanence.kernels.analyzer import CACHE_WORDS, MAX_TERM, STOPWORDS, Analyzer, is_stopword
from remanence.kernels.languages import ELISIONS, ENGLISH_MARKS, FUNCTION_WORDS, GRAMMATICAL_HAN

ANALYZER = Analyzer()


# The naive form: one character at a time, scripts told by the names of their characters.


def naive_kind(character: str) -> str:
    category, name = unicodedata.category(character), unicodedata.name(character, "")
    if category == "Nd":
        return "digit"
    if category[0] not in "LMN":
        return "emoji" if category == "So" and ord(character) >= 0x2600 else "other"
    for kind, starts in {
        "unspaced": ("CJK", "HIRAGANA", "KATAKANA"),
        "thai": ("THAI", "LAO", "KHMER", "MYANMAR"),
        "hangul": ("HANGUL",),
    }.items():
        if name.startswith(starts):
            return kind
    return "mark" if category[0] == "M" else "letter"


def naive_tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    kinds = [naive_kind(character) for character in text] + ["other", "other"]
    lettered = {"letter", "mark", "unspaced", "thai", "hangul"}
    i = 0
    while i < len(text):
        kind = kinds[i]
        if kind == "digit":
            groups, seams = [""], ""
            while kinds[i] == "digit" or (i < len(text) and text[i] in ".," and kinds[i + 1] == "digit"):
                if kinds[i] == "digit":
                    groups[-1] += text[i]
                else:
                    seams += text[i]
                    groups.append("")
                i += 1
            commas = seams.rstrip(".")
            thousands = (
                bool(commas) and set(commas) == {","} and len(seams) - len(commas) <= 1 and len(groups[0]) <= 3
                and all(len(group) == 3 for group in groups[1 : len(commas) + 1])
            )  # fmt: skip
            if thousands:
                groups = ["".join(groups[: len(commas) + 1]) + "".join(f".{g}" for g in groups[len(commas) + 1 :])]
            elif seams == ".":
                groups = [".".join(groups)]
            tokens += [("number", group) for group in groups]
            if text[i : i + 2] in ("st", "nd", "rd", "th") and kinds[i + 2] not in (
                "letter",
                "unspaced",
                "thai",
                "hangul",
            ):
                i += 2
        elif kind in lettered and kind != "mark":
            start = i
            initials = 1
            while text[start + 2 * initials - 1 : start + 2 * initials] == "." and text[
                start + 2 * initials : start + 2 * initials + 1
            ] in tuple("abcdefghijklmnopqrstuvwxyz"):
                initials += 1
            ascii_start = text[start] in "abcdefghijklmnopqrstuvwxyz"
            after = kinds[start + 2 * initials - 1]
            if ascii_start and initials > 1 and after in lettered - {"mark"}:
                initials -= 1
            if ascii_start and initials > 1:
                i = start + 2 * initials - 1
                tokens.append(("letter", text[start:i]))
                continue
            while kinds[i] in lettered or (i < len(text) and text[i] == "'" and kinds[i + 1] in lettered - {"mark"}):
                i += 1
            run, run_kind = "", ""
            for position in range(start, i):
                here = kinds[position] if kinds[position] in ("unspaced", "thai", "hangul") else "letter"
                if here != run_kind and run:
                    tokens.append((run_kind, run))
                    run = ""
                run, run_kind = run + text[position], here
            tokens.append((run_kind, run))
        else:
            if kind == "emoji":
                tokens.append(("emoji", text[i]))
            i += 1
    return [(kind, token.strip("'")) for kind, token in tokens if token.strip("'")]


def naive_word(word: str, language: str) -> str:
    parts = word.replace(".", "").split("'")
    while len(parts) > 1 and parts[0] in ELISIONS.get(language, ()):
        parts.pop(0)
    while len(parts) > 1 and parts[-1] in ("s", "m", "re", "ll", "ve", "d"):
        parts.pop()
    word = "".join(parts)[:MAX_TERM]
    name = unicodedata.name(word[0], "")
    if name.startswith("LATIN") and language == "english":
        return str(Stemmer.Stemmer("english").stemWord(naive_plain(word)))
    if name.startswith("LATIN"):
        return naive_plain(Stemmer.Stemmer(language).stemWord(word))
    for script, stemmer in {"CYRILLIC": "russian", "GREEK": "greek", "ARABIC": "arabic", "DEVANAGARI": "hindi"}.items():
        if name.startswith(script):
            return str(Stemmer.Stemmer(stemmer).stemWord(word))
    return word


def naive_plain(word: str) -> str:
    for letter, plain in {"ø": "o", "ł": "l", "æ": "ae", "ı": "i"}.items():
        word = word.replace(letter, plain)
    return "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.name(c, "").startswith("COMBINING"))


def naive_terms(text: str) -> list[str]:
    text = unicodedata.normalize("NFKC", text).casefold()
    text = "".join("'" if c in "‘’" else c for c in text if c not in "\u200d\u200c\ufe0f\u00ad\u0650")
    tokens = naive_tokens(unicodedata.normalize("NFKC", text))
    present = {token for _, token in tokens}
    votes = {
        language: sum(1 if word.isascii() else 2 for word in (present & words) - ENGLISH_MARKS)
        for language, words in FUNCTION_WORDS.items()
    }
    best = max(votes, key=lambda language: votes[language])
    rivals = sum(count == votes[best] for count in votes.values())
    language = best if rivals == 1 and votes[best] > max(1, len(present & ENGLISH_MARKS)) else "english"
    out: list[str] = []
    for kind, token in tokens:
        if kind in ("unspaced", "thai", "hangul"):
            out += [token[i : i + 2] for i in range(len(token) - 1)] or [token]
            if len(token) > 1:
                out += [c for c in token if unicodedata.name(c).startswith("CJK UNI") and c not in GRAMMATICAL_HAN]
        elif kind == "number":
            digits = "".join(c if c == "." else str(unicodedata.decimal(c)) for c in token[:MAX_TERM])
            out.append(digits[1] if len(digits) == 2 and digits[0] == "0" else digits)
        elif kind == "emoji":
            out.append(token)
        else:
            out.append(naive_word(token, language))
    return out


PIECES = st.sampled_from(
    """a I b c the Don't don’t Ana's o'clock they'd've l'école qu'il O'Brien rock'n'roll well-known snake_case e.g.
    U.S.A. p.m a.b.cd 3 07 007 3.5 1,000 1,000.50 1,0000 12,345,678 07.05.2023 1.2.3 1st 22nd 7th 7thing
    4K mp3 3pm 10:30 ٢٣ १२ café Łódź Øystein über naïve İstanbul ılık ﬁne ① ½ ™ Straße où est-ce que j'ai été dans
    der die das und ist nicht el
    los está pero что Собаки ёлка μέρες كِتاب किताबें हिन्दी שלום 我的表妹生日是6月23号。 猫 食べるコンピュータ
    gel-kayano26亚瑟士 สวัสดีครับ ก
    안녕하세요 학생 집 ❤️ 😂😂 👨‍👩‍👧 🇳🇴 ' '' -- . , ... \x00 \ud800 \t é é a我's ̀""".split()
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(PIECES, st.sampled_from(["", " ", " ", " ", "'", ".", ",", "\n"])), max_size=12))
def test_fast_form_equals_naive_form(pieces: list[tuple[str, str]]) -> None:
    text = "".join(piece + gap for piece, gap in pieces)
    assert ANALYZER.terms(text) == naive_terms(text)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=60))
def test_fast_form_equals_naive_form_on_any_ascii(text: str) -> None:
    assert ANALYZER.terms(text) == naive_terms(text)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80))
def test_any_text_gives_clean_terms_aligned_with_words(text: str) -> None:
    terms = ANALYZER.terms(text)
    assert all(term and len(term) <= 2 * MAX_TERM and not set(term) & set(" \n\x00'") for term in terms)
    assert len(ANALYZER.words(text)) == len(terms)
    assert ANALYZER.terms_many([text, text]) == [terms, terms]
    "".join(terms).encode()  # no lone surrogates get through


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("I don't know", ["i", "dont", "know"]),
        ("I dont know", ["i", "dont", "know"]),
        ("Ana's dogs’ houses", ["ana", "dog", "hous"]),
        ("a well-known e-mail_address", ["a", "well", "known", "e", "mail", "address"]),
        ("On 07.05.2023 at 3pm: 3.5 of 1,000 (22nd)", "on 7 5 2023 at 3 pm 3.5 of 1000 22".split()),
        ("2023-05-07", ["2023", "5", "7"]),
        ("code 007, 0715", ["code", "007", "0715"]),
        ("the U.S. at 5 p.m.", ["the", "us", "at", "5", "pm"]),
        ("Café CAFÉ cafe\u0301", ["cafe", "cafe", "cafe"]),
        ("FULL\uff37\uff29\uff24\uff34\uff28", ["fullwidth"]),
        ("Øystein in Łódź", ["oystein", "in", "lodz"]),
        ("love \u2764\ufe0f 😂", ["love", "\u2764", "😂"]),
        ("猫", ["猫"]),
        ("我的猫", ["我的", "的猫", "猫"]),
        ("的", ["的"]),
        ("Gel-Kayano26这鞋", ["gel", "kayano", "26", "这鞋", "鞋"]),
        ("ありがとう", ["あり", "りが", "がと", "とう"]),
        ("สวัส", ["สว", "วั", "ัส"]),
        ("저는 학생입니다", ["저는", "학생", "생입", "입니", "니다"]),
        ("Собаки", ["собак"]),
        ("a\x00b\ud800c", ["a", "b", "c"]),
    ],
)
def test_terms(text: str, expected: list[str]) -> None:
    assert ANALYZER.terms(text) == expected


def test_queries_meet_documents_whatever_the_spelling() -> None:
    for query, document in [
        ("running dogs", "The dog runs"),
        ("7 May 2023", "May 7th, 2023"),
        ("gel kayano 26", "Gel-Kayano26"),
        ("naive", "naïve"),
        ("3 pm", "3PM"),
        ("7月15日", "07月15日"),
        ("10000 dollars", "$10,000 dollars"),
    ]:
        assert set(ANALYZER.terms(query)) & set(ANALYZER.terms(document)) - {"the"}, (query, document)
    assert set(ANALYZER.terms("7 May 2023")) == set(ANALYZER.terms("May 7th, 2023"))


def test_words_are_casefolded_and_unstemmed() -> None:
    assert ANALYZER.words("Running DOGS, Ana's Cafés") == ["running", "dogs", "ana", "cafes"]


@pytest.mark.parametrize(
    ("text", "stem"),
    [
        ("Où est-ce que les enfants mangeaient ?", "mang"),
        ("Meine Schwestern und ich haben nicht in den Häusern gewohnt", "haus"),
        ("Mi hermana vive en Madrid con sus hermanos", "herman"),
        ("Mia sorella abita a Roma con il marito, ma lavora nella capitale", "sorell"),
        ("Ana lives in the houses of de la Peña", "hous"),
        ("La La Land", "land"),
        ("Casa del Sol", "casa"),
        ("Many die in a war", "mani"),
    ],
)
def test_language_of_latin_text(text: str, stem: str) -> None:
    assert stem in ANALYZER.terms(text)


def test_short_latin_texts_stay_english_on_both_sides() -> None:
    title = "Las Meninas"
    assert set(ANALYZER.terms(title)) <= set(ANALYZER.terms(f"We went to see {title} in Madrid"))


def test_named_language() -> None:
    assert Analyzer("fr").terms("l'école mangée") == Analyzer("French").terms("L’école mangée") == ["ecol", "mang"]
    assert Analyzer("none").terms("Running dogs, Собаки") == ["running", "dogs", "собаки"]
    assert Analyzer("russian").terms("Running собаки") == ["run", "собак"]
    assert Analyzer("zh").terms("running 猫") == ["run", "猫"]
    with pytest.raises(InvalidInput, match=r"'klingon'.*'auto'"):
        Analyzer("klingon")


def test_fingerprint_tells_languages_and_stemmers_apart() -> None:
    assert Analyzer("fr").fingerprint == Analyzer("french").fingerprint != Analyzer().fingerprint
    assert Stemmer.version() in Analyzer().fingerprint


def test_stopwords_are_terms() -> None:
    assert all(is_stopword(term) for term in ANALYZER.terms("because they don't have any of the others"))
    assert not any(is_stopword(term) for term in ANALYZER.terms("Bergen dog 2023 猫"))
    assert 100 < len(STOPWORDS) < 200


def test_long_words_are_cut_and_caches_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHE_WORDS", 50)
    analyzer = Analyzer()
    assert CACHE_WORDS > 10_000
    assert analyzer.terms("a" * 1_000_000) == ["a" * MAX_TERM]
    words = [f"word{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(300)]
    assert analyzer.terms(" ".join(words)) == [term for word in words for term in naive_terms(word)]
    assert all(len(table) <= 50 for table in analyzer._tables.values())


@pytest.mark.parametrize(
    "unit", ["a.", "1.", ",000", "a'", "猫犬", "ก็", "é", "\u0301\u0327", "😂", "\ud800", "\x00", " ", "1st"]
)
def test_megabyte_texts_take_linear_time(unit: str) -> None:
    ANALYZER.terms("x" + unit * (200_000 // len(unit)))  # quadratic time would be minutes


def test_threads_share_one_analyzer() -> None:
    analyzer = Analyzer()
    texts = [f"running{chr(97 + i % 26)}s houses собаки {i} dogs'" for i in range(500)]
    expected = [naive_terms(text) for text in texts[:50]]
    results: list[list[list[str]]] = []
    threads = [threading.Thread(target=lambda: results.append(analyzer.terms_many(texts))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(result[:50] == expected and result == results[0] for result in results)
    assert len(results) == 4
