"""What a missing answer of Redis means: only a failed PING makes it away."""

import asyncio

import pytest
from redis.exceptions import AuthenticationError, NoPermissionError

from flashsale_core.errors import Retryable
from flashsale_operator import availability, patience
from flashsale_operator.availability import Availability, Busy
from tests.unit.operator.test_patience import LIMIT_SECONDS, slow_loop, turns


class Server:
    """Answers or refuses PINGs, and counts them."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.pings = 0

    async def ping(self, _: str) -> None:
        self.pings += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error


def of(server: Server) -> Availability:
    return Availability(server.ping, "key", 1.0)


async def refusal(available: Availability) -> str | None:
    try:
        await available.refuse_if_away()
    except Retryable as error:
        return str(error)
    return None


async def test_timeout_of_a_redis_that_answers_a_ping_is_busy() -> None:
    server = Server()
    available = of(server)
    assert isinstance(await available.judge(TimeoutError()), Busy)
    assert await refusal(available) is None


async def test_timeouts_at_the_same_time_share_one_ping() -> None:
    server = Server(ConnectionRefusedError())
    available = of(server)
    verdicts = await asyncio.gather(*[available.judge(TimeoutError()) for _ in range(50)])
    assert (server.pings, {type(verdict) for verdict in verdicts}) == (1, {Retryable})


async def test_redis_that_is_away_is_pinged_once_in_a_while_and_keeps_its_reason() -> None:
    server = Server(ConnectionRefusedError())
    available = of(server)
    first = await available.judge(TimeoutError("slow"))
    reasons = {str(await available.judge(OSError("another error"))), await refusal(available), await refusal(available)}
    assert (reasons, server.pings) == ({str(first)}, 2)


async def test_redis_that_is_back_is_noticed_by_the_next_ping() -> None:
    server = Server(ConnectionRefusedError())
    available = of(server)
    await available.judge(TimeoutError())
    server.error = None
    assert await refusal(available) is not None
    available._pinged_at -= availability.PING_EVERY_SECONDS + 1
    assert await refusal(available) is None


async def test_refused_ping_is_an_answer_unless_the_login_failed() -> None:
    assert isinstance(await of(Server(NoPermissionError("NOPERM"))).judge(TimeoutError()), Busy)
    assert not isinstance(await of(Server(AuthenticationError("WRONGPASS"))).judge(TimeoutError()), Busy)


async def test_ping_that_is_not_answered_means_away() -> None:
    class Silent(Server):
        async def ping(self, _: str) -> None:
            await asyncio.Event().wait()

    available = Availability(Silent().ping, "key", 0.01)
    assert not isinstance(await available.judge(TimeoutError()), Busy)


async def test_ping_that_a_slow_loop_reads_late_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(Server):
        async def ping(self, _: str) -> None:
            await turns(8)

    monkeypatch.setattr(patience, "TICK_SECONDS", 0.01)
    available = Availability(Late().ping, "key", LIMIT_SECONDS)
    async with slow_loop():
        assert isinstance(await available.judge(TimeoutError()), Busy)


async def test_answer_to_another_command_counts_as_one_to_the_ping() -> None:
    class Answering(Server):
        async def ping(self, _: str) -> None:
            available.note_answer()
            raise TimeoutError

    available = Availability(Answering().ping, "key", 1.0)
    assert isinstance(await available.judge(TimeoutError()), Busy)
    assert await refusal(available) is None
