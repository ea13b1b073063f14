"""The client of a cluster, over nodes in memory: where it sends, which redirections it follows, and what a missing master costs."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import AskError, ClusterDownError, MovedError, ResponseError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError

from flashsale_redis import infos, now_ms
from flashsale_redis.cluster import Cluster
from flashsale_redis.slots import SLOTS, slot_of
from flashsale_redis.urls import Address
from tests.waiting import until

A, B, C = ("a", 1), ("b", 2), ("c", 3)
LOW, HIGH = "b", "a"
"""Keys of the lower and of the upper half of the slots."""


class Nodes:
    """Nodes that record what they receive, and answer their own name or what a test has set."""

    def __init__(self) -> None:
        self.sent: list[tuple[Address, tuple[Any, ...]]] = []
        self.away: set[Address] = set()
        self.say: dict[tuple[Address, str], list[Any]] = {}
        self.halves: tuple[Address, Address] = (A, B)
        self.reports: dict[Address, tuple[Address, Address]] = {}
        """What single nodes report instead of `halves`."""
        self.closed: list[Address] = []
        self.reported = 0
        """How often a node has reported the masters."""

    def connect(self, address: Address) -> Redis:
        return cast("Redis", Node(self, address))

    def answer(self, address: Address, args: tuple[Any, ...]) -> Any:
        if address in self.away:
            raise RedisConnectionError("refused")
        if args[0] == "CLUSTER SLOTS":
            (low, low_port), (high, high_port) = self.reports.get(address, self.halves)
            half = SLOTS // 2
            self.reported += 1
            return [[0, half - 1, [low.encode(), low_port, b"id"]], [half, SLOTS - 1, [high.encode(), high_port, b"id"]]]
        self.sent.append((address, args))
        answers = self.say.get((address, args[0]))
        answer = answers.pop(0) if answers else address[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Node:
    def __init__(self, nodes: Nodes, address: Address) -> None:
        self._nodes, self._address = nodes, address
        self.connection_pool = Redis(host=address[0]).connection_pool

    async def execute_command(self, *args: Any, **_: Any) -> Any:
        await asyncio.sleep(0)
        return self._nodes.answer(self._address, args)

    def pipeline(self, *, transaction: bool) -> "PipelineInMemory":
        assert not transaction
        return PipelineInMemory(self._nodes, self._address)

    async def aclose(self) -> None:
        self._nodes.closed.append(self._address)


class PipelineInMemory:
    def __init__(self, nodes: Nodes, address: Address) -> None:
        self._nodes, self._address = nodes, address
        self._commands: list[tuple[Any, ...]] = []

    async def __aenter__(self) -> "PipelineInMemory":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def execute_command(self, *args: Any, **_: Any) -> None:
        self._commands.append(args)

    async def execute(self, raise_on_error: bool) -> list[Any]:
        assert not raise_on_error
        answers = []
        for args in self._commands:
            try:
                answers.append(self._nodes.answer(self._address, args))
            except ResponseError as error:
                answers.append(error)
        return answers


async def play(nodes: Nodes, scene: Callable[[Cluster], Awaitable[Any]], seeds: Sequence[Address] = (A, B)) -> Any:
    async def run() -> Any:
        cluster = Cluster(seeds, nodes.connect)
        try:
            return await scene(cluster)
        finally:
            await cluster.aclose()

    return await run()


@pytest.fixture(autouse=True)
def frequent_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flashsale_redis.cluster.LEARN_EVERY_SECONDS", 0.01)


async def next_report(nodes: Nodes) -> None:
    before = nodes.reported
    await until(lambda: nodes.reported > before)


def moved(key: str, to: Address) -> MovedError:
    return MovedError(f"{slot_of(key)} {to[0]}:{to[1]}")


def test_keys_of_these_tests_are_in_both_halves() -> None:
    assert slot_of(LOW) < SLOTS // 2 <= slot_of(HIGH)


async def test_command_goes_to_the_master_of_its_key() -> None:
    async def scene(cluster: Cluster) -> list[Any]:
        return [await cluster.get(LOW), await cluster.execute_command("EVALSHA", "sha", 1, HIGH)]

    assert await play(Nodes(), scene) == ["a", "b"]


async def test_redirection_is_followed_and_remembered() -> None:
    nodes = Nodes()
    nodes.say[A, "GET"] = [moved(LOW, C)]
    nodes.away = {B}

    async def scene(cluster: Cluster) -> list[Any]:
        return [await cluster.get(LOW), await cluster.get(LOW)]

    assert await play(nodes, scene, [A]) == ["c", "c"]
    assert [address for address, _ in nodes.sent] == [A, C, C]


async def test_key_in_migration_is_read_at_its_target_this_once() -> None:
    nodes = Nodes()
    nodes.say[A, "GET"] = [TryAgainError("try"), AskError(f"{slot_of(LOW)} c:3")]

    async def scene(cluster: Cluster) -> list[Any]:
        return [await cluster.get(LOW), await cluster.get(LOW)]

    assert await play(nodes, scene) == ["c", "a"]
    assert nodes.sent == [(A, ("GET", LOW)), (A, ("GET", LOW)), (C, ("ASKING",)), (C, ("GET", LOW)), (A, ("GET", LOW))]


async def test_command_with_a_lost_answer_is_not_repeated() -> None:
    nodes = Nodes()
    nodes.say[A, "APPEND"] = [RedisConnectionError("gone")]

    async def scene(cluster: Cluster) -> None:
        with pytest.raises(RedisConnectionError):
            await cluster.append(LOW, "x")

    await play(nodes, scene)
    assert nodes.sent == [(A, ("APPEND", LOW, "x"))]


async def test_endless_redirections_are_an_error_reply() -> None:
    nodes = Nodes()
    nodes.say[A, "GET"] = [moved(LOW, B) for _ in range(99)]
    nodes.say[B, "GET"] = [moved(LOW, A) for _ in range(99)]

    async def scene(cluster: Cluster) -> None:
        with pytest.raises(ClusterDownError):
            await cluster.get(LOW)

    await play(nodes, scene)


async def test_failover_is_noticed_without_a_redirection() -> None:
    nodes = Nodes()

    async def scene(cluster: Cluster) -> list[Any]:
        first = await cluster.get(LOW)
        nodes.away, nodes.halves = {A}, (C, B)
        with pytest.raises(RedisConnectionError):
            await cluster.get(LOW)
        await next_report(nodes)
        return [first, await cluster.get(LOW), await cluster.get(HIGH)]

    assert await play(nodes, scene) == ["a", "c", "b"]


async def test_other_masters_are_served_while_one_is_away() -> None:
    nodes = Nodes()
    nodes.away = {A}

    async def scene(cluster: Cluster) -> Any:
        with pytest.raises(RedisConnectionError):
            await cluster.get(LOW)
        return await cluster.get(HIGH)

    assert await play(nodes, scene) == "b"


async def test_error_without_any_node_is_one_of_redis() -> None:
    nodes = Nodes()
    nodes.away = {A, B}

    async def scene(cluster: Cluster) -> None:
        for _ in range(2):
            with pytest.raises(RedisConnectionError):
                await cluster.get(LOW)

    await play(nodes, scene)


async def test_pipeline_over_masters_answers_in_order() -> None:
    nodes = Nodes()
    nodes.say[B, "HGETALL"] = [moved(HIGH, C), moved(HIGH, C)]

    async def scene(cluster: Cluster) -> list[Any]:
        async with cluster.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.get(LOW)
            pipe.execute_command("HGETALL", HIGH)
            pipe.get(LOW)
            return list(await pipe.execute())

    assert await play(nodes, scene) == ["a", "a", "c", "a"]


async def test_missing_master_fails_only_its_commands_of_a_pipeline() -> None:
    nodes = Nodes()
    nodes.away = {A}

    async def scene(cluster: Cluster) -> list[Any]:
        async with cluster.pipeline(transaction=False) as pipe:
            pipe.get(LOW)
            pipe.get(HIGH)
            answers = list(await pipe.execute(raise_on_error=False))
            pipe.get(LOW)
            with pytest.raises(RedisConnectionError):
                await pipe.execute()
            return answers

    lost, answered = await play(nodes, scene)
    assert (type(lost), answered) == (RedisConnectionError, "b")


async def test_transaction_over_masters_is_refused() -> None:
    async def scene(cluster: Cluster) -> None:
        with pytest.raises(ValueError, match="transaction"):
            cluster.pipeline()

    await play(Nodes(), scene)


async def test_scripts_are_loaded_into_every_reachable_master() -> None:
    nodes = Nodes()
    nodes.say = {(A, "SCRIPT EXISTS"): [[True, True]], (B, "SCRIPT EXISTS"): [[True, False]]}

    async def scene(cluster: Cluster) -> Any:
        known = await cluster.execute_command("SCRIPT EXISTS", "one", "two")
        nodes.away = {A}
        return known, await cluster.execute_command("SCRIPT LOAD", "return 1")

    assert await play(nodes, scene) == ([True, False], "b")


async def test_every_reachable_master_reports_itself_and_its_clock() -> None:
    nodes = Nodes()
    nodes.say = {(A, "INFO"): [{"aof_enabled": 1}], (B, "INFO"): [{"aof_enabled": 0}, {"aof_enabled": 0}], (B, "TIME"): [(5, 6000)]}

    async def scene(cluster: Cluster) -> tuple[Mapping[str, Any], int, Mapping[str, Any]]:
        everybody, clock = await infos(cluster), await now_ms(cluster, HIGH)
        nodes.away = {A}
        return everybody, clock, await infos(cluster)

    assert await play(nodes, scene) == ({"a:1": {"aof_enabled": 1}, "b:2": {"aof_enabled": 0}}, 5006, {"b:2": {"aof_enabled": 0}})


async def test_refusal_of_one_master_is_raised() -> None:
    nodes = Nodes()
    nodes.say[A, "INFO"] = [ResponseError("NOPERM")]

    async def scene(cluster: Cluster) -> None:
        with pytest.raises(ResponseError, match="NOPERM"):
            await infos(cluster)

    await play(nodes, scene)


async def test_every_client_is_closed_at_the_end() -> None:
    nodes = Nodes()

    async def scene(cluster: Cluster) -> None:
        nodes.halves = (A, C)
        await cluster.get(HIGH)

    await play(nodes, scene)
    assert sorted(nodes.closed) == [A, B, C]


@pytest.mark.parametrize(
    "refusal", ["NOREPLICAS Not enough good replicas to write.", "UNBLOCKED instance state changed (master -> replica?)"]
)
@pytest.mark.parametrize("pipelined", [False, True])
async def test_master_that_refuses_to_serve_is_asked_last_for_the_masters(refusal: str, pipelined: bool) -> None:
    nodes = Nodes()
    nodes.say[A, "SET"] = [ResponseError(refusal)]

    async def write(cluster: Cluster) -> Any:
        if not pipelined:
            return await cluster.set(LOW, "x")
        async with cluster.pipeline(transaction=False) as pipe:
            pipe.set(LOW, "x")
            return (await pipe.execute())[0]

    async def scene(cluster: Cluster) -> Any:
        await cluster.get(LOW)
        # The old master is cut off: it still reports itself, and the other node reports its successor.
        nodes.reports[A], nodes.halves = nodes.halves, (C, B)
        with pytest.raises(ResponseError):
            await write(cluster)
        await next_report(nodes)
        return await write(cluster)

    for _ in range(5):
        assert await play(nodes, scene) == "c"
        nodes.halves, nodes.say[A, "SET"] = (A, B), [ResponseError(refusal)]
        nodes.reports.clear()
