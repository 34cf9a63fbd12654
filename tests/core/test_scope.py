from __future__ import annotations

import itertools
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.core.errors import InvalidInput, RemanenceError, ScopeRequired
from remanence.core.scope import FIELDS, MAX_LENGTH, SYNONYMS, Scope

IDS = st.none() | st.sampled_from(["a", "ab", "a%", "A", "a b", "ä"])
SCOPES = st.fixed_dictionaries(dict.fromkeys(FIELDS, IDS)).filter(lambda ids: any(ids.values()))

ADVERSARIAL = [
    "%", "_", ".", "..", "/", "\\", "'", '"', "a'; DROP TABLE records; --", "*", "?", "[a-z]", "a:b", "a|b", "a\tb",
    "\n", " ", "  ana", "ana ", "None", "null", "0", "ａｎａ", "Ana", "e\u0301", "\u00e9", "\u202eana", "\ufeff",
    "\U0001f469\u200d\U0001f467", "x" * MAX_LENGTH,
]  # fmt: skip


class Numbered(IntEnum):
    ANA = 7


@given(SCOPES, SCOPES)
def test_a_scope_covers_those_that_agree_on_its_ids(one: dict[str, str | None], other: dict[str, str | None]) -> None:
    agrees = all(value is None or value == other[name] for name, value in one.items())
    assert Scope(**one).covers(Scope(**other)) == agrees


@given(SCOPES)
def test_items_and_text_name_the_ids_that_are_set(ids: dict[str, str | None]) -> None:
    scope = Scope(**ids)
    assert list(scope.items()) == [(name, ids[name]) for name in FIELDS if ids[name] is not None]
    assert str(scope) == " ".join(f"{name}={value!r}" for name, value in scope.items())
    assert Scope.of(dict(scope.items())) == scope
    assert scope.covers(scope)


def test_ids_are_compared_whole() -> None:
    for one, other in itertools.permutations(ADVERSARIAL, 2):
        assert not Scope(user_id=one).covers(Scope(user_id=other))
        assert Scope(user_id=one) != Scope(user_id=other)


@pytest.mark.parametrize("id", ADVERSARIAL)
def test_any_text_can_be_an_id_and_stays_as_it_is(id: str) -> None:
    for name in FIELDS:
        scope = Scope.of({name: id})
        assert getattr(scope, name) == id
        assert dict(scope.items()) == {name: id}


def test_the_same_id_under_another_name_is_another_scope() -> None:
    for one, other in itertools.permutations(FIELDS, 2):
        assert not Scope(**{one: "ana"}).covers(Scope(**{other: "ana"}))


def test_wide_covers_narrow_and_not_the_reverse() -> None:
    wide, narrow = Scope(user_id="ana"), Scope(user_id="ana", run_id="1", app_id="x", agent_id="y")
    assert wide.covers(narrow)
    assert not narrow.covers(wide)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"session_id": "s"}, {"run_id": "s"}),
        ({"project_id": "p"}, {"app_id": "p"}),
        ({"session_id": "s", "run_id": "s"}, {"run_id": "s"}),
        ({"user_id": 12}, {"user_id": "12"}),
        ({"user_id": -3, "session_id": 0}, {"user_id": "-3", "run_id": "0"}),
        ({"run_id": 12, "session_id": "12"}, {"run_id": "12"}),
        ({"user_id": Numbered.ANA}, {"user_id": "7"}),
        ({"user_id": "ana", "agent_id": None, "session_id": None}, {"user_id": "ana"}),
        ({"session_id": None, "run_id": "r"}, {"run_id": "r"}),
    ],
)
def test_synonyms_and_integers(values: dict[str, object], expected: dict[str, str]) -> None:
    assert Scope.of(values) == Scope(**expected)


@pytest.mark.parametrize("values", [{}, {"user_id": None}, {"session_id": None, "project_id": None}])
def test_no_memory_without_a_scope(values: dict[str, object]) -> None:
    with pytest.raises(ScopeRequired, match="pass user_id, agent_id, run_id"):
        Scope.of(values)
    with pytest.raises(ScopeRequired):
        Scope()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"user": "ana"}, "'user' is not a scope id; use one of app_id"),
        ({"USER_ID": "ana"}, "'USER_ID' is not a scope id"),
        ({3: "ana"}, "3 is not a scope id"),
        ({"user_id": ""}, "user_id is empty"),
        ({"session_id": ""}, "run_id is empty"),
        ({"user_id": True}, "user_id must be a string or an integer, not bool True"),
        ({"user_id": 1.5}, "not float 1.5"),
        ({"user_id": b"ana"}, "not bytes"),
        ({"user_id": ["ana"]}, "not list"),
        ({"session_id": "a", "run_id": "b"}, "run_id='b' contradicts run_id='a'|contradicts"),
        ({"run_id": 1, "session_id": "2"}, "session_id='2' contradicts run_id='1'"),
        ({"user_id": "x" * (MAX_LENGTH + 1)}, f"user_id has 513 characters; the limit is {MAX_LENGTH}"),
        ({"user_id": "a\x00b"}, "holds a NUL or a lone surrogate"),
        ({"user_id": "\ud800"}, "holds a NUL or a lone surrogate"),
    ],
)
def test_wrong_ids_are_named(values: dict[Any, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Scope.of(values)


@pytest.mark.parametrize("value", [12, True, 1.5, b"ana", ["ana"], object()])
def test_the_constructor_takes_strings_only(value: Any) -> None:
    with pytest.raises(InvalidInput, match="user_id must be a string, not"):
        Scope(user_id=value)


@given(
    st.dictionaries(st.sampled_from([*FIELDS, *SYNONYMS, "other"]), st.none() | st.text() | st.integers(), max_size=6)
)
def test_any_mapping_is_a_scope_or_a_typed_error(values: dict[str, object]) -> None:
    try:
        scope = Scope.of(values)
    except RemanenceError:
        return
    given_names = {SYNONYMS.get(name, name) for name, value in values.items() if value is not None}
    assert given_names == dict(scope.items()).keys()


def test_a_scope_is_a_value() -> None:
    scope = Scope(user_id="ana", run_id="1")
    assert {scope: 1}[Scope(run_id="1", user_id="ana")] == 1
    with pytest.raises(AttributeError):
        scope.user_id = "bob"  # type: ignore[misc]
