"""Requests to a server of this process that stalls while one of them arrives."""

import asyncio
import socket
import time
from typing import Any, Protocol

from tests.unit.gateway.test_server import turns_until

OK = b"HTTP/1.1 200 OK\r\n"


class Asked(Protocol):
    """What answers the requests; it calls `when_asked` as soon as it has read one."""

    when_asked: Any


async def ask(connection: socket.socket, request: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, request)
    return await loop.sock_recv(connection, 4096)


async def answers_around_a_stall(
    server: Any, port: int, asked: Asked, request: bytes, *, requests_before: int, stall_seconds: float
) -> list[bytes]:
    """The answers to a request during which the process stalls, and to one that arrives meanwhile, on a connection that had some before."""
    with socket.create_connection(("127.0.0.1", port)) as late, socket.create_connection(("127.0.0.1", port)) as other:

        def arrive_and_stall() -> None:
            asked.when_asked = lambda: None
            late.send(request)
            # The loop reads nothing until then: the process is stopped, or gets no CPU.
            time.sleep(stall_seconds)

        late.setblocking(False)
        other.setblocking(False)
        await turns_until(lambda: len(server.server_state.connections) == 2)
        for _ in range(requests_before):
            assert (await ask(late, request)).startswith(OK)
        asked.when_asked = arrive_and_stall
        return [await ask(other, request), await asyncio.get_running_loop().sock_recv(late, 4096)]
