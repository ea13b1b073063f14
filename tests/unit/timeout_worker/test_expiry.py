"""Expiring orders in Redis: what shares a round trip, what the answers mean, and which sale an error belongs to."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError

from flashsale_core.errors import FlashsaleError, Rejected, Retryable
from flashsale_core.keys import shard_of
from flashsale_core.scripts import pack, read_scripts
from flashsale_redis.cluster import Cluster
from flashsale_timeout_worker.calls import ROUND_TRIP_CALLS_MAX
from flashsale_timeout_worker.expiry import Expired, Expiry, Overdue, is_overdue

SCRIPTS = read_scripts(Path(__file__).parents[3] / "lua")
INVARIANT = ResponseError("INVARIANT total 3 is not available 1 + reserved 1 + sold 0")


class Server:
    """Expires every order a second late. Some sales have an error of their own, and every round trip fails while `away` is set."""

    def __init__(self, errors: Mapping[str, Exception] | None = None) -> None:
        self.errors = errors or {}
        self.rounds: list[list[str]] = []
        """The names of the commands of each round trip."""
        self.known = True
        self.away: Exception | None = None
        self.heads: dict[str, Any] = {}

    def pipeline(self, *, transaction: bool) -> "Pipeline":
        assert not transaction
        return Pipeline(self)

    def answer(self, name: str, *args: Any) -> Any:
        if name == "TIME":
            return (10, 500_000)
        if name == "ZRANGEBYSCORE":
            return self.heads.get(args[0], [])
        if name == "EVALSHA" and not self.known:
            return NoScriptError("No matching script")
        self.known = True
        sale_id, packed = args[-3:-1]
        results = [["expired", 2, 1000] if order_id != "paid" else ["ignored", 0, 0] for order_id in msgspec.msgpack.decode(packed)]
        return self.errors.get(sale_id) or pack([2000, results])


class Pipeline:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._commands: list[tuple[Any, ...]] = []

    async def __aenter__(self) -> "Pipeline":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def time(self) -> None:
        self._commands.append(("TIME",))

    def zrangebyscore(self, key: str, *_: Any, **__: Any) -> None:
        self._commands.append(("ZRANGEBYSCORE", key))

    def execute_command(self, *args: Any) -> None:
        self._commands.append(args)

    async def execute(self, raise_on_error: bool) -> list[Any]:
        assert not raise_on_error
        self._server.rounds.append([str(args[0]) for args in self._commands])
        if self._server.away is not None:
            raise self._server.away
        return [self._server.answer(*args) for args in self._commands]


def expiry(server: Any, timeout_seconds: float = 1) -> Expiry:
    return Expiry(server, SCRIPTS, 16, timeout_seconds, retry_seconds=0.5)


def expired(*order_ids: str) -> list[Expired]:
    return [Expired(order_id, 2, 1000) for order_id in order_ids]


async def test_sales_of_a_batch_share_a_round_trip() -> None:
    server = Server()
    outcomes = await expiry(server).expire({"shoe": ["o1", "paid"], "hat": ["o2"]}, "queue")
    assert {sale_id: (outcome.expired, outcome.fault) for sale_id, outcome in outcomes.items()} == {
        "shoe": (expired("o1"), None),
        "hat": (expired("o2"), None),
    }
    assert server.rounds == [["EVALSHA", "EVALSHA"]]


async def test_server_without_the_script_receives_it_once() -> None:
    server = Server()
    server.known = False
    outcomes = await expiry(server).expire({"shoe": ["o1"], "hat": ["o2"]}, "queue")
    assert [outcome.expired for outcome in outcomes.values()] == [expired("o1"), expired("o2")]
    assert server.rounds == [["EVALSHA", "EVALSHA"], ["EVAL", "EVALSHA"]]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (INVARIANT, Rejected),
        (ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value script: f00"), Rejected),
        (ResponseError("user_script:12: attempt to index a nil value script: f00"), Rejected),
        (ResponseError("MISCONF Redis is configured to save RDB snapshots script: f00, on @user_script:9."), Retryable),
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'. script: f00, on @user_script:9."), Retryable),
    ],
)
async def test_error_belongs_to_its_sale_and_its_kind_says_if_a_retry_helps(error: Exception, expected: type[FlashsaleError]) -> None:
    outcomes = await expiry(Server({"shoe": error})).expire({"shoe": ["o1"], "hat": ["o2"]}, "queue")
    assert (type(outcomes["shoe"].fault), outcomes["shoe"].expired) == (expected, [])
    assert (outcomes["hat"].fault, outcomes["hat"].expired) == (None, expired("o2"))


@pytest.mark.parametrize("error", [RedisConnectionError("gone"), ConnectionResetError("gone"), TimeoutError()])
async def test_server_that_does_not_answer_gets_no_further_round_trips(error: Exception) -> None:
    server = Server()
    server.away = error
    orders = {f"s{number}": ["o1"] for number in range(3 * ROUND_TRIP_CALLS_MAX)}
    outcomes = await expiry(server).expire(orders, "queue")
    assert {type(outcome.fault) for outcome in outcomes.values()} == {Retryable}
    assert (len(outcomes), len(server.rounds)) == (len(orders), 1)


async def test_shards_with_overdue_orders_are_found_in_one_round_trip() -> None:
    server = Server()
    server.heads = {"fs:{3}:deadlines": [(b"shoe|o1", 10_250.0)], "fs:{4}:deadlines": [(b"hat|o1", 10_251.0)]}
    assert await expiry(server).overdue(range(16), 250) == Overdue([3], 10_250)
    assert [len(commands) for commands in server.rounds] == [17]


def test_shard_whose_lowest_deadline_cannot_be_read_counts_as_overdue() -> None:
    heads: Sequence[Any] = ([], [(b"m", 5.0)], [(b"m", 6.0)], ResponseError("WRONGTYPE"))
    assert [is_overdue(head, 5) for head in heads] == [False, True, False, True]


async def test_pages_share_a_round_trip_and_only_an_unreadable_shard_fails() -> None:
    server = Server()
    server.heads = {"fs:{3}:deadlines": [b"shoe|o1", b"hat|o2", b"shoe|o3"], "fs:{4}:deadlines": ResponseError("WRONGTYPE no set")}
    pages = await expiry(server).pages({3: 0, 4: 0}, 10_250, 512)
    assert pages[3] == {"shoe": ["o1", "o3"], "hat": ["o2"]}
    assert (type(pages[4]), len(server.rounds)) == (Rejected, 1)


async def test_reading_overdue_shards_of_an_absent_server_is_retryable() -> None:
    server = Server()
    server.away = RedisConnectionError("gone")
    with pytest.raises(Retryable, match="Redis: ConnectionError: gone"):
        await expiry(server).overdue(range(16), 0)


class Masters(Cluster):
    """A cluster in which the master of some slots hangs: it accepts a pipeline and never answers."""

    def __init__(self, server: Server, hanging: Callable[[tuple[Any, ...]], bool]) -> None:
        super().__init__([("a", 1)], lambda _: Redis())
        self._server, self._hanging = server, hanging

    async def pipelined(self, commands: Sequence[tuple[Sequence[Any], Mapping[str, Any]]]) -> list[Any]:
        if any(self._hanging(tuple(args)) for args, _ in commands):
            await asyncio.Event().wait()
        self._server.rounds.append([str(args[0]) for args, _ in commands])
        return [self._server.answer(*args) for args, _ in commands]


async def on_a_cluster(server: Server, hanging_shard: int, scene: Callable[[Expiry], Awaitable[Any]]) -> Any:
    """Run `scene` on a cluster in which the master of `hanging_shard` hangs."""

    async def run() -> Any:
        cluster = Masters(server, lambda args: any(f"fs:{{{hanging_shard}}}" in str(argument) for argument in args))
        try:
            return await scene(expiry(cluster, timeout_seconds=0.05))
        finally:
            await cluster.aclose()

    return await run()


async def test_hanging_master_does_not_affect_the_sales_of_other_masters() -> None:
    shoe, hat = "shoe", next(name for name in ("hat", "coat", "sock") if shard_of(name) != shard_of("shoe"))
    outcomes = await on_a_cluster(Server(), shard_of(shoe), lambda cluster: cluster.expire({shoe: ["o1"], hat: ["o2"]}, "queue"))
    assert (type(outcomes[shoe].fault), outcomes[hat].fault, outcomes[hat].expired) == (Retryable, None, expired("o2"))


async def test_each_slot_of_a_cluster_is_a_slot_group() -> None:
    async def scene(cluster: Expiry) -> list[list[int]]:
        return cluster.slot_groups

    assert await on_a_cluster(Server(), 0, scene) == [[shard] for shard in range(16)]
    assert expiry(Server()).slot_groups == [list(range(16))]
