"""Asks Sentinels which server is the master.

A Sentinel that was cut off or has just started may still name the old master, so a majority is waited for, and the answer of the newest
failover counts. Callers that ask at the same time share the question.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from flashsale_core.tasks import cancel_and_wait
from flashsale_redis.urls import Address

ANSWER_SECONDS = 1.0
"""How long the Sentinels have to answer; a majority normally needs a millisecond."""
SHARED_SECONDS = 0.05
"""An answer is shared for this long: while no master can be reached, each command opens a connection and asks."""


class Answer(NamedTuple):
    """What a Sentinel replied. The higher epoch is the newer failover."""

    epoch: int
    master: Address


class Sentinels:
    def __init__(self, service: str, addresses: Sequence[Address], connect: Callable[[Address], Redis]) -> None:
        self._service = service
        self._clients: dict[Address, Any] = {address: connect(address) for address in addresses}
        self._asking: asyncio.Task[Address | RedisConnectionError] | None = None
        self._answered_at = 0.0
        self._late: list[asyncio.Task[Answer]] = []

    async def master(self) -> Address:
        """The address of the master. Raises redis-py's ConnectionError if no Sentinel names one."""
        loop = asyncio.get_running_loop()
        if self._asking is None or (self._asking.done() and loop.time() - self._answered_at > SHARED_SECONDS):
            self._asking = asyncio.create_task(self._ask())
        # A caller that is cancelled must not cancel what others wait for.
        answer = await asyncio.shield(self._asking)
        if isinstance(answer, RedisConnectionError):
            raise RedisConnectionError(*answer.args)
        return answer

    async def aclose(self) -> None:
        if self._asking is not None:
            await cancel_and_wait(self._asking)
        await cancel_and_wait(*self._late)
        await asyncio.gather(*[client.aclose() for client in self._clients.values()], return_exceptions=True)

    async def _ask(self) -> Address | RedisConnectionError:
        await cancel_and_wait(*self._late)
        asked = {asyncio.create_task(self._ask_one(client)): address for address, client in self._clients.items()}
        try:
            answers = await _majority(list(asked))
        finally:
            # A late one may be opening its connection. Ended now, it would begin again at each question, with TLS for ever.
            self._late = [task for task in asked if not task.done()]
            self._answered_at = asyncio.get_running_loop().time()
        if answers:
            return max(answers).master
        reasons = [f"{host}:{port}: {_reason(task)}" for task, (host, port) in asked.items()]
        return RedisConnectionError(f"no Sentinel names the master {self._service!r} ({'; '.join(reasons)})")

    async def _ask_one(self, client: Any) -> Answer:
        """During a failover the first command already gives the promoted server, and the second its epoch."""
        async with client.pipeline(transaction=False) as pipe:
            pipe.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", self._service)
            pipe.execute_command("SENTINEL MASTER", self._service)
            address, state = await pipe.execute(raise_on_error=False)
        for reply in (address, state):
            if isinstance(reply, Exception):
                raise reply
        host, port = address
        return Answer(int(state["config-epoch"]), (host.decode() if isinstance(host, bytes) else host, int(port)))


async def _majority(asked: Sequence["asyncio.Task[Answer]"]) -> list[Answer]:
    """The answers of the first majority that answers, or of all that answer in time."""
    loop = asyncio.get_running_loop()
    deadline, answers, pending = loop.time() + ANSWER_SECONDS, list[Answer](), set(asked)
    while pending and len(answers) <= len(asked) // 2:
        done, pending = await asyncio.wait(pending, timeout=max(0.0, deadline - loop.time()), return_when=asyncio.FIRST_COMPLETED)
        if not done:
            break
        answers += [task.result() for task in done if task.exception() is None]
    return answers


def _reason(task: "asyncio.Task[Answer]") -> str:
    error = None if task.cancelled() or not task.done() else task.exception()
    if error is None:
        return f"no answer in {ANSWER_SECONDS:g} s"
    if not isinstance(error, RedisError | OSError | TimeoutError):
        raise error
    return f"{type(error).__name__}: {error}"
