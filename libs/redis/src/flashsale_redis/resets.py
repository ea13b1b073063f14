"""Connections that notice a reset: while they are idle, and as the ConnectionError that callers expect, whichever loop runs."""

from collections.abc import Iterable
from typing import Any

from redis.asyncio.connection import AbstractConnection


class ReportsResets(AbstractConnection):
    """A mixin for connection classes."""

    async def can_read(self) -> bool:
        """Whether the connection cannot be used as it is; its pool asks that, and then connects again."""
        writer: Any = self._writer
        # redis-py looks for the end of the stream. A reset stream has none: it has an exception, and its transport is closed.
        return (writer is not None and writer.is_closing()) or await super().can_read()

    async def _send_packed_command(self, command: Iterable[bytes]) -> None:
        writer: Any = self._writer
        try:
            writer.writelines(command)
        except RuntimeError as error:
            # uvloop closes the transport of a reset connection at once and refuses writes with this; redis-py passes it on.
            raise ConnectionResetError(str(error)) from error
        await writer.drain()


def reporting_resets(connection_class: type[AbstractConnection]) -> type[AbstractConnection]:
    return type(connection_class.__name__, (ReportsResets, connection_class), {})
