"""The root of all commands: options that go before the command, and how errors end."""

from __future__ import annotations

import sys
from typing import Any

import click

import remanence
from remanence.cli import (
    adding,
    bench,
    changing,
    doctor,
    erasing,
    finding,
    keys,
    knowing,
    mcp,
    migrating,
    past,
    serving,
    sleeping,
    systems,
    transfer,
    upkeep,
    working,
)
from remanence.cli.options import Settings, common
from remanence.cli.output import Failure, Refusal
from remanence.core.errors import RemanenceError, ScopeRequired

__all__ = ["root"]


class Root(click.Group):
    """Commands in the order in which they were registered; errors as one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the life of a memory."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what goes wrong on purpose ends as `error: …` and an exit status."""
        for stream in (sys.stdout, sys.stderr):
            # What a terminal's encoding cannot show must not end a command half-way.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
        try:
            return super().invoke(ctx)
        except ScopeRequired as error:
            raise Refusal("whose memory? Pass --user, --agent, --run or --app, each with an id") from error
        except RemanenceError as error:
            raise Failure(str(error)) from error
        except BrokenPipeError:
            # click ends quietly when the reader of its output has gone.
            raise
        except OSError as error:
            raise Failure(f"{error.strerror or error}: {error.filename}" if error.filename else str(error)) from error
        except (KeyboardInterrupt, click.Abort):
            click.echo(err=True)
            raise click.exceptions.Exit(130) from None


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@common(environment=True)
@click.version_option(remanence.__version__, prog_name="remanence", message="%(prog)s %(version)s")
@click.pass_context
def root(ctx: click.Context) -> None:
    """Memory for AI in one file: what was said, found again in milliseconds, and provably forgotten.

    The store is ./remanence.db, or remanence.db in $REMANENCE_DIR, or what --path names. Options shown here may stand
    before or after the command.
    """
    ctx.ensure_object(Settings)


for command in (
    adding.add,
    finding.search,
    finding.context,
    finding.get,
    finding.list_,
    past.history,
    past.changes,
    knowing.profile,
    knowing.timeline,
    knowing.explain,
    changing.undo,
    changing.update,
    changing.delete,
    erasing.erase,
    erasing.verify_erasure,
    erasing.receipts,
    upkeep.rebuild,
    upkeep.reembed,
    upkeep.stats,
    sleeping.sleep,
    sleeping.quarantine,
    sleeping.release,
    sleeping.audit,
    working.jobs,
    working.worker,
    transfer.import_,
    transfer.export,
    migrating.migrate,
    serving.serve,
    keys.keys,
    systems.systems,
    systems.show,
    systems.witness,
    systems.check,
    bench.bench,
    bench.demo,
    doctor.doctor,
    mcp.mcp,
):
    root.add_command(command)
