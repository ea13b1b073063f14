"""Connections whose whole answer has to arrive within the timeout; in the standard library it is the timeout of each read."""

import ssl
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from io import BufferedReader, RawIOBase
from math import inf
from socket import socket
from time import monotonic
from typing import Any
from urllib.request import HTTPHandler, HTTPSHandler, Request


class TimedHandler(HTTPHandler):
    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_Connection, req)


class TimedSecureHandler(HTTPSHandler):
    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_SecureConnection, req, context=ssl.create_default_context())


class _Connection(HTTPConnection):
    def connect(self) -> None:
        self.response_class = _timed(self.timeout)
        super().connect()


class _SecureConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


def _timed(timeout_seconds: float | None) -> type[HTTPResponse]:
    """A class of responses that arrive within this time from now."""
    ends = inf if timeout_seconds is None else monotonic() + timeout_seconds

    class Response(HTTPResponse):
        def __init__(self, sock: socket, *arguments: Any, **more: Any) -> None:
            super().__init__(sock, *arguments, **more)
            self.fp = BufferedReader(_TimedReads(self.fp.detach(), sock, ends))

    return Response


class _TimedReads(RawIOBase):
    def __init__(self, raw: RawIOBase, sock: socket, ends: float) -> None:
        self._raw, self._sock, self._ends = raw, sock, ends

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Raises TimeoutError past the end of the attempt."""
        left = self._ends - monotonic()
        if left <= 0:
            raise TimeoutError("the answer did not arrive in time")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
