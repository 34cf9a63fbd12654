"""`remanence serve`: the memory as a server."""

from __future__ import annotations

import os

import click

from remanence.cli.options import Settings, common

__all__ = ["serve"]


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option("--port", default=8377, show_default=True, metavar="PORT", help="0 takes a free one.")
@click.option(
    "--auth/--no-auth",
    default=None,
    help="Whether callers need a key; if left out, all but those on this machine while there are no keys.",
)
@click.option(
    "--keys", "keys_file", metavar="PLACE", help="Where keys lie, if not beside the store: a file or database."
)
@click.option("--rate", default=500.0, show_default=True, metavar="N", help="Requests per second and key; 0: no limit.")
@click.option("--burst", default=1000, show_default=True, metavar="N", help="Requests of a key that may come at once.")
@click.option("--max-body", default=4 * 1024**2, show_default=True, metavar="BYTES", help="Of a request.")
@click.option("--max-import", default=1024**3, show_default=True, metavar="BYTES", help="Of a file to import.")
@click.option("--timeout", default=60.0, show_default=True, metavar="SECONDS", help="A request may take.")
@click.option("--threads", default=4, show_default=True, metavar="N", help="Requests worked on at the same time.")
@click.option("--workers", default=1, show_default=True, metavar="N", help="Processes that share the address.")
@click.option(
    "--upstream",
    metavar="URL",
    envvar="REMANENCE_UPSTREAM",
    help="The service behind the OpenAI-compatible proxy, with its version: https://api.openai.com/v1. Its key, if not "
    "that of each caller, is taken from $REMANENCE_UPSTREAM_KEY.",
)
@common("path", "embedder", "language")
@click.pass_obj
def serve(
    settings: Settings,
    /,
    host: str,
    port: int,
    auth: bool | None,
    keys_file: str | None,
    rate: float,
    burst: int,
    max_body: int,
    max_import: int,
    timeout: float,
    threads: int,
    workers: int,
    upstream: str | None,
) -> None:
    """Serve the memory over HTTP until interrupted.

    REST under /api/v1 and mem0's routes. Callers need keys, which `remanence keys` makes; an address that other
    machines can reach is refused without one.
    """
    from remanence import server

    server.serve(
        server.Settings(
            path=settings.path,
            host=host,
            port=port,
            auth=auth,
            keys=keys_file,
            embedder=settings.embedder,
            language=settings.language,
            llm=os.environ.get("REMANENCE_LLM") or None,
            background=os.environ.get("REMANENCE_BACKGROUND") != "0",
            rate=rate,
            burst=burst,
            max_body=max_body,
            max_import=max_import,
            timeout=timeout,
            threads=threads,
            workers=workers,
            upstream=upstream,
            upstream_key=os.environ.get("REMANENCE_UPSTREAM_KEY") or None,
        )
    )
