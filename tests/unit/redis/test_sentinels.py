"""Which master is taken from the replies of several Sentinels. The Sentinels are in memory."""

import asyncio
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from flashsale_redis import sentinels
from flashsale_redis.sentinels import Sentinels
from flashsale_redis.urls import Address

OLD, NEW = ("old", 6379), ("new", 6379)
HUNG = None
Replies = list[Any] | None
"""The replies to both commands, or HUNG."""


class SentinelInMemory:
    def __init__(self, replies: Replies) -> None:
        self.replies = replies
        self.asked = 0
        self.answered = 0
        self.hung = asyncio.Event()

    def pipeline(self, *, transaction: bool) -> "SentinelInMemory":
        assert not transaction
        return self

    async def __aenter__(self) -> "SentinelInMemory":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def execute_command(self, *_: Any) -> None:
        pass

    async def execute(self, raise_on_error: bool) -> list[Any]:
        assert not raise_on_error
        self.asked += 1
        await asyncio.sleep(0)
        if self.replies is HUNG:
            await self.hung.wait()
            self.answered += 1
        if isinstance(self.replies, list) and isinstance(self.replies[0], RedisConnectionError):
            raise self.replies[0]
        return cast("list[Any]", self.replies)

    async def aclose(self) -> None:
        pass


def says(master: Address, epoch: int) -> Replies:
    return [master, {"config-epoch": epoch}]


AWAY: Replies = [RedisConnectionError("refused")]
UNKNOWN: Replies = [None, ResponseError("No such master with that name")]


def asking(*replies: Replies) -> tuple[Sentinels, list[SentinelInMemory]]:
    nodes = [SentinelInMemory(each) for each in replies]
    addresses = [(f"s{number}", 26379) for number in range(len(nodes))]
    return Sentinels("sales", addresses, lambda address: cast("Redis", nodes[addresses.index(address)])), nodes


@pytest.mark.parametrize(
    "replies",
    [
        [says(NEW, 1), says(NEW, 1), says(NEW, 1)],
        [says(OLD, 3), says(NEW, 4), HUNG],
        [says(NEW, 4), AWAY, says(OLD, 3)],
        [AWAY, HUNG, says(NEW, 1)],
        [UNKNOWN, says(NEW, 1), AWAY],
    ],
)
async def test_newest_failover_counts_among_those_that_answer(replies: list[Replies], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentinels, "ANSWER_SECONDS", 0.2)
    asked, _ = asking(*replies)
    assert await asked.master() == NEW
    await asked.aclose()


async def test_a_majority_that_answers_is_not_held_up_by_the_rest() -> None:
    asked, _ = asking(HUNG, says(NEW, 1), says(NEW, 1))
    async with asyncio.timeout(sentinels.ANSWER_SECONDS / 2):
        assert await asked.master() == NEW
    await asked.aclose()


async def test_late_sentinel_finishes_before_the_next_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentinels, "SHARED_SECONDS", 0.0)
    asked, (late, *_) = asking(HUNG, says(NEW, 1), says(NEW, 1))
    assert await asked.master() == NEW
    late.hung.set()
    await asyncio.sleep(0.001)
    assert (late.asked, late.answered) == (1, 1)
    late.hung.clear()
    for number in (2, 3):
        assert await asked.master() == NEW
        assert (late.asked, late.answered) == (number, 1)
        await asyncio.sleep(0.001)
    await asked.aclose()
    late.hung.set()
    await asyncio.sleep(0.001)
    assert late.answered == 1


async def test_error_names_each_sentinel_and_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentinels, "ANSWER_SECONDS", 0.1)
    asked, _ = asking(AWAY, UNKNOWN, HUNG)
    for _ in range(2):
        with pytest.raises(RedisConnectionError) as raised:
            await asked.master()
    text = str(raised.value)
    assert "no Sentinel names the master 'sales'" in text
    for reason in ("s0:26379: ConnectionError: refused", "s1:26379: ResponseError: No such master", "s2:26379: no answer in 0.1 s"):
        assert reason in text
    await asked.aclose()


async def test_callers_at_the_same_time_share_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentinels, "SHARED_SECONDS", 0.0)
    asked, (node,) = asking(says(NEW, 1))
    cancelled = asyncio.create_task(asked.master())
    waiting = [asyncio.create_task(asked.master()) for _ in range(5)]
    await asyncio.sleep(0)
    cancelled.cancel()
    assert await asyncio.gather(*waiting) == [NEW] * 5
    assert node.asked == 1
    node.replies = says(OLD, 2)
    await asyncio.sleep(0.001)
    assert (await asked.master(), node.asked) == (OLD, 2)
    await asked.aclose()
