"""redis-py's client over the masters of a Redis Cluster. To its caller it is a single Redis, as long as each command keeps to one slot.

Not redis-py's own cluster client: see docs/decisions/0012. Each master has a client and a pool of its own, as a single server would,
so one that is down or slow does not affect the others. Any node can report which master serves which slot. After the first report this is
refreshed in the background, so a command to a working master never waits for another one.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from flashsale_core.tasks import cancel_and_wait
from flashsale_redis.errors import is_wrong_server
from flashsale_redis.slots import SLOTS, Masters, masters_of, slot_of, slot_of_command
from flashsale_redis.urls import Address

REDIRECTS_MAX = 16
TRY_AGAIN_SECONDS = 0.05
LEARN_EVERY_SECONDS = 0.25
LEARN_TIMEOUT_SECONDS = 1.0
# After these errors another node may be the master. A caller's timeout, which cancels the command, is such a sign as well.
_DOUBTFUL = (RedisConnectionError, RedisTimeoutError, ClusterDownError, OSError, asyncio.CancelledError)
Connect = Callable[[Address], Redis]
Command = tuple[Sequence[Any], Mapping[str, Any]]


class Cluster(Redis):
    def __init__(self, seeds: Sequence[Address], connect: Connect) -> None:
        self._seeds = tuple(seeds)
        self._connect = connect
        self._clients: dict[Address, Any] = {seed: connect(seed) for seed in seeds}
        self._masters: Masters = [None] * SLOTS
        self._known = False
        self._fault: Exception | None = None
        self._learning: asyncio.Task[None] | None = None
        self._learnt_at = 0.0
        self._doubted: set[Address] = set()
        """Masters that did not answer, or refused to serve, since the last report: they are asked last which the masters are."""
        self._closed = False
        # The inherited encoding and parsing need a pool. This client sends nothing through it; only the first seed's client does.
        super().__init__(connection_pool=self._clients[seeds[0]].connection_pool)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Commands without a key go to any master; SCRIPT, CONFIG and FLUSH go to every master."""
        slot = slot_of_command(args)
        if slot is not None:
            return await self._on_slot(slot, args, options)
        if args[0].startswith(("SCRIPT", "CONFIG", "FLUSH")):
            return _together(args, (await self.everywhere(*args, **options)).values())
        return await self._anywhere(args, options)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> "ClusterPipeline":
        if transaction:
            raise ValueError("commands to several masters cannot be a transaction; use pipeline(transaction=False)")
        return ClusterPipeline(self)

    async def at(self, key: str, *args: Any) -> Any:
        """Run a command without a key at the master of `key`."""
        return await self._on_slot(slot_of(key), args, {})

    async def everywhere(self, *args: Any, **options: Any) -> dict[Address, Any]:
        """The answers, by master, of those that answer. Raises the first error if no master answers or if one refuses."""
        addresses = await self._addresses()
        answers = await asyncio.gather(*[self._send(address, args, options) for address in addresses], return_exceptions=True)
        by_master = dict(zip(addresses, answers, strict=True))
        sound = {address: answer for address, answer in by_master.items() if not isinstance(answer, BaseException)}
        for answer in answers:
            if isinstance(answer, BaseException) and not (sound and isinstance(answer, _DOUBTFUL)):
                raise answer
        return sound

    async def pipelined(self, commands: Sequence[Command]) -> list[Any]:
        """An answer or an error for each command, from all masters at once. A command without a key goes to the master of the first key."""
        slots = [slot_of_command(args) for args, _ in commands]
        near = next((slot for slot in slots if slot is not None), 0)
        places: dict[Address, list[int]] = {}
        for place, slot in enumerate(slots):
            places.setdefault(await self._owner(near if slot is None else slot), []).append(place)
        parts = await asyncio.gather(*[self._send_many(master, [commands[place] for place in at]) for master, at in places.items()])
        answers = {place: answer for at, part in zip(places.values(), parts, strict=True) for place, answer in zip(at, part, strict=True)}
        for place, answer in answers.items():
            if isinstance(answer, AskError | TryAgainError):
                args, options = commands[place]
                slot = slots[place]
                answers[place] = await _or_error(self._on_slot(near if slot is None else slot, args, options))
        return [answers[place] for place in range(len(commands))]

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        self._closed = True
        if self._learning is not None:
            await cancel_and_wait(self._learning)
        await asyncio.gather(*[client.aclose() for client in self._clients.values()], return_exceptions=True)

    async def _on_slot(self, slot: int, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
        """Follow redirections: a node that redirects a command has not executed it."""
        address, asking = await self._owner(slot), False
        for _ in range(REDIRECTS_MAX):
            try:
                return await (self._ask if asking else self._send)(address, args, options)
            except MovedError as moved:
                address, asking = (moved.host or address[0], moved.port), False
                self._masters[slot] = address
                self._learn_soon()
            except AskError as asked:
                address, asking = (asked.host or address[0], asked.port), True
            except TryAgainError:
                await asyncio.sleep(TRY_AGAIN_SECONDS)
        raise ClusterDownError(f"CLUSTERDOWN redirected {REDIRECTS_MAX} times")

    async def _anywhere(self, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
        *others, last = await self._addresses()
        for address in others:
            try:
                return await self._send(address, args, options)
            except (RedisConnectionError, RedisTimeoutError, OSError):
                continue
        return await self._send(last, args, options)

    async def _send(self, address: Address, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
        try:
            return await self._client(address).execute_command(*args, **options)
        except _DOUBTFUL:
            self._doubt(address)
            raise
        except RedisError as error:
            if is_wrong_server(error):
                self._doubt(address)
            raise

    async def _ask(self, address: Address, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
        _, answer = await self._send_many(address, [(("ASKING",), {}), (args, options)])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _send_many(self, address: Address, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one round trip. If the master does not answer, each command gets that error."""
        try:
            async with self._client(address).pipeline(transaction=False) as pipe:
                for args, options in commands:
                    pipe.execute_command(*args, **options)
                answers: list[Any] = await pipe.execute(raise_on_error=False)
        except _DOUBTFUL as error:
            self._doubt(address)
            if isinstance(error, asyncio.CancelledError):
                raise
            return [error] * len(commands)
        if any(isinstance(answer, RedisError) and is_wrong_server(answer) for answer in answers):
            self._doubt(address)
        return answers

    def _client(self, address: Address) -> Any:
        client = self._clients.get(address)
        if client is None:
            client = self._clients[address] = self._connect(address)
        return client

    async def _owner(self, slot: int) -> Address:
        if not self._known:
            await self._learnt()
        address = self._masters[slot]
        if address is None:
            self._learn_soon()
            raise ClusterDownError(f"CLUSTERDOWN no master of the Redis Cluster serves slot {slot}")
        return address

    async def _addresses(self) -> list[Address]:
        if not self._known:
            await self._learnt()
        return sorted({address for address in self._masters if address is not None})

    async def _learnt(self) -> None:
        """Wait until the masters are known. If no node reports them, raises the error of the last one."""
        learning = self._learn_soon()
        if learning is not None:
            # A caller that is cancelled must not cancel what others wait for.
            await asyncio.shield(learning)
        if not self._known:
            raise self._fault or RedisConnectionError("the client is closed")

    def _doubt(self, address: Address) -> None:
        """Another node may be the master now, and this one may not know it."""
        self._doubted.add(address)
        self._learn_soon()

    def _learn_soon(self) -> "asyncio.Task[None] | None":
        if not self._closed and (self._learning is None or self._learning.done()):
            self._learning = asyncio.create_task(self._learn())
        return self._learning

    async def _learn(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._learnt_at + LEARN_EVERY_SECONDS - loop.time()))
        for address in self._informants():
            answer = await _or_error(self._slots_by(address))
            if isinstance(answer, Exception):
                self._fault = answer
                continue
            previous = {address for address in self._masters if address is not None}
            self._masters, self._known = masters_of(answer, address), True
            self._doubted.clear()
            await self._close(previous - {*self._masters, *self._seeds})
            break
        self._learnt_at = loop.time()

    async def _slots_by(self, address: Address) -> Any:
        async with asyncio.timeout(LEARN_TIMEOUT_SECONDS):
            return await self._client(address).execute_command("CLUSTER SLOTS")

    def _informants(self) -> list[Address]:
        """The nodes to ask: masters before seeds, because a seed's name may lead to a node that is gone. Each group is in random order.

        Doubted ones come last: a master that is cut off still reports itself.
        """
        masters = list({address for address in self._masters if address is not None})
        seeds = [seed for seed in self._seeds if seed not in masters]
        nodes = [*random.sample(masters, len(masters)), *random.sample(seeds, len(seeds))]
        return sorted(nodes, key=lambda node: node in self._doubted)

    async def _close(self, gone: Iterable[Address]) -> None:
        """Close the clients of masters that serve no slot any more. A running command gets a connection error, as if they had died."""
        for address in gone:
            client = self._clients.pop(address, None)
            if client is not None:
                await _or_error(client.aclose())


class ClusterPipeline(Pipeline):
    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.connection_pool, cluster.response_callbacks, transaction=False, shard_hint=None)
        self._cluster = cluster

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """The answers in the order of the commands. An error of one master concerns only its commands."""
        commands, self.command_stack = self.command_stack, []
        answers = await self._cluster.pipelined(commands) if commands else []
        if raise_on_error:
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        return answers


def _together(args: Sequence[Any], answers: Iterable[Any]) -> Any:
    """One answer for the answers of several masters: for SCRIPT EXISTS, whether all of them have the script; else the first."""
    of_masters = list(answers)
    return [all(exist) for exist in zip(*of_masters, strict=True)] if args[0] == "SCRIPT EXISTS" else of_masters[0]


async def _or_error(awaitable: Any) -> Any:
    try:
        return await awaitable
    except (RedisError, OSError, TimeoutError) as error:
        return error
