"""`flashsale parked list|show|replay|drop`."""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import typer
from rich.text import Text

from flashsale_cli.console import EXIT_FAILED, JSON_OPTION, console, number, table, write_json
from flashsale_cli.dropped import open_ledger
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.parked import Depth, Message, Parking, ambiguous, open_parking, selecting
from flashsale_cli.server_urls import amqp_url, database_url
from flashsale_core.messages import Position, positions_in
from flashsale_core.timestamps import rfc3339
from flashsale_core.topology import ORDERS_QUEUE, PARKED_ORDERS_QUEUE, PARKED_SHOP_EVENTS_QUEUE, PARKED_TIMEOUT_QUEUE, UNROUTED_QUEUE

T = TypeVar("T")
LOOKS = 1000
LOOKS_MAX = 100_000
SHOWN_CHARACTERS = 4000
app = typer.Typer(
    no_args_is_help=True, help="List, show, replay or delete messages that workers parked because they could not process them."
)


class Queue(StrEnum):
    ORDERS = PARKED_ORDERS_QUEUE
    TIMEOUT = PARKED_TIMEOUT_QUEUE
    SHOP_EVENTS = PARKED_SHOP_EVENTS_QUEUE
    """Only where the notifier runs, so it has to be named."""
    UNROUTED = UNROUTED_QUEUE
    """What the broker could not route. It has to be named: its messages are good, and `drop --all` must not mean them."""


WORKER_QUEUES = (Queue.ORDERS, Queue.TIMEOUT)

Queues = Annotated[
    list[Queue] | None, typer.Option("--queue", help="A parked queue, or unrouted; may be repeated. Default: those of the workers.")
]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[MESSAGE_ID]...", help="Messages by id, as `parked show` prints them.")]
All = Annotated[bool, typer.Option("--all", help="All messages instead of named ones.")]
Limit = Annotated[int, typer.Option("--limit", help="Most messages to read in each queue, oldest first.", min=1, max=LOOKS_MAX)]
Url = Annotated[str | None, typer.Option("--amqp-url", help="URL of RabbitMQ. Default: AMQP_URL.")]
Json = Annotated[bool, JSON_OPTION]


@app.command("list")
def list_(queue: Queues = None, limit: Limit = LOOKS, url: Url = None, as_json: Json = False) -> None:
    """List how many messages are parked, since when and why. The messages stay parked."""

    async def look(parking: Parking, names: Sequence[str]) -> list[Depth]:
        return [await parking.depth(name, limit) for name in names]

    depths = _with_parking(url, queue, look)
    if as_json:
        write_json({"queues": [_depth_document(depth) for depth in depths]})
    else:
        console().print(table("", ("queue", "messages", " oldest", " parked at", " reasons"), map(_depth_row, depths)))


@app.command()
def show(ids: Ids = None, queue: Queues = None, limit: Limit = LOOKS, url: Url = None, as_json: Json = False) -> None:
    """Show messages in full, by default all. The messages stay parked. Exit status 1 if a named message is not parked."""

    async def look(parking: Parking, names: Sequence[str]) -> list[Message]:
        return [message for name in names for message in await parking.look(name, selecting(ids or ()), limit)]

    messages = _with_parking(url, queue, look)
    if as_json:
        write_json({"messages": [_document(message) for message in messages]})
    else:
        for message in messages:
            console().print(
                table("", ("field", " value"), [(name, Text(_shortened(str(value)))) for name, value in _document(message).items()])
            )
    _require(ids or (), messages)


@app.command()
def replay(ids: Ids = None, all_: All = False, queue: Queues = None, limit: Limit = LOOKS, url: Url = None, as_json: Json = False) -> None:
    """Put messages into the queue from which they came, after the cause is repaired. A message may be replayed twice without harm.

    Exit status 1 if a named message is not parked.
    """
    selects = selecting(_chosen(ids, all_))

    async def replay_all(parking: Parking, names: Sequence[str]) -> list[Message]:
        return [message for name in names for message in await parking.replay(name, selects, limit)]

    _done("replayed", ids, _with_parking(url, queue, replay_all), as_json)


@app.command()
def drop(
    ids: Ids = None,
    all_: All = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --all: confirm that all messages are deleted.")] = False,
    queue: Queues = None,
    limit: Limit = LOOKS,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Delete messages for good. Their contents never reach the ledger. Exit status 1 if a named message is not parked.

    An id that different messages have deletes none of them: name the exact id (`exactId` in `parked show`) then.
    With DATABASE_URL, the ledger is not waited for their outbox entries any more.
    """
    selects = selecting(_chosen(ids, all_))
    if all_ and not yes:
        raise typer.BadParameter("this deletes all parked messages; add --yes to confirm", param_hint="--all")

    environment = CliEnvironment()
    database = environment.text("DATABASE_URL", default="") and database_url(environment)
    unsettled = set[Position]()

    async def delete(parking: Parking, names: Sequence[str]) -> list[Message]:
        if ids:
            _require_one_each(ids, [message for name in names for message in await parking.look(name, selects, limit)])
        async with open_ledger(database) as ledger:

            async def settle(message: Message) -> None:
                positions = set(positions_in(message.body)) if message.origin == ORDERS_QUEUE else set()
                if ledger is None:
                    unsettled.update(positions)
                elif positions:
                    await ledger.settle(positions)

            return [message for name in names for message in await parking.drop(name, selects, limit, settle)]

    dropped = _with_parking(url, queue, delete)
    if unsettled:
        missing = f"{number(len(unsettled))} outbox entries stay missing in the ledger, and its audit reports them"
        typer.secho(f"flashsale: {missing}: DATABASE_URL is not set", err=True, fg="yellow")
    _done("dropped", ids, dropped, as_json)


def _chosen(ids: Sequence[str] | None, every: bool) -> Sequence[str]:
    """The named ids; empty for all messages. Raises BadParameter unless either ids or --all are given."""
    if bool(ids) == every:
        raise typer.BadParameter("name messages, or select all of them with --all")
    return ids or ()


def _require_one_each(ids: Sequence[str], messages: Sequence[Message]) -> None:
    """Raises BadParameter if an id names different messages."""
    for each, exact_ids in ambiguous(ids, messages).items():
        raise typer.BadParameter(f"{each} names {len(exact_ids)} different messages: look at them, and name {' or '.join(exact_ids)}")


def _with_parking(url: str | None, queues: Sequence[Queue] | None, call: Callable[[Parking, Sequence[str]], Awaitable[T]]) -> T:
    broker = amqp_url(CliEnvironment(), url)

    async def run() -> T:
        async with open_parking(broker) as parking:
            return await call(parking, [name.value for name in queues or WORKER_QUEUES])

    return asyncio.run(run())


def _done(verb: str, ids: Sequence[str] | None, messages: Sequence[Message], as_json: bool) -> None:
    if as_json:
        write_json({verb: [_short(message) for message in messages]})
    else:
        console().print(table("", ("message", " queue", " reason"), [(message.id, message.queue, message.reason) for message in messages]))
        console().print(f"{number(len(messages))} {verb}")
    _require(ids or (), messages)


def _require(ids: Sequence[str], messages: Sequence[Message]) -> None:
    missing = sorted(set(ids) - {name for message in messages for name in (message.id, message.exact_id)})
    if missing:
        typer.secho(f"flashsale: not parked, or not among the first --limit messages: {', '.join(missing)}", err=True, fg="red")
        raise typer.Exit(EXIT_FAILED)


def _depth_row(depth: Depth) -> tuple[str, ...]:
    reasons = ", ".join(f"{reason} {number(count)}" for reason, count in sorted(depth.reasons.items()))
    more = f" (of the first {number(depth.looked_at)})" if depth.looked_at < depth.messages else ""
    oldest = depth.oldest
    return (depth.queue, number(depth.messages), oldest.id if oldest else "", _at(oldest.parked_at) if oldest else "", reasons + more)


def _depth_document(depth: Depth) -> dict[str, Any]:
    oldest = _short(depth.oldest) if depth.oldest else None
    return {"queue": depth.queue, "messages": depth.messages, "lookedAt": depth.looked_at, "oldest": oldest, "reasons": depth.reasons}


def _short(message: Message) -> dict[str, Any]:
    return {"id": message.id, "queue": message.queue, "reason": message.reason, "parkedAt": _at(message.parked_at)}


def _document(message: Message) -> dict[str, Any]:
    """The whole message. A body that is not UTF-8 is shown with escapes, and exactly in base64."""
    document = {
        **_short(message),
        "exactId": message.exact_id,
        "origin": message.origin,
        "error": message.error,
        "body": message.body.decode("utf-8", "backslashreplace"),
    }
    try:
        message.body.decode()
    except UnicodeDecodeError:
        document["bodyBase64"] = b64encode(message.body).decode()
    return document


def _shortened(text: str) -> str:
    return f"{text[:SHOWN_CHARACTERS]}... ({len(text):,} characters; --json shows all)" if len(text) > SHOWN_CHARACTERS else text


def _at(moment: datetime | None) -> str:
    return rfc3339(moment, "seconds") if moment else ""
