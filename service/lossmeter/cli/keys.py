"""`lossmeter keys`: makes keys, lists them, revokes them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lossmeter.cli.database import open_database
from lossmeter.cli.failures import failures_exit
from lossmeter.cli.layout import print_json, table
from lossmeter.cli.settings import read_settings

if TYPE_CHECKING:
    from lossmeter.keys import SqlKeys


@failures_exit(1)
def create_key(
    name: Annotated[str, typer.Argument(help="Whose it is, or what for.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="evaluate, runs:read, runs:write or admin; none opens the catalogue alone.")
    ] = None,
    days: Annotated[float | None, typer.Option(min=0, help="After which it expires; for ever if left out.")] = None,
    requests_per_second: Annotated[float | None, typer.Option(help="From this key, to each worker.")] = None,
    burst: Annotated[int | None, typer.Option(help="Requests at once; those of a second if left out.")] = None,
    max_body_bytes: Annotated[
        int | None, typer.Option(help="The largest body; the server's limit if left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print key and token as JSON.")] = False,
) -> None:
    """Make a key, and print its token, which is shown this once and kept nowhere."""
    from lossmeter.keys import described, issue
    from lossmeter.keys.key import now_microseconds

    if days is not None and not math.isfinite(days):
        raise typer.BadParameter(f"{days} is no number of days.", param_hint="--days")
    expires = None if days is None else now_microseconds() + int(days * 86_400e6)
    with _open_store() as store:
        key, token = issue(
            name,
            scope or (),
            expires=expires,
            requests_per_second=requests_per_second,
            burst=burst,
            max_body_bytes=max_body_bytes,
        )
        store.add(key)
    if as_json:
        print_json({**described(key), "token": token})
        return
    typer.echo(f"key {key.id} ({key.name}): {', '.join(sorted(key.scopes)) or 'the catalogue alone'}", err=True)
    typer.echo("Its token, which cannot be shown again:", err=True)
    typer.echo(token)


@failures_exit(1)
def list_keys(as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False) -> None:
    """Print every key, also those that are not good any more; never a token."""
    from lossmeter.keys import described

    with _open_store() as store:
        keys = [described(key) for key in store.all()]
    if as_json:
        print_json(keys)
    else:
        Console().print(_keys_table(keys))


@failures_exit(1)
def revoke_key(key_id: Annotated[str, typer.Argument(metavar="ID", help="As `lossmeter keys list` shows it.")]) -> None:
    """Make a key useless for ever. Servers notice within LOSSMETER_KEY_CACHE_SECONDS."""
    from lossmeter.keys.key import id_of, now_microseconds

    with _open_store() as store:
        key, _ = store.revoke(id_of(key_id) or key_id, now_microseconds())
    typer.echo(f"key {key.id} ({key.name}) is revoked")


@contextmanager
def _open_store() -> Iterator[SqlKeys]:
    """Opens the keys in the database of the settings."""
    from lossmeter.keys import SqlKeys

    database = open_database(read_settings())
    try:
        yield SqlKeys(database)
    finally:
        database.close()


def _keys_table(keys: list[dict[str, Any]]) -> Table:
    page = table("id", "name", "state", "scopes", "created", "expires", "limits")
    for key in keys:
        often = f"{key['requests_per_second']:g}/s, {key['burst']} at once" if key["requests_per_second"] else ""
        large = f"{key['max_body_bytes']} bytes" if key["max_body_bytes"] else ""
        page.add_row(
            Text(key["id"], "bold"),
            Text(key["name"]),
            key["state"],
            " ".join(key["scopes"]),
            key["created"][:10],
            (key["expires"] or "")[:10],
            ", ".join(filter(None, (often, large))),
        )
    return page
