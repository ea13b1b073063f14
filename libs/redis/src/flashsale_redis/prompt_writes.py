"""Connections that write a command at once. redis-py writes each one in a task of its own, to limit how long that may take."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from redis.asyncio.connection import AbstractConnection


class WritesPromptly(AbstractConnection):
    """A mixin for connection classes. A command that the socket takes whole needs no time limit, so no task and no turn of the loop."""

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        writer: Any = self._writer
        if isinstance(command, list) and self.is_connected and not self.health_check_interval and not _unwritten(writer):
            # The transport refuses the write if the connection was reset; redis-py's own try then raises what callers expect.
            with suppress(RuntimeError):
                writer.writelines(command)
                if not _unwritten(writer):
                    return
                # What waits for the socket is drained below, within the limit.
                command = []
        await super().send_packed_command(command, check_health)


def _unwritten(writer: Any) -> int:
    """Bytes that wait for the socket."""
    size: int = writer.transport.get_write_buffer_size()
    return size


def writing_promptly(connection_class: type[AbstractConnection]) -> type[AbstractConnection]:
    return type(connection_class.__name__, (WritesPromptly, connection_class), {})
