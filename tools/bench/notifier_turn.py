"""A notifier next to a stack for one turn of a bench: its queue, an endpoint that answers at once, and what is left of it afterwards."""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from flashsale_cli.webhooks import open_webhooks
from flashsale_core import topology
from flashsale_core.settings import Environment
from flashsale_core.shop_events import DEFAULT_TYPES
from flashsale_local_stack import Stack
from tests.integration.broker import control
from tools.bench.processes import Server, free_port, serving
from tools.bench.testbed import Testbed

QUEUES = (topology.SHOP_EVENTS_QUEUE, topology.PARKED_SHOP_EVENTS_QUEUE)
ENDPOINT = "bench"


@asynccontextmanager
async def notifying(testbed: Testbed, stack: Stack) -> AsyncIterator[Server]:
    """The queue, an endpoint, and a notifier that sends to it; nothing of them is left afterwards."""
    variables, port = stack.env(), free_port()
    env = {
        **os.environ,
        **variables,
        "FLASHSALE_NOTIFIER_ALLOWED_NETWORKS": "127.0.0.0/8",
        "FLASHSALE_PROBE_PORT": str(port),
        "FLASHSALE_LOG_LEVEL": "ERROR",
    }
    await asyncio.to_thread(_add_queue, stack)
    try:
        async with open_webhooks(variables["DATABASE_URL"]) as webhooks, _endpoint() as url:
            await webhooks.add(ENDPOINT, url, DEFAULT_TYPES)
            try:
                async with serving(testbed.session, port, "/readyz", "flashsale_notifier", env=env, statuses={200}) as notifier:
                    yield notifier
            finally:
                await webhooks.remove(ENDPOINT)
    finally:
        await asyncio.to_thread(_remove_queue, stack)


@asynccontextmanager
async def _endpoint() -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/hooks", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hooks"
    finally:
        await runner.cleanup()


def traces(stack: Stack) -> int:
    """How many queues and bindings the broker has for events."""
    listed = control(stack, "list_queues", "name") + control(stack, "list_bindings", "source_name", "destination_name")
    return sum(not set(QUEUES).isdisjoint(line.split()) for line in listed.splitlines())


def _add_queue(stack: Stack) -> None:
    """As `flashsale topology --events on` does. Raises subprocess.CalledProcessError if the broker refuses."""
    document = topology.definitions([], _windows(stack), events=topology.Events.ON)
    with tempfile.TemporaryDirectory(prefix="flashsale-queue-") as folder:
        path = Path(folder) / "definitions.json"
        path.write_text(json.dumps(document))
        control(stack, "import_definitions", str(path))


def _remove_queue(stack: Stack) -> None:
    """With its messages, bindings and policies. Raises subprocess.CalledProcessError if the broker refuses."""
    for queue in QUEUES:
        control(stack, "delete_queue", queue)
    names = {policy["name"] for policy in topology.definitions([], _windows(stack), events=topology.Events.ON)["policies"]}
    for name in sorted(names - {policy["name"] for policy in topology.definitions([], _windows(stack))["policies"]}):
        control(stack, "clear_policy", name)


def _windows(stack: Stack) -> tuple[int, ...]:
    return tuple(Environment(stack.env()).integers("FLASHSALE_PAYMENT_WINDOWS", topology.WINDOWS_DEFAULT))
