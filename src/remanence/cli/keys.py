"""`remanence keys`: who may use a server, and for what."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from remanence.cli import output
from remanence.cli.options import Settings, common
from remanence.cli.output import Refusal

if TYPE_CHECKING:
    from remanence.server.keys import Key, Keys

__all__ = ["keys"]

_RIGHTS = ("read", "write", "erase", "admin")


@click.group()
def keys() -> None:
    """Make, list and end the keys of a server.

    A key is bound to whose memory it reaches (--user, --agent, --run, --app) and to what it may do there. Keys lie in
    a file of their own beside the store, or in the database that is the store; of their secrets only hashes.
    """


@keys.command()
@click.option("--name", required=True, help="For people; the author of its changes in the journal.")
@click.option(
    "--right",
    "rights",
    multiple=True,
    type=click.Choice(_RIGHTS),
    help="What it may do; may be repeated. read and write if left out; admin is all of them.",
)
@click.option("--days", type=click.FloatRange(min=0, min_open=True), metavar="N", help="End it by itself after N days.")
@click.option("--everything", is_flag=True, help="Bind it to nobody: it reaches every memory in the store.")
@click.option("--keys", "place", metavar="PLACE", help="Where keys lie, if not beside the store: a file or database.")
@common("path", "user_id", "agent_id", "run_id", "app_id", "json")
@click.pass_obj
def create(
    settings: Settings, /, name: str, rights: tuple[str, ...], days: float | None, everything: bool, place: str | None
) -> None:
    """Make a key and print it. It is shown this once and kept nowhere."""
    scope = {
        field: value for field in ("user_id", "agent_id", "run_id", "app_id") if (value := getattr(settings, field))
    }
    if everything is bool(scope):
        raise Refusal("whose memory may it reach? Pass --user, --agent, --run or --app, or --everything")
    with _keys(settings, place) as keys:
        made, token = keys.create(name, scope or None, rights or ("read", "write"), expires=_end(days))
    if settings.json:
        output.document({**_row(made), "key": token})
        return
    output.line(token)
    output.note(f"key {made.id} for {_whose(made)}; it is not shown again")


@keys.command("list")
@click.option("--keys", "place", metavar="PLACE", help="Where keys lie, if not beside the store: a file or database.")
@common("path", "json")
@click.pass_obj
def list_(settings: Settings, /, place: str | None) -> None:
    """List keys, also those that have ended."""
    with _keys(settings, place) as keys:
        found = keys.list()
    if settings.json:
        output.document([_row(key) for key in found])
        return
    if not found:
        output.line("there are no keys")
        return
    output.table(
        {"id": "left", "name": "text", "state": "left", "reaches": "text", "may": "left", "until": "left"},
        (
            [
                key.id,
                key.name,
                _row(key)["state"],
                _whose(key),
                " ".join(right for right in _RIGHTS if right in key.rights),
                output.moment(key.expires.isoformat() if key.expires else None),
            ]
            for key in found
        ),
    )


@keys.command()
@click.argument("key_id")
@click.option("--keys", "place", metavar="PLACE", help="Where keys lie, if not beside the store: a file or database.")
@common("path", "json")
@click.pass_obj
def revoke(settings: Settings, /, key_id: str, place: str | None) -> None:
    """End a key, in running servers too.

    When this returns, nothing is being written with the key, and nothing will be.
    """
    # Whoever has the key alone may end it: its second part is the id.
    id = key_id.split("_")[1] if key_id.startswith("rmk_") and key_id.count("_") == 2 else key_id
    with _keys(settings, place) as keys:
        ended = keys.revoke(id)
    if settings.json:
        output.document(_row(ended))
    else:
        output.line(f"revoked {ended.id} {ended.name}")


def _keys(settings: Settings, place: str | None) -> closing[Keys]:
    from remanence.server.keys import Keys
    from remanence.server.settings import Settings as Server

    return closing(Keys(Server(path=settings.path, keys=place).keys_place))


def _now() -> datetime:
    from remanence.core.clock import utc_now

    return utc_now()


def _end(days: float | None) -> datetime | None:
    try:
        return None if days is None else _now() + timedelta(days=days)
    except (OverflowError, ValueError):
        raise Refusal(f"{days:g} days are more than a date can hold; leave --days out") from None


def _row(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "state": key.state(_now()),
        "scope": dict(key.scope),
        "rights": sorted(key.rights),
        "created_at": key.created.isoformat(),
        "expires_at": None if key.expires is None else key.expires.isoformat(),
        "revoked_at": None if key.revoked is None else key.revoked.isoformat(),
    }


def _whose(key: Key) -> str:
    return " ".join(f"{name}={value}" for name, value in key.scope.items()) or "everything"
