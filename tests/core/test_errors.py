from __future__ import annotations

import builtins
import copy
import inspect
import re

import pytest

from remanence.core import errors
from remanence.core.errors import InvalidInput, MissingExtra, NotFound, RemanenceError

CLASSES = {name: value for name, value in vars(errors).items() if inspect.isclass(value)}


def drawn(docstring: str) -> dict[str, tuple[str, ...]]:
    """Class name to the names of its bases, as the tree in the docstring shows them."""
    bases: dict[str, tuple[str, ...]] = {}
    branch: list[str] = []
    for line in docstring.splitlines():
        if line == "    RemanenceError":
            bases["RemanenceError"], branch = ("Exception",), ["RemanenceError"]
        elif found := re.match(r"    ((?:│   |    )*)[├└]── (\w+)(?: \(also (\w+)\))?", line):
            depth = len(found[1]) // 4 + 1
            parent = branch[depth - 1]
            branch = [*branch[:depth], found[2]]
            bases[found[2]] = (parent, *([found[3]] if found[3] else []))
    return bases


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    real = {name: tuple(base.__name__ for base in cls.__bases__) for name, cls in CLASSES.items()}
    assert drawn(errors.__doc__ or "") == real


def test_the_branches_are_drawn_well() -> None:
    lines = [line[4:] for line in (errors.__doc__ or "").splitlines() if re.search("[├└]──", line)]
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        at = re.search("[├└]", line)
        assert at is not None
        goes_on = below[at.start() : at.start() + 1] in ("├", "└", "│")
        assert (line[at.start()] == "├") == goes_on, line


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_error_explains_itself_and_keeps_its_message(name: str) -> None:
    cls = CLASSES[name]
    assert vars(cls)["__doc__"].endswith(".")
    assert issubclass(cls, RemanenceError)
    assert str(cls("what and why")) == "what and why"
    assert str(copy.copy(cls("what and why"))) == "what and why"
    assert not hasattr(builtins, name)


def test_not_found_shows_its_message_and_not_its_repr() -> None:
    assert str(KeyError("no record x")) == "'no record x'"
    assert str(NotFound("no record x")) == "no record x"
    assert str(NotFound()) == ""


def test_callers_may_catch_the_builtin_kind() -> None:
    for error, builtin in ((InvalidInput, ValueError), (NotFound, KeyError), (MissingExtra, ImportError)):
        with pytest.raises(builtin):
            raise error("x")
