"""Handlers are found by themselves, put in order, and loaded by nobody who only remembers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from remanence.core.errors import (
    InvalidInput,
)
from remanence.runtime.enrichment import registry
from tests.runtime.handlers import (
    Fails,
)


class Named(Fails):
    def __init__(self, name: str, *after: str) -> None:
        super().__init__()
        self.name, self.after = name, after  # type: ignore[misc]


def test_handlers_run_behind_what_they_read() -> None:
    order = registry.ordered([Named("b", "c"), Named("a", "b"), Named("d"), Named("c")])
    assert [handler.name for handler in order] == ["c", "b", "a", "d"]


@pytest.mark.parametrize(
    ("handlers", "said"),
    [
        ([Named("a"), Named("a")], "two handlers are named 'a'"),
        ([Named("a", "b"), Named("b", "a")], "a, b come after each other"),
        ([Named("a", "nobody")], "after 'nobody', but there is no such"),
    ],
)
def test_handlers_that_cannot_be_ordered(handlers: list[Named], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        registry.ordered(handlers)


def test_the_real_handlers_can_be_ordered() -> None:
    names = [handler.name for handler in registry.handlers()]
    assert len(names) == len(set(names))
    assert not set(names) & set(registry.laters())


def test_adding_loads_no_handler() -> None:
    code = (
        "import sys, remanence; m = remanence.Memory(':memory:', background=False); m.add('hi', user_id='a'); "
        "print([name for name, module in sys.modules.items() if name.startswith('remanence.runtime.enrichment.') "
        "and (hasattr(module, 'HANDLER') or hasattr(module, 'LATER'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
