"""Every house rule on every file, and every rule on a file that breaks it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.architecture import rules
from tests.architecture.tree import ROOT, Source, package_sources, project_files, sources

Rule = Callable[[Source], list[str]]

EVERYWHERE: tuple[Rule, ...] = (
    rules.size,
    rules.banners,
    rules.leftovers,
    rules.silent_excepts,
    rules.unsafe_serializers,
)
PACKAGE: tuple[Rule, ...] = (
    rules.undocumented,
    rules.hidden_inputs,
    rules.foreign_imports,
    rules.root_imports,
    rules.coroutines,
)

# (rule, folder or file): why it may. An exception that nothing needs any longer fails, too.
EXCEPTIONS: dict[tuple[Rule, str], str] = {
    (rules.foreign_imports, "src/remanence/bench/demo"): "the demonstration is made to be looked at",
    (rules.foreign_imports, "src/remanence/bench/sequence/"): "a command of its own, with a progress bar",
    (rules.foreign_imports, "src/remanence/compat/hugging_face.py"): "a model of transformers, for those who use them",
    (rules.foreign_imports, "src/remanence/server/"): "the layer is loaded as a whole, when a server is started",
    (rules.hidden_inputs, "src/remanence/core/clock.py"): "the one place that reads the wall clock, for those above",
    (rules.hidden_inputs, "src/remanence/core/ids.py"): "the entropy of ids, replaced by an argument where it matters",
    (rules.hidden_inputs, "src/remanence/substrates/records/reference.py"): "a store dates what it is given; its clock "
    "is an argument with the wall clock as default",
}


def broken(rule: Rule, files: tuple[Source, ...]) -> dict[str, list[str]]:
    return {source.path: found for source in files if (found := rule(source))}


def excepted(rule: Rule, path: str) -> bool:
    return any(rule is other and path.startswith(where) for other, where in EXCEPTIONS)


@pytest.mark.parametrize("rule", EVERYWHERE, ids=lambda rule: rule.__name__)
def test_every_file_keeps_the_rule(rule: Rule) -> None:
    assert {path: found for path, found in broken(rule, sources()).items() if not excepted(rule, path)} == {}


@pytest.mark.parametrize("rule", PACKAGE, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule: Rule) -> None:
    assert {path: found for path, found in broken(rule, package_sources()).items() if not excepted(rule, path)} == {}


def test_every_exception_is_still_needed() -> None:
    for (rule, where), reason in EXCEPTIONS.items():
        files = tuple(source for source in sources() if source.path.startswith(where))
        assert broken(rule, files), f"{where} keeps {rule.__name__}: remove the exception ({reason})"


def test_comments_are_few() -> None:
    """They say why where the code cannot: not never, not on every line, and no file is an essay."""
    lines = {source.path: len(source.text.splitlines()) for source in package_sources()}
    notes = {source.path: len(rules.comments(source)) for source in package_sources()}
    assert 0.005 <= sum(notes.values()) / sum(lines.values()) <= 0.09
    assert {path for path in lines if lines[path] >= 50 and notes[path] > 0.15 * lines[path]} == set()


def test_no_file_tells_where_it_was_made() -> None:
    found = {}
    for path in project_files():
        # Latin-1 reads any bytes, so that a path inside a binary table is seen as well.
        if wrong := rules.traces(path.read_bytes().decode("latin-1")):
            found[path.relative_to(ROOT).as_posix()] = wrong
    assert found == {}


def file(text: str, path: str = "src/remanence/runtime/example.py") -> Source:
    return Source(path, text)


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        (rules.size, "x = 1\n" * 600),
        (rules.banners, "# ------ helpers ------\n"),
        (rules.banners, "if True:\n    ##########\n    pass\n"),
        (rules.leftovers, "# TODO later\n"),
        (rules.leftovers, "def f():\n    raise NotImplementedError('soon')\n"),
        (rules.silent_excepts, "try:\n    f()\nexcept Exception:\n    pass\n"),
        (rules.silent_excepts, "try:\n    f()\nexcept:\n    x = None\n"),
        (rules.silent_excepts, "try:\n    f()\nexcept (ValueError, BaseException) as error:\n    log('failed')\n"),
        (rules.silent_excepts, "with contextlib.suppress(Exception):\n    f()\n"),
        (rules.unsafe_serializers, "def f():\n    from pickle import loads\n"),
        (rules.unsafe_serializers, "numpy.load(path, allow_pickle=True)\n"),
        (rules.undocumented, "x = 1\n"),
        (rules.undocumented, '"""M."""\ndef f():\n    return 1\n'),
        (rules.undocumented, '"""M."""\nclass C:\n    """C."""\n    def m(self): ...\n'),
        (rules.hidden_inputs, "import time\nt = time.time()\n"),
        (rules.hidden_inputs, "from datetime import datetime, UTC\nt = datetime.now(UTC)\n"),
        (rules.hidden_inputs, "import datetime as dt\nt = dt.datetime.now(dt.UTC)\n"),
        (rules.hidden_inputs, "import time\nfield(default_factory=time.time)\n"),
        (rules.hidden_inputs, "import random\nrandom.shuffle(x)\n"),
        (rules.hidden_inputs, "import random\nr = random.Random()\n"),
        (rules.hidden_inputs, "import numpy as np\nx = np.random.rand(3)\n"),
        (rules.hidden_inputs, "import numpy as np\nx = np.random.default_rng()\n"),
        (rules.hidden_inputs, "from uuid import uuid4 as new\nx = new()\n"),
        (rules.foreign_imports, "import torch.nn as nn\n"),
        (rules.foreign_imports, "try:\n    import transformers\nexcept ImportError:\n    transformers = None\n"),
        (rules.foreign_imports, "def f():\n    from rich.table import Table\n"),
        (rules.root_imports, "def f():\n    from remanence import Memory\n"),
        (rules.root_imports, "from ..core import ids\n"),
        (rules.coroutines, "async def f():\n    await g()\n"),
    ],
)
def test_each_rule_sees_a_violation(rule: Rule, wrong: str) -> None:
    assert rule(file(wrong)) != []


@pytest.mark.parametrize(
    ("rule", "right"),
    [
        (rules.size, "x = 1\n" * 599),
        (rules.banners, "# a -- b, x == y, and 2 ** 3\n"),
        (rules.leftovers, "def f():\n    raise ValueError('NotImplementedError is a name, too')\n"),
        (rules.silent_excepts, "try:\n    f()\nexcept Exception as error:\n    errors.append(error)\n"),
        (rules.silent_excepts, "try:\n    f()\nexcept BaseException:\n    undo()\n    raise\n"),
        (rules.silent_excepts, "try:\n    f()\nexcept FileNotFoundError:\n    pass\n"),
        (rules.unsafe_serializers, "import json\nnumpy.load(path, allow_pickle=False)\n"),
        (rules.undocumented, '"""M."""\ndef _f():\n    def g(): ...\n    return g\n'),
        (rules.hidden_inputs, "import time\nt = time.perf_counter()\n"),
        (rules.hidden_inputs, "import time\nt = time.gmtime(0)\n"),
        (rules.hidden_inputs, "import numpy as np\nx = np.random.default_rng(7).normal()\n"),
        (rules.hidden_inputs, "import random\ndef f(rng: random.Random):\n    rng.shuffle([1])\n"),
        (rules.hidden_inputs, "def f(clock):\n    return clock.now()\n"),
        (rules.foreign_imports, "def f():\n    import torch\n"),
        (rules.foreign_imports, "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n"),
        (rules.root_imports, "from remanence import __version__\n"),
    ],
)
def test_no_rule_sees_one_where_none_is(rule: Rule, right: str) -> None:
    assert rule(file(right)) == []


def test_rules_know_where_a_file_stands() -> None:
    for place in ("kernels/sequence/x.py", "mechanisms/training/x.py", "conformance/sequence_rules.py"):
        assert rules.foreign_imports(file("import torch\n", f"src/remanence/{place}")) == []
    for place in ("kernels/sequences.py", "runtime/sequence.py", "mechanisms/records/sequence.py"):
        assert rules.foreign_imports(file("import torch\n", f"src/remanence/{place}")) != []
    assert rules.size(file("x = 1\n" * 300, "src/remanence/mechanisms/records/example.py")) != []
    assert rules.foreign_imports(file("import numpy\n", "src/remanence/core/example.py")) != []
    assert rules.foreign_imports(file("import numpy\n", "src/remanence/kernels/example.py")) == []
    assert rules.foreign_imports(file("import click\n", "src/remanence/cli/example.py")) == []
    assert rules.coroutines(file("async def f(): ...\n", "src/remanence/server/example.py")) == []
    assert rules.root_imports(file("from remanence import Memory\n", "src/remanence/bench/example.py")) == []
    wall = "from remanence.core.clock import utc_now\n"
    assert rules.hidden_inputs(file(wall, "src/remanence/kernels/example.py")) != []
    assert rules.hidden_inputs(file(wall, "src/remanence/stores/example.py")) == []


# Put together here, so that this file does not hold what it forbids.
@pytest.mark.parametrize("parts", [("/ro", "ot/x"), ("'/wo", "rk/data'"), ("/ho", "me/ana/x"), ("py", "pi.org/simple")])
def test_traces_are_seen(parts: tuple[str, str]) -> None:
    assert rules.traces("one\ntwo " + "".join(parts)) != []


def test_ordinary_paths_are_no_traces() -> None:
    assert rules.traces("see docs/work/plan.md, ../shared/x, ~/.remanence and src/root/a.py") == []


def test_comments_are_counted_without_directives_and_strings() -> None:
    text = '#!/usr/bin/env python\nx = "# no"  # trailing\n# yes\n# noqa: F401\n# type: ignore\n'
    assert rules.comments(file(text)) == [(3, "# yes")]
