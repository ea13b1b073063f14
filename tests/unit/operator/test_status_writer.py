"""What is written to the apiserver, which is an HTTP server of the test."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientResponseError, ClientSession, web

from flashsale_operator.apiserver import WRITES_MAX, Apiserver
from flashsale_operator.status_writer import StatusWriter
from tests.unit.operator.test_operator_plan import RESOURCE

TERMINATING = b'{"details": {"causes": [{"reason": "NamespaceTerminating"}]}}'


class Server:
    """Answers each request with `status` and `content`: the content comes after the headers, as that of a large object does."""

    def __init__(self) -> None:
        self.status, self.content = 200, b'{"metadata": {"resourceVersion": "8"}}'
        self.connections: set[tuple[str, int]] = set()
        self.running = self.running_max = 0
        self.received = b""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        self.connections.add(request.transport.get_extra_info("peername"))
        self.received = await request.read()
        self.running += 1
        self.running_max = max(self.running, self.running_max)
        response = web.StreamResponse(status=self.status)
        await response.prepare(request)
        await asyncio.sleep(0.01)
        await response.write(self.content)
        self.running -= 1
        return response


@asynccontextmanager
async def writer_to(server: Server) -> AsyncIterator[StatusWriter]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    async with ClientSession() as session:
        yield StatusWriter(Apiserver(session, f"http://{host}:{port}", dict))
    await runner.cleanup()


async def test_all_writes_use_one_connection() -> None:
    server = Server()
    async with writer_to(server) as writer:
        assert await writer.add_finalizer(RESOURCE) == "8"
        assert await writer.claim(RESOURCE, "shop.one")
        assert await writer.write(RESOURCE, {"phase": "Live"})
        await writer.post_event("shop", {"reason": "Started"})
        assert not await writer.namespace_ends(RESOURCE)
        server.status = 409
        assert not await writer.claim(RESOURCE, "shop.one")
        assert await writer.add_finalizer(RESOURCE) is None
    assert len(server.connections) == 1


async def test_finalizer_is_added_to_those_of_others_in_the_version_that_was_read() -> None:
    server = Server()
    async with writer_to(server) as writer:
        await writer.add_finalizer(dataclasses.replace(RESOURCE, version="7", finalizers=("somebody/else",)))
    metadata = {"uid": RESOURCE.uid, "resourceVersion": "7", "finalizers": ["somebody/else", "operator.flashsale.dev/finalizer"]}
    assert json.loads(server.received) == {"metadata": metadata}


async def test_refusal_that_is_not_expected_is_an_error() -> None:
    server = Server()
    async with writer_to(server) as writer:
        server.status = 404
        assert not await writer.write(RESOURCE, {})
        server.status = 422
        with pytest.raises(ClientResponseError):
            await writer.write(RESOURCE, {})
        with pytest.raises(ClientResponseError):
            await writer.claim(RESOURCE, "shop.one")


async def test_namespace_ends_only_if_the_apiserver_says_so() -> None:
    server = Server()
    async with writer_to(server) as writer:
        server.status = 403
        for content in (b'{"kind": "Status", "message": "NamespaceTerminating"}', b"<html>refused by a proxy</html>", b"[]"):
            server.content = content
            assert not await writer.namespace_ends(RESOURCE)
        server.content = TERMINATING
        assert await writer.namespace_ends(RESOURCE)


async def test_writes_at_the_same_time_are_bounded() -> None:
    server = Server()
    async with writer_to(server) as writer:
        await asyncio.gather(*[writer.write(RESOURCE, {"phase": "Live"}) for _ in range(3 * WRITES_MAX)])
    assert server.running_max == WRITES_MAX
