"""Whether Redis is away. A command that took too long is no proof: this process may be busy.

Redis is away only if a PING fails as well, and no other command was answered meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable

from redis.exceptions import AuthenticationError, RedisError, ResponseError

from flashsale_core.errors import Retryable
from flashsale_core.faults import Server, describe_error
from flashsale_operator.patience import patiently

PING_EVERY_SECONDS = 1.0
"""Shortest pause between two PINGs to a server that is away. In between, commands fail at once instead of each waiting for its timeout."""
Ping = Callable[[str], Awaitable[object]]
"""Pings the server of a key."""


class Busy(Retryable):
    """Redis answered a PING but not a command: nothing is known about it, and nothing must be concluded. Try again later."""


class Availability:
    """Whether one server is away. A cluster has an object for each shard."""

    def __init__(self, ping: Ping, near: str, timeout_seconds: float) -> None:
        self._ping = ping
        self._near = near
        self._timeout_seconds = timeout_seconds
        self._pinging: asyncio.Task[bool] | None = None
        self._pinged_at = 0.0
        self._answers_count = 0
        self._away: str | None = None
        """Why it is away, in the words of the first error: a reason that changed with each attempt would be written each time."""

    def note_answer(self) -> None:
        """The server has answered a command."""
        self._answers_count += 1
        self._away = None

    async def refuse_if_away(self) -> None:
        """Raises Retryable while Redis is away."""
        if self._away is None:
            return
        if asyncio.get_running_loop().time() - self._pinged_at > PING_EVERY_SECONDS and self._pinging is None:
            await self._answers()
        if self._away is not None:
            raise Retryable(self._away)

    async def judge(self, error: BaseException) -> Retryable:
        """What a command's timeout or connection error means."""
        reason = describe_error(Server.REDIS, error)
        if await self._answers():
            return Busy(f"{reason}; it answers a PING")
        if self._away is None:
            self._away = reason
        return Retryable(self._away)

    async def _answers(self) -> bool:
        """One PING at a time, whose answer all wait for."""
        if self._pinging is None:
            self._pinging = asyncio.create_task(self._probe())
        return await asyncio.shield(self._pinging)

    async def _probe(self) -> bool:
        before = self._answers_count
        try:
            async with patiently(self._timeout_seconds):
                await self._ping(self._near)
            self.note_answer()
        except ResponseError as error:
            # A refusal is an answer, except one before any command.
            if not isinstance(error, AuthenticationError):
                self.note_answer()
        except (RedisError, OSError, TimeoutError):
            pass
        finally:
            self._pinged_at = asyncio.get_running_loop().time()
            self._pinging = None
        return self._answers_count > before
