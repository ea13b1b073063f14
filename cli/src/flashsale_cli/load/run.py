"""Sends a plan to the gateway and counts the answers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter

import aiohttp

from flashsale_cli.http_client import open_session, parse_json, raise_open_files_limit
from flashsale_cli.load.outcomes import classify, failed
from flashsale_cli.load.plan import Click
from flashsale_cli.load.single_request import Reply, SingleRequestClient
from flashsale_cli.load.tally import Accepted, Tally

SPARE_FILES = 64
Post = Callable[[Click], Awaitable[Reply]]
CONNECTIONS_DEFAULT = 500


@dataclass(frozen=True, slots=True)
class Target:
    url: str
    connections: int = CONNECTIONS_DEFAULT
    """Most requests under way at once."""
    at_once: bool = False
    """Send all requests together, each on its own connection."""
    timeout_seconds: float = 30.0
    """How long one request may take."""
    stop_after_seconds: float = 600.0
    """Requests that are not sent by then are not sent at all."""


def _ignore(_: Accepted) -> None:
    pass


async def run(clicks: Sequence[Click], target: Target, tally: Tally, on_order: Callable[[Accepted], None] = _ignore) -> Tally:
    """Send every click once. Returns the tally, which may be read during the run. `on_order` is called once for each order."""
    files = raise_open_files_limit()
    lanes = len(clicks) if target.at_once else min(target.connections, len(clicks))
    lanes = max(1, min(lanes, files - SPARE_FILES))
    async with _open(target) as post:
        started = perf_counter()
        sender = _Sender(post, tally, on_order, started + target.stop_after_seconds)
        queue = iter(clicks)
        # Every lane starts and then waits, so that one event releases all of them together.
        async with asyncio.TaskGroup() as group:
            for _ in range(lanes):
                group.create_task(sender.send_all(queue))
            await asyncio.sleep(0)
            started = perf_counter()
            sender.release.set()
    tally.elapsed_seconds = perf_counter() - started
    return tally


@asynccontextmanager
async def _open(target: Target) -> AsyncIterator[Post]:
    url = f"{target.url}/order"
    if target.at_once and url.startswith("http://"):
        yield SingleRequestClient(url, target.timeout_seconds).post
        return
    async with open_session(target.timeout_seconds) as session:

        async def post(click: Click) -> Reply:
            async with session.post(url, data=click.body, headers=click.headers()) as response:
                return Reply(response.status, response.headers.get("Idempotent-Replayed") == "true", await response.read())

        yield post


class _Sender:
    def __init__(self, post: Post, tally: Tally, on_order: Callable[[Accepted], None], stop_at: float) -> None:
        self._post = post
        self._tally = tally
        self._on_order = on_order
        self._stop_at = stop_at
        self.release = asyncio.Event()

    async def send_all(self, queue: Iterator[Click]) -> None:
        await self.release.wait()
        for click in queue:
            if perf_counter() < self._stop_at:
                await self._send(click)
            else:
                self._tally.unanswered(failed("not_sent"))

    async def _send(self, click: Click) -> None:
        started = perf_counter()
        try:
            reply = await self._post(click)
        except TimeoutError:
            self._tally.unanswered(failed("timeout"))
            return
        except (aiohttp.ClientError, OSError):
            self._tally.unanswered(failed("connection"))
            return
        seconds = perf_counter() - started
        document = parse_json(reply.body)
        code = str(document.get("code", "")) if isinstance(document, dict) else ""
        order = self._tally.answered(click, classify(reply.status, code, reply.replayed), document, seconds)
        if order is not None:
            self._on_order(order)
