"""/metrics, /healthz and /readyz of a worker, served by threads of their own next to its event loop.

/healthz runs its check in the event loop: a blocked loop does not answer, and liveness exists to find that.
"""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from flashsale_core.exposition import expose, is_open_metrics

Check = Callable[[], Awaitable[None]]
"""Raises when the service is not ready; the exception's text becomes the answer."""

PROBE_TIMEOUT_SECONDS = 3.0
REQUEST_TIMEOUT_SECONDS = 5.0
"""How long a client may be silent: each one occupies a thread."""
POLL_SECONDS = 1.0
"""How often the server checks whether it must end."""


async def _always_alive() -> None:
    return None


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        # `::` listens on both families, whatever the machine's default is.
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Quiet(WSGIRequestHandler):
    timeout = REQUEST_TIMEOUT_SECONDS

    def handle(self) -> None:
        # A client that is silent or has left is not an error to print on stderr.
        with suppress(TimeoutError, ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        pass


@contextmanager
def serve_probes(host: str, port: int, ready: Check, alive: Check = _always_alive) -> Iterator[int]:
    """Serve until the block ends; yields the port in use. Call from the running event loop.

    /readyz checks `ready`, and /healthz checks `alive`: by default, only that the loop answers.
    """
    server = make_server(
        host,
        port,
        _application(asyncio.get_running_loop(), ready, alive),
        server_class=_Server6 if family(host) == socket.AF_INET6 else _Server,
        handler_class=_Quiet,
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": POLL_SECONDS}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        _shut_down(server)
        server.server_close()


def family(host: str) -> socket.AddressFamily:
    """The address family to listen on `host` with: IPv6 for `::` and other IPv6 addresses, and for names that have no IPv4 address.

    Raises OSError when `host` is a name that cannot be resolved.
    """
    families = {address[0] for address in socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)}
    return socket.AF_INET if socket.AF_INET in families else socket.AF_INET6


def _shut_down(server: WSGIServer) -> None:
    """End the server at once: it checks rarely, so a connection wakes it."""
    ending = threading.Thread(target=server.shutdown)
    ending.start()
    with suppress(OSError):
        socket.create_connection((str(server.server_address[0]), server.server_port), timeout=POLL_SECONDS).close()
    ending.join()


def _application(loop: asyncio.AbstractEventLoop, ready: Check, alive: Check) -> Any:
    def application(environ: dict[str, Any], start_response: Any) -> Any:
        match environ["PATH_INFO"]:
            case "/metrics":
                body, content_type = expose(is_open_metrics(environ.get("HTTP_ACCEPT", "")))
                start_response("200 OK", [("Content-Type", content_type)])
                return [body]
            case "/healthz":
                return _answer(loop, alive, start_response)
            case "/readyz":
                return _answer(loop, ready, start_response)
            case _:
                start_response("404 Not Found", [("Content-Type", "text/plain")])
                return [b"try /metrics, /healthz or /readyz\n"]

    return application


def _answer(loop: asyncio.AbstractEventLoop, check: Check, start_response: Any) -> Iterable[bytes]:
    async def run() -> None:
        await check()

    future = asyncio.run_coroutine_threadsafe(run(), loop)
    try:
        future.result(PROBE_TIMEOUT_SECONDS)
    except Exception as error:
        future.cancel()
        start_response("503 Service Unavailable", [("Content-Type", "text/plain"), ("Retry-After", "1")])
        return [f"{error or type(error).__name__}\n".encode()]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok\n"]
