"""`flashsale webhook add|list|test|replay|disable|enable|rotate|remove`."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

import typer

from flashsale_cli.console import EXIT_FAILED, JSON_OPTION, console, number, table, write_json
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.server_urls import database_url as read_database_url
from flashsale_cli.webhooks import Attempt, Endpoint, Webhooks, open_webhooks
from flashsale_core.errors import SettingsError
from flashsale_core.shop_events import NAME_RULE, endpoint_name, endpoint_url, event_types
from flashsale_core.timestamps import rfc3339

T = TypeVar("T")
OVERLAP_HOURS = 24
TEST_SECONDS = 25.0
TEST_POLL_SECONDS = 0.2
SHOWN_CHARACTERS = 60
app = typer.Typer(no_args_is_help=True, help="Choose where events are sent, and see what becomes of them.")
Name = Annotated[str, typer.Argument(help=f"The endpoint's name: {NAME_RULE}.")]
Types = Annotated[list[str] | None, typer.Option("--type", help="A type of event; may be repeated. Default: all but order.reserved.")]
Url = Annotated[str | None, typer.Option(help="URL of the ledger, as the role flashsale_notifier or the owner. Default: DATABASE_URL.")]
Json = Annotated[bool, JSON_OPTION]


@app.command()
def add(
    name: Name,
    url: Annotated[str, typer.Argument(help="Where events are sent: https, or http in an allowed network.")],
    type_: Types = None,
    database_url: Url = None,
    as_json: Json = False,
) -> None:
    """Add an endpoint, and print its secret. The secret is not shown again; `rotate` makes a new one."""
    types = event_types(type_ or [], "--type")
    checked_name, checked_url = endpoint_name(name, "NAME"), endpoint_url(url, "URL")
    secret = _with_webhooks(database_url, lambda webhooks: webhooks.add(checked_name, checked_url, types))
    _show_secret(name, secret, as_json)


@app.command("list")
def list_(database_url: Url = None, as_json: Json = False) -> None:
    """List the endpoints: their state, how much is due and since when, and the last answer."""
    endpoints = _with_webhooks(database_url, lambda webhooks: webhooks.endpoints())
    if as_json:
        write_json({"endpoints": [_document(endpoint) for endpoint in endpoints]})
    else:
        console().print(table("", ("endpoint", " url", " state", "due", " since", " last attempt", " answer"), map(_row, endpoints)))


@app.command("test")
def send_test(name: Name, database_url: Url = None, as_json: Json = False) -> None:
    """Send the event webhook.test to an endpoint, and show its answer. Exit status 1 unless it answers 2xx within 25 s."""
    attempt = _with_webhooks(database_url, lambda webhooks: _test(webhooks, name))
    is_ok = attempt is not None and attempt.status in range(200, 300)
    if as_json:
        write_json({"delivered": is_ok, "status": attempt and attempt.status, "answer": attempt and attempt.answer})
    elif attempt is None:
        console().print("no attempt yet: is the endpoint enabled, and does the notifier run?")
    else:
        console().print(f"{attempt.status or 'no answer'} after {number(attempt.duration_ms)} ms: {_shown(attempt.answer)}", markup=False)
    if not is_ok:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def replay(
    name: Name,
    event: Annotated[list[str] | None, typer.Argument(metavar="[EVENT_ID]...", help="Events by id (webhook-id).")] = None,
    since: Annotated[
        str | None, typer.Option(help="All events of the endpoint's types since this time, such as 2026-05-01T12:00:00Z.")
    ] = None,
    type_: Annotated[list[str] | None, typer.Option("--type", help="Only events of this type; may be repeated.")] = None,
    database_url: Url = None,
    as_json: Json = False,
) -> None:
    """Send events again, with the same ids. Events are kept for 30 days."""
    if not event and since is None:
        raise typer.BadParameter("name events, or a time with --since")
    moment = None if since is None else read_time(since)
    types = event_types(type_, "--type") if type_ else ()
    replayed = _with_webhooks(database_url, lambda webhooks: webhooks.replay(name, event or (), moment, types))
    if as_json:
        write_json({"replayed": replayed})
    else:
        console().print(f"{number(replayed)} events are due again")


@app.command()
def disable(name: Name, database_url: Url = None) -> None:
    """Send nothing to an endpoint until it is enabled. New events are not kept for it; `replay` sends them later."""
    _with_webhooks(database_url, lambda webhooks: webhooks.disable(name))
    console().print(f"{name} is disabled")


@app.command()
def enable(name: Name, database_url: Url = None) -> None:
    """Send events to an endpoint again, for example after it was disabled because it failed."""
    _with_webhooks(database_url, lambda webhooks: webhooks.enable(name))
    console().print(f"{name} is enabled")


@app.command()
def rotate(
    name: Name,
    overlap_hours: Annotated[
        float, typer.Option(help="How long the secrets that sign so far sign as well.", min=0, max=720)
    ] = OVERLAP_HOURS,
    database_url: Url = None,
    as_json: Json = False,
) -> None:
    """Make a new secret for an endpoint, and print it. Until the overlap ends, the earlier ones sign as well."""
    secret = _with_webhooks(database_url, lambda webhooks: webhooks.rotate(name, timedelta(hours=overlap_hours)))
    _show_secret(name, secret, as_json)


@app.command()
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    database_url: Url = None,
) -> None:
    """Remove an endpoint, with its secret and its deliveries. Those that are due are never sent; the events stay in the feed."""
    due = _with_webhooks(database_url, lambda webhooks: webhooks.due(name))
    if not yes:
        typer.confirm(f"{number(due)} deliveries to {name} are due and will never be sent. Remove it?", abort=True)
    _with_webhooks(database_url, lambda webhooks: webhooks.remove(name))
    console().print(f"{name} is removed")


def read_time(text: str) -> datetime:
    """A time in RFC 3339. Raises SettingsError without a zone: nobody knows which one is meant."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        # OverflowError: the first or the last day that there is, in another zone.
        pass
    raise SettingsError(f"--since must be a time with its zone, such as 2026-05-01T12:00:00Z, not {text[:60]!r}")


def _with_webhooks(url: str | None, call: Callable[[Webhooks], Awaitable[T]]) -> T:
    database = read_database_url(CliEnvironment(), url)

    async def run() -> T:
        async with open_webhooks(database) as webhooks:
            return await call(webhooks)

    return asyncio.run(run())


async def _test(webhooks: Webhooks, name: str) -> Attempt | None:
    key, deadline = await webhooks.begin_test(name), time.monotonic() + TEST_SECONDS
    while time.monotonic() < deadline:
        if (attempt := await webhooks.attempt(name, key)) is not None:
            return attempt
        await asyncio.sleep(TEST_POLL_SECONDS)
    return None


def _show_secret(name: str, secret: str, as_json: bool) -> None:
    if as_json:
        write_json({"endpoint": name, "secret": secret})
    else:
        console().print(f"the secret of {name}, which is not shown again:")
        console().print(secret, markup=False, highlight=False, soft_wrap=True)


def _shown(answer: str) -> str:
    """What a shop answered, on one line: whoever writes it must not control a terminal."""
    return "".join(character if character.isprintable() else " " for character in answer)


def _row(endpoint: Endpoint) -> tuple[str, ...]:
    state = f"{endpoint.state}: {endpoint.reason}" if endpoint.reason else endpoint.state
    answer = "" if endpoint.last_at is None else f"{endpoint.last_status or 'none'} {_shown(endpoint.last_answer or '')}"[:SHOWN_CHARACTERS]
    return (endpoint.name, endpoint.url, state, number(endpoint.due), _at(endpoint.oldest), _at(endpoint.last_at), answer)


def _document(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "name": endpoint.name, "url": endpoint.url, "types": endpoint.types, "source": endpoint.source, "state": endpoint.state,
        "reason": endpoint.reason, "failingSince": _at(endpoint.failing_since) or None, "due": endpoint.due,
        "oldest": _at(endpoint.oldest) or None, "lastAttemptAt": _at(endpoint.last_at) or None, "lastStatus": endpoint.last_status,
        "lastAnswer": endpoint.last_answer,
    }  # fmt: skip


def _at(moment: datetime | None) -> str:
    return rfc3339(moment, "seconds") if moment else ""
