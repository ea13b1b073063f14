"""A gateway's consumer of the shared outbox: what it asks of Redis, and what it makes of the replies."""

from collections.abc import Mapping
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from flashsale_core.records import Entry
from flashsale_core.scripts import Scripts
from flashsale_gateway.outbox.group_consumer import CREATE_GROUP, GROUP, HELD, NEW, READ_COUNT, GroupConsumer

FIRST, SECOND = "fs:{0}:outbox", "fs:{1}:outbox"
FIELDS = {b"k": b"order.reserved.60", b"b": b"{}", b"t": b"1"}


class ScriptedRedis:
    """Answers each command with the reply that the test has set, by command and stream, and records the calls."""

    def __init__(self) -> None:
        self.replies: dict[tuple[str, str], Any] = {}
        self.calls: list[tuple[str, str]] = []
        self.blocks: list[int | None] = []

    def _reply(self, command: str, stream: str) -> Any:
        self.calls.append((command, stream))
        reply = self.replies.get((command, stream), [])
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def eval(self, script: str, keys: int, stream: str, group: str, *_: str) -> Any:
        assert (keys, group) == (1, GROUP)
        return self._reply("create" if script is CREATE_GROUP else "leave", stream)

    async def xreadgroup(self, group: str, consumer: str, streams: Mapping[str, str], count: int, block: int | None) -> Any:
        assert (group, consumer, count) == (GROUP, "me", READ_COUNT)
        self.blocks.append(block)
        return [[stream.encode(), self._reply("read", stream)] for stream in streams]

    def pipeline(self, *, transaction: bool) -> "ScriptedPipeline":
        assert not transaction
        return ScriptedPipeline(self)


class ScriptedPipeline:
    def __init__(self, redis: ScriptedRedis) -> None:
        self._redis = redis
        self._commands: list[tuple[str, str]] = []

    async def __aenter__(self) -> "ScriptedPipeline":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def xautoclaim(self, stream: str, *_: Any, **__: Any) -> None:
        self._commands.append(("claim", stream))

    def xpending_range(self, stream: str, *_: Any) -> None:
        self._commands.append(("pending", stream))

    async def execute(self) -> list[Any]:
        return [self._redis._reply(*command) for command in self._commands]


def consumer_of(redis: ScriptedRedis) -> GroupConsumer:
    return GroupConsumer(cast("Redis", redis), cast("Scripts", None), "me", block_ms=1000, claim_idle_ms=100)


def entry(stream: str, entry_id: str) -> Entry:
    return Entry(stream, entry_id, "order.reserved.60", b"{}")


async def test_group_that_exists_is_no_error_and_any_other_refusal_is() -> None:
    redis = ScriptedRedis()
    redis.replies["create", FIRST] = ResponseError("BUSYGROUP Consumer Group name already exists")
    await consumer_of(redis).create_groups([FIRST, SECOND])
    assert redis.calls == [("create", FIRST), ("create", SECOND)]
    redis.replies["create", SECOND] = ResponseError("NOPERM no permission")
    with pytest.raises(ResponseError, match="NOPERM"):
        await consumer_of(redis).create_groups([FIRST, SECOND])


@pytest.mark.parametrize(("after", "block_ms"), [({FIRST: NEW, SECOND: NEW}, 1000), ({FIRST: HELD, SECOND: "5-0"}, None)])
async def test_only_a_read_of_new_entries_blocks(after: Mapping[str, str], block_ms: int | None) -> None:
    redis = ScriptedRedis()
    redis.replies["read", SECOND] = [(b"7-0", FIELDS), (b"8-0", None)]
    assert await consumer_of(redis).read(after) == [entry(SECOND, "7-0")]
    assert redis.blocks == [block_ms]


async def test_claimed_entries_of_all_streams_are_returned_without_deleted_ones() -> None:
    redis = ScriptedRedis()
    redis.replies["claim", FIRST] = [b"0-0", [(b"1-0", FIELDS), (b"2-0", None)], []]
    redis.replies["claim", SECOND] = [b"0-0", [(b"3-0", FIELDS)], [b"9-0"]]
    assert await consumer_of(redis).claim([FIRST, SECOND]) == [entry(FIRST, "1-0"), entry(SECOND, "3-0")]


async def test_leaving_goes_on_when_one_master_is_away() -> None:
    redis = ScriptedRedis()
    redis.replies["leave", FIRST] = RedisConnectionError("away")
    await consumer_of(redis).leave([FIRST, SECOND])
    assert redis.calls == [("leave", FIRST), ("leave", SECOND)]
