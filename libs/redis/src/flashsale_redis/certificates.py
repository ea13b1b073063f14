"""TLS connections that use renewed certificates. redis-py's read the files once, and trust the system's authorities in addition."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redis.asyncio.connection import AbstractConnection, RedisSSLContext, SSLConnection

Stamps = tuple[tuple[int, int, int], ...]


class Contexts:
    """What the connections of a pool share: one TLS context, until a file changes."""

    def __init__(self) -> None:
        self._context: ssl.SSLContext | None = None
        self._stamps: Stamps = ()

    def current(self, options: RedisSSLContext) -> ssl.SSLContext:
        """Raises OSError if a file cannot be read, or a certificate and its key do not match."""
        stamps = tuple(_stamp(path) for path in (options.ca_certs, options.certfile, options.keyfile) if path)
        if self._context is None or stamps != self._stamps:
            self._context, self._stamps = _context(options), stamps
        return self._context


class RenewsCertificates(SSLConnection):
    """A mixin for connection classes."""

    contexts: Contexts

    def _connection_arguments(self) -> Mapping[str, Any]:
        self.ssl_context.context = self.contexts.current(self.ssl_context)
        return super()._connection_arguments()


def renewing(connection_class: type[AbstractConnection]) -> type[AbstractConnection]:
    """A class of connections that share a context; `connection_class` itself if it does not use TLS."""
    if not issubclass(connection_class, SSLConnection):
        return connection_class
    return type(connection_class.__name__, (RenewsCertificates, connection_class), {"contexts": Contexts()})


def _context(options: RedisSSLContext) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.ca_certs, capath=options.ca_path, cadata=options.ca_data)
    context.check_hostname = options.check_hostname
    context.verify_mode = ssl.VerifyMode(options.cert_reqs)
    for flag in options.include_verify_flags or ():
        context.verify_flags |= flag
    for flag in options.exclude_verify_flags or ():
        context.verify_flags &= ~flag
    if options.certfile:
        context.load_cert_chain(options.certfile, options.keyfile, password=options.password or "")
    if options.min_version is not None:
        context.minimum_version = options.min_version
    if options.ciphers is not None:
        context.set_ciphers(options.ciphers)
    return context


def _stamp(path: str) -> tuple[int, int, int]:
    status = Path(path).stat()
    return status.st_mtime_ns, status.st_ino, status.st_size
