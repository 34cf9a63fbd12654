"""House rules that neither ruff nor import-linter knows. Each takes one file and returns what is wrong with it.

A finding is `line: what is wrong`; an empty list means that the file keeps the rule. `test_rules.py` runs every rule
on the tree and on a planted violation.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator

from tests.architecture.tree import Source

MECHANISM_LINES = 300
FILE_LINES = 600

SERIALIZERS = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
HEAVY = {
    "fastapi",
    "httpx",
    "mcp",
    "model2vec",
    "openai",
    "pgvector",
    "psycopg",
    "ray",
    "sentence_transformers",
    "starlette",
    "tokenizers",
    "torch",
    "transformers",
    "uvicorn",
}
# What is made of tensors is found by its substrate's name, and loaded as a whole by those who ask for it.
TENSORS = {"torch", "transformers", "safetensors"}
MADE_OF_TENSORS = re.compile(r"/(?:sequence|training|weights|kv)(?:_rules\.py$|/)")
TERMINAL = {"click", "rich"}
ABOVE_RUNTIME = {"bench", "cli", "compat", "server"}

# Called without arguments these read the machine's clock or its entropy; the value says how many arguments make the
# call deterministic (None: no number does).
NONDETERMINISTIC: dict[str, int | None] = {
    "time.time": None,
    "time.time_ns": None,
    "time.ctime": 1,
    "time.gmtime": 1,
    "time.localtime": 1,
    "time.strftime": 2,
    "datetime.datetime.now": None,
    "datetime.datetime.utcnow": None,
    "datetime.datetime.today": None,
    "datetime.date.today": None,
    "uuid.uuid1": None,
    "uuid.uuid4": None,
    "os.urandom": None,
    "random.Random": 1,
    "random.SystemRandom": None,
    "numpy.random.default_rng": 1,
    "numpy.random.SeedSequence": 1,
    "numpy.random.RandomState": 1,
}
# Algorithms take a clock; the one that reads the wall is handed to them from above.
WALL_CLOCK = "remanence.core.clock.utc_now"
TIMELESS = {"kernels", "substrates", "scenarios", "mechanisms", "conformance", "witnesses"}
# Names below these are all draws from one hidden, process-wide generator, except the classes listed.
GLOBAL_GENERATORS = ("random.", "numpy.random.", "secrets.")
GENERATOR_CLASSES = {"numpy.random.Generator", "numpy.random.PCG64", "numpy.random.Philox", "numpy.random.BitGenerator"}


def size(source: Source) -> list[str]:
    """A mechanism fits on six screens, any other file on twelve."""
    limit = MECHANISM_LINES if source.layer == "mechanisms" else FILE_LINES
    lines = source.text.count("\n") + (not source.text.endswith("\n"))
    return [f"1: {lines} lines, the limit is {limit - 1}: split it where the idea splits"] if lines >= limit else []


def comments(source: Source) -> list[tuple[int, str]]:
    """(line, text) of each comment that stands alone on its line, without directives to tools."""
    directive = re.compile(r"#(!|\s*(type:|noqa|ruff:|mypy:|pragma:))")
    return [
        (token.start[0], token.string)
        for token in tokenize.generate_tokens(io.StringIO(source.text).readline)
        if token.type == tokenize.COMMENT
        and not token.line[: token.start[1]].strip()
        and not directive.match(token.string)
    ]


def banners(source: Source) -> list[str]:
    """A file that needs dividing lines needs dividing."""
    return [f"{line}: a banner: {text}" for line, text in comments(source) if re.search(r"([-=#*~_+.─═])\1{3,}", text)]


def leftovers(source: Source) -> list[str]:
    """Unfinished work is an issue, not a comment; finished code does not raise NotImplementedError."""
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    found = [f"{line}: {text}" for line, text in comments(source) if words.search(text)]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if _dotted(raised) == "NotImplementedError":
                found.append(f"{node.lineno}: a placeholder: raise NotImplementedError")
    return found


def silent_excepts(source: Source) -> list[str]:
    """Whoever catches everything must raise again or say what was caught."""
    found = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and _broad(node.type):
            speaks = any(
                isinstance(inner, ast.Raise)
                or (isinstance(inner, ast.Name) and inner.id == node.name and isinstance(inner.ctx, ast.Load))
                for statement in node.body
                for inner in ast.walk(statement)
            )
            if not speaks:
                found.append(f"{node.lineno}: catches everything, and neither raises again nor uses what it caught")
        elif isinstance(node, ast.Call) and _dotted(node.func).endswith("suppress") and any(map(_broad, node.args)):
            found.append(f"{node.lineno}: suppresses every exception")
    return found


def undocumented(source: Source) -> list[str]:
    """Everything public in the package says what it is: the module, its functions and classes, their methods."""
    found = [] if ast.get_docstring(source.tree) or not source.tree.body else ["1: the module has no docstring"]

    def visit(body: list[ast.stmt]) -> None:
        for node in body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            decorators = {_dotted(decorator).rpartition(".")[2] for decorator in node.decorator_list}
            if not ast.get_docstring(node) and not decorators & {"overload", "override", "setter"}:
                found.append(f"{node.lineno}: {node.name} has no docstring")
            if isinstance(node, ast.ClassDef):
                visit(node.body)

    visit(source.tree.body)
    return found


def unsafe_serializers(source: Source) -> list[str]:
    """State is plain data and arrays: reading a file must never run code."""
    found = [
        f"{line}: imports {module}" for line, module, _ in _imports(source.tree) if module.split(".")[0] in SERIALIZERS
    ]
    return found + [
        f"{node.value.lineno}: allow_pickle"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.keyword)
        and node.arg == "allow_pickle"
        and not (isinstance(node.value, ast.Constant) and node.value.value is False)
    ]


def hidden_inputs(source: Source) -> list[str]:
    """Time and chance are arguments: nothing reads the wall clock or an unseeded generator by itself."""
    names = _aliases(source.tree)
    found = []
    if source.layer in TIMELESS and WALL_CLOCK in names.values():
        found.append("1: imports utc_now; take the clock, or the time, as an argument")
    for node in ast.walk(source.tree):
        # A function passed on as a value (a field's default factory) reads the clock as surely as a call does.
        if isinstance(node, ast.Call):
            for value in [*node.args, *(keyword.value for keyword in node.keywords)]:
                name = _resolve(value, names)
                if name in NONDETERMINISTIC and NONDETERMINISTIC[name] is None:
                    found.append(f"{node.lineno}: passes {name}")
            name = _resolve(node.func, names)
            if name in NONDETERMINISTIC:
                enough = NONDETERMINISTIC[name]
                if enough is None or len(node.args) + len(node.keywords) < enough:
                    found.append(f"{node.lineno}: calls {name}")
            elif name.startswith(GLOBAL_GENERATORS) and name not in GENERATOR_CLASSES:
                found.append(f"{node.lineno}: calls {name}")
    return found


def foreign_imports(source: Source) -> list[str]:
    """Where what may be imported: core nothing from outside, only cli a terminal, heavy packages only on demand."""
    found = []
    for line, module, on_demand in _imports(source.tree):
        top = module.split(".")[0]
        if source.layer == "core" and top not in sys.stdlib_module_names and top != "remanence":
            found.append(f"{line}: core imports {top}; it stands on the standard library alone")
        if top in TERMINAL and source.layer != "cli":
            found.append(f"{line}: imports {top}; only cli talks to a terminal")
        expected = top in TENSORS and MADE_OF_TENSORS.search(source.path)
        if top in HEAVY and not on_demand and not expected:
            found.append(f"{line}: imports {top} when the module is loaded; import it in the function that needs it")
    return found


def root_imports(source: Source) -> list[str]:
    """`from remanence import Memory` below the runtime would climb over all layers at once, unseen by import-linter."""
    found = []
    above = source.layer in ABOVE_RUNTIME
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.module == "remanence" and not node.level and not above:
            found += [f"{node.lineno}: imports Memory from the root" for alias in node.names if alias.name == "Memory"]
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.append(f"{node.lineno}: a relative import; write the whole name")
    return found


def coroutines(source: Source) -> list[str]:
    """Everything below `server` is synchronous; only `compat` speaks the asynchronous interfaces of others as well."""
    kinds = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
    nodes = [node for node in ast.walk(source.tree) if isinstance(node, kinds)]
    return [] if source.layer in {"server", "compat"} else [f"{node.lineno}: asynchronous code" for node in nodes]


def traces(text: str) -> list[str]:
    """Paths of the machine a file was made on, and addresses of package registries."""
    patterns = {
        "a path of one machine": r"(?<![\w.])(?:/(?:root|work|workspace|tmp)/|/(?:home|Users)/\w+/|[A-Z]:\\Users\\)",
        "an address of a package registry": r"pypi\.(?:org|python)|pythonhoste[d]|download\.pytorch\.org|anaconda\.org"
        r"|--(?:extra-)?index-url|--find-link[s]",
    }
    return [
        f"{text.count(chr(10), 0, match.start()) + 1}: {what}: {match.group()}"
        for what, pattern in patterns.items()
        for match in re.finditer(pattern, text)
    ]


def _broad(node: ast.expr | None) -> bool:
    if node is None:
        return True
    if isinstance(node, ast.Tuple):
        return any(map(_broad, node.elts))
    return _dotted(node) in {"Exception", "BaseException", "builtins.Exception", "builtins.BaseException"}


def _dotted(node: ast.expr) -> str:
    """`a.b.c` for a chain of attributes that starts at a name, `` for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""


def _imports(tree: ast.Module) -> Iterator[tuple[int, str, bool]]:
    """(line, module, on demand): imports in a function run when it is called, those for type checkers never."""

    def walk(node: ast.AST, on_demand: bool) -> Iterator[tuple[int, str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((child.lineno, alias.name, on_demand) for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module and not child.level:
                yield child.lineno, child.module, on_demand
            later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
                isinstance(child, ast.If) and _dotted(child.test).endswith("TYPE_CHECKING")
            )
            yield from walk(child, on_demand or later)

    yield from walk(tree, False)


def _aliases(tree: ast.Module) -> dict[str, str]:
    """What each imported name stands for: `np` → `numpy`, `now` → `datetime.datetime.now`."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _resolve(node: ast.expr, names: dict[str, str]) -> str:
    """The full name of what an expression refers to, `` when it does not start at an import."""
    head, _, rest = _dotted(node).partition(".")
    full = names.get(head, "")
    return f"{full}.{rest}" if full and rest else full
