"""Sends a plan to the gateway and counts the answers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import sqrt
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
    arrival_seconds: float = 0.0
    """The crowd grows over this time: half of the requests are sent in the last 30 % of it. 0 sends them as fast as possible."""


def _ignore(_: Accepted) -> None:
    pass


async def run(clicks: Sequence[Click], target: Target, tally: Tally, on_order: Callable[[Accepted], None] = _ignore) -> Tally:
    """Send every click once. Returns the tally, which may be read during the run. `on_order` is called once for each order."""
    files = raise_open_files_limit()
    lanes = len(clicks) if target.at_once else min(target.connections, len(clicks))
    lanes = max(1, min(lanes, files - SPARE_FILES))
    async with _open(target) as post:
        sender = _Sender(post, tally, on_order, target)
        queue = zip(clicks, arrivals(len(clicks), target.arrival_seconds), strict=True)
        # Every lane starts and then waits, so that one event releases all of them together.
        async with asyncio.TaskGroup() as group:
            for _ in range(lanes):
                group.create_task(sender.send_all(queue))
            await asyncio.sleep(0)
            started = sender.start()
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
            async with session.post(url, data=click.body, headers=click.headers(), allow_redirects=False) as response:
                return Reply(response.status, response.headers.get("Idempotent-Replayed") == "true", await response.read())

        yield post


def arrivals(count: int, seconds: float) -> Iterator[float]:
    """When each request is sent, in seconds since the start: a crowd that grows evenly, as word spreads."""
    return (seconds * sqrt(number / count) for number in range(count))


class _Sender:
    def __init__(self, post: Post, tally: Tally, on_order: Callable[[Accepted], None], target: Target) -> None:
        self._post = post
        self._tally = tally
        self._on_order = on_order
        self._stop_after_seconds = target.stop_after_seconds
        self._started = 0.0
        self._release = asyncio.Event()

    def start(self) -> float:
        """Release all lanes. Returns the time."""
        self._started = perf_counter()
        self._release.set()
        return self._started

    async def send_all(self, queue: Iterator[tuple[Click, float]]) -> None:
        await self._release.wait()
        for click, arrival in queue:
            if (early := self._started + arrival - perf_counter()) > 0:
                await asyncio.sleep(early)
            if self._since_start() < self._stop_after_seconds:
                await self._send(click)
            else:
                self._tally.unanswered(failed("not_sent"), self._since_start())

    async def _send(self, click: Click) -> None:
        began = self._since_start()
        try:
            reply = await self._post(click)
        except TimeoutError:
            self._tally.unanswered(failed("timeout"), self._since_start())
            return
        except (aiohttp.ClientError, OSError):
            self._tally.unanswered(failed("connection"), self._since_start())
            return
        ended = self._since_start()
        document = parse_json(reply.body)
        code = str(document.get("code", "")) if isinstance(document, dict) else ""
        order = self._tally.answered(click, classify(reply.status, code, reply.replayed), document, ended - began, ended)
        if order is not None:
            self._on_order(order)

    def _since_start(self) -> float:
        return perf_counter() - self._started
