"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from remanence.core.errors import StoreError

if TYPE_CHECKING:
    from remanence.runtime.memory import Memory


FAILED = 3
"""Exit status when some of many things could not be done, and the others were."""

F = TypeVar("F", bound=Callable[..., Any])

_SCOPE = {"user_id": "--user", "agent_id": "--agent", "run_id": "--run", "app_id": "--app"}


@dataclass(slots=True)
class Settings:
    """What the shared options say; a command's own options replace those given before the command."""

    path: str | None = None
    user_id: str | None = None
    agent_id: str | None = None
    run_id: str | None = None
    app_id: str | None = None
    embedder: str = "static"
    language: str = "auto"
    json: bool = False

    def memory(self, *, new: bool = False) -> Memory:
        """The memory that the options name, for the caller to close; `new`: the file may be made by this command."""
        from remanence.runtime.memory import Memory

        memory = Memory(
            self.path,
            user_id=self.user_id,
            agent_id=self.agent_id,
            run_id=self.run_id,
            app_id=self.app_id,
            embedder=self.embedder,
            language=self.language,
            # A command ends before a thread would begin; what adds something finishes it itself.
            background=False,
            llm=os.environ.get("REMANENCE_LLM") or None,
        )
        file = getattr(memory.store, "path", None)
        if not new and file is not None and not Path(file).exists():
            memory.close()
            raise StoreError(
                f"there is no store at {file}; `remanence add` makes one, --path or $REMANENCE_DIR names another"
            )
        return memory

    @property
    def arguments(self) -> str:
        """The options that lead to the same memories again, for a command line to copy."""
        given = {"--path": self.path} | {option: getattr(self, name) for name, option in _SCOPE.items()}
        return "".join(f" {option} {shlex.quote(value)}" for option, value in given.items() if value is not None)


# Names on the command line, the environment variable, and what it is for.
_COMMON: dict[str, tuple[tuple[str, ...], str | None, str]] = {
    "path": (("--path",), None, "The store's file, or its folder."),
    "user_id": (("--user", "--user-id"), None, "Whose memory."),
    "agent_id": (("--agent", "--agent-id"), None, "Which agent's memory."),
    "run_id": (("--run", "--run-id", "--session", "--session-id"), None, "Which run or session."),
    "app_id": (("--app", "--app-id"), None, "Which application or project."),
    "embedder": (
        ("--embedder",),
        "REMANENCE_EMBEDDER",
        "static (default), static:FOLDER, hash, sentence-transformers:NAME or openai:MODEL.",
    ),
    "language": (
        ("--language",),
        "REMANENCE_LANGUAGE",
        "Of the texts: auto (default), german, de, …; the same for all of a store.",
    ),
    "json": (("--json",), None, "Print JSON."),
}


def common(*shown: str, environment: bool = False) -> Callable[[F], F]:
    """The options of every command. They go into `Settings`, not to the function.

    `shown`: those that mean something to the command, if not all do; the others are accepted for the sake of scripts
    that pass them everywhere. `environment`: values may come from environment variables.
    """

    def decorate(function: F) -> F:
        for name, (flags, variable, text) in reversed(_COMMON.items()):
            flag = name == "json"
            function = click.option(
                *flags,
                name,
                is_flag=flag,
                metavar=None if flag else "FILE" if name == "path" else "NAME" if variable else "ID",
                envvar=variable if environment else None,
                show_envvar=environment,
                hidden=bool(shown) and name not in shown,
                help=text,
                callback=_keep,
                expose_value=False,
            )(function)
        return function

    return decorate


def _keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    settings = ctx.ensure_object(Settings)
    if (value and parameter.name) or value == "":
        setattr(settings, parameter.name, value)


def json_object(value: str) -> dict[str, Any]:
    """A JSON object."""
    try:
        found = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{value!r} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise click.BadParameter(f'{value!r} is not a JSON object such as \'{{"topic": "travel"}}\'')
    return found


def moment(value: str) -> str | float:
    """A time as the library reads it, or Unix seconds."""
    # Eight digits are a date; as many as a clock has shown since 1973 are seconds.
    return float(value) if re.fullmatch(r"-?\d{9,13}(\.\d+)?", value) else value


def text_argument(value: str) -> str:
    """A text, or `-` for what comes in on standard input, without the end of its last line."""
    if value != "-":
        return value
    data = sys.stdin.buffer.read()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"standard input is not UTF-8: {error}") from error
    return text.removesuffix("\n").removesuffix("\r")


def as_of(function: F) -> F:
    """`--as-of` and `--known-at`."""
    function = click.option("--known-at", type=moment, metavar="TIME", help="As the store knew it then.")(function)
    return click.option("--as-of", type=moment, metavar="TIME", help="What was true then, instead of now.")(function)


def where(function: F) -> F:
    """`--filter`."""
    text = 'Conditions on fields and metadata, e.g. \'{"topic": "travel"}\'.'
    return click.option("--filter", "filters", type=json_object, metavar="JSON", help=text)(function)


def kinds(function: F) -> F:
    """`--kind`, once or several times."""
    text = "Only memories of this kind, e.g. turn; may be repeated."
    return click.option("--kind", "kinds", multiple=True, metavar="KIND", help=text)(function)


def limit(text: str) -> Callable[[F], F]:
    """`--limit`."""
    return click.option("--limit", "--top-k", "-n", "limit", type=int, metavar="N", help=text)


def ids(function: F) -> F:
    """`--ids`."""
    return click.option("--ids", "only_ids", is_flag=True, help="Print ids only, one per line.")(function)


def yes(function: F) -> F:
    """`--yes`."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")(function)


def ray(function: F) -> F:
    """`--ray`."""
    text = "Spread the work over a Ray cluster: host:port, auto, or local for one of this machine (extra: ray)."
    return click.option("--ray", metavar="ADDRESS", help=text)(function)
