"""`remanence mcp`."""

from __future__ import annotations

import os

import click

from remanence.cli import output
from remanence.cli.options import Settings, common

__all__ = ["mcp"]

IDS = {
    "user_id": "REMANENCE_USER",
    "agent_id": "REMANENCE_AGENT",
    "run_id": "REMANENCE_RUN",
    "app_id": "REMANENCE_APP",
}
"""Environment variables for those ids that are not given as options; clients find variables easier to configure."""


@click.command()
@common("path", "user_id", "agent_id", "run_id", "app_id", "embedder", "language")
@click.option(
    "--profile",
    type=click.Choice(("main", "official")),
    default="main",
    help="main (default): the memory's own tools. official: the nine of the protocol's memory server, on its file.",
)
@click.option(
    "--transport", type=click.Choice(("stdio", "http")), default="stdio", help="stdio (default) or streamable HTTP."
)
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Where to listen. Default: 127.0.0.1.")
@click.option("--port", type=int, default=8378, metavar="N", help="TCP port; 0 takes a free one. Default: 8378.")
@click.option(
    "--memory-file",
    envvar="MEMORY_FILE_PATH",
    show_envvar=True,
    metavar="FILE",
    help="The official profile's JSON lines. Default: memory.jsonl in $REMANENCE_DIR or here.",
)
@click.option("--max-tokens", type=int, metavar="N", help="Tokens of an answer, unless a call says how many.")
@click.option(
    "--keys", "keys_file", metavar="PLACE", help="Where keys lie, if not beside the store: a file or database."
)
@click.pass_obj
def mcp(
    settings: Settings,
    /,
    profile: str,
    transport: str,
    host: str,
    port: int,
    memory_file: str | None,
    max_tokens: int | None,
    keys_file: str | None,
) -> None:
    """Serve the memory to clients of the Model Context Protocol.

    It is started for a user, agent, run or app: by options, or by $REMANENCE_USER, $REMANENCE_AGENT, $REMANENCE_RUN and
    $REMANENCE_APP. Clients reach these memories and no others. Over HTTP callers from other machines need keys.
    """
    from remanence.server.mcp import Options, serve
    from remanence.server.settings import Settings as ServerSettings

    given = {name: getattr(settings, name) or os.environ.get(variable) for name, variable in IDS.items()}
    serve(
        Options(
            profile=profile,
            transport=transport,
            settings=ServerSettings(
                path=settings.path,
                host=host,
                port=port,
                keys=keys_file,
                embedder=settings.embedder,
                language=settings.language,
                llm=os.environ.get("REMANENCE_LLM") or None,
            ),
            ids={name: value for name, value in given.items() if value},
            memory_file=memory_file,
            max_tokens=max_tokens,
        ),
        output.note,
    )
