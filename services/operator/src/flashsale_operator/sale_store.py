"""Reads and changes the sales in Redis for the operator. Changes are made by scripts only."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from flashsale_core.errors import Rejected, Retryable
from flashsale_core.faults import Server, describe_error
from flashsale_core.fence import OPEN, is_fenced
from flashsale_core.keys import INSTALLATION_DEFAULT, attest_keys, define_keys, sale_keys, shard_keys, shard_of
from flashsale_core.records import sale_fields
from flashsale_core.scripts import Scripts, call, load_scripts, pack
from flashsale_operator.availability import Availability, Busy
from flashsale_operator.patience import patiently
from flashsale_operator.resource import Resource
from flashsale_redis import Health, is_cluster, ping_near, refuse_replica
from flashsale_redis.fences import refuse_other_installation

# Beginnings of errors that concern one sale's data or the script, not the server: a retry would fail in the same way.
_SALE_ERRORS = ("INVARIANT", "WRONGTYPE", "user_script")
COMMANDS_MAX = 16
"""Most commands at the same time. The time of those that wait is not counted: it says nothing about Redis."""
CHANGED_BY = "operator"
"""Who asks for the changes of sales, in the ledger. The sale's owner names the FlashSale."""
REDIS_CONNECTIONS = COMMANDS_MAX + 1
"""To each server: one for each command, and one for a PING."""
_NO_ANSWER = (RedisConnectionError, RedisTimeoutError, OSError, TimeoutError)
log = logging.getLogger(__name__)


class Recovering(Retryable):
    """The sale's shard of Redis is not open: nothing of it can be believed or changed until the keeper has opened it."""


@dataclass(frozen=True, slots=True)
class Defined:
    """What the `define` script returned."""

    status: str
    sale: Mapping[str, str]


class SaleStore:
    """Every method raises Retryable when Redis is away, its subclass Busy when Redis is slow, and Rejected when a sale's data is broken.

    Those about one sale raise Recovering when its shard is not open.
    """

    def __init__(
        self, redis: Redis, scripts: Scripts, shards: int, timeout_seconds: float, installation: str = INSTALLATION_DEFAULT
    ) -> None:
        self._redis = redis
        self._installation = installation
        self._is_ours = False
        self._scripts = scripts
        self._shards = shards
        self._timeout_seconds = timeout_seconds
        self._health = Health(redis)
        self._may_check_durability = True
        self._commands = asyncio.Semaphore(COMMANDS_MAX)
        self._servers: dict[int, Availability] = {}

    async def ping(self) -> None:
        """Check that Redis takes writes, and load the scripts."""
        await self._call(partial(refuse_replica, self._redis))
        await self._call(partial(load_scripts, self._redis, self._scripts))

    async def durability_fault(self) -> str | None:
        """Why Redis may lose acknowledged writes; None when it does not, or when our user may not ask, which is logged once."""
        return await self._call(self._read_durability) if self._may_check_durability else None

    async def read(self, sale_id: str) -> dict[str, str]:
        """The sale's hash; empty when there is none."""
        await self._refuse_other_installation()
        shard = shard_of(sale_id, self._shards)
        fields = await self._call(partial(self._redis.hgetall, sale_keys(sale_id, self._shards).sale), shard)
        # After the sale: a shard that closes in between must not make the sale look lost.
        if not await self._is_open(shard):
            raise Recovering(f"the shard of sale {sale_id} is being recovered")
        return sale_fields(fields)

    async def read_many(self, sale_ids: Sequence[str]) -> list[dict[str, str] | None]:
        """The hashes of many sales, of a server that takes writes. A key that is not a hash reads as a sale without numbers.

        None for a sale whose shard is not open.
        """
        # A sweep only reads, and a demoted master would answer such reads for as long as it runs.
        await self._call(partial(refuse_replica, self._redis))
        await self._refuse_other_installation()
        shards = [shard_of(sale_id, self._shards) for sale_id in sale_ids]
        asked = sorted(set(shards))
        async with self._redis.pipeline(transaction=False) as pipe:
            for sale_id in sale_ids:
                pipe.hgetall(sale_keys(sale_id, self._shards).sale)
            answers = await self._call(partial(pipe.execute, raise_on_error=False), *asked)
        for answer, shard in zip(answers, shards, strict=True):
            if isinstance(answer, _NO_ANSWER):
                raise await self._judge(answer, shard)
            if isinstance(answer, RedisError) and not str(answer).startswith(_SALE_ERRORS):
                raise Retryable(describe_error(Server.REDIS, answer))
        is_open = dict(zip(asked, await asyncio.gather(*map(self._is_open, asked)), strict=True))
        return [_read_fields(answer) if is_open[shard] else None for answer, shard in zip(answers, shards, strict=True)]

    async def define(self, resource: Resource, definition: Mapping[str, Any]) -> Defined:
        sale_id, keys = resource.product_id, define_keys(resource.product_id, self._shards)
        wanted = {"owner": resource.owner, "generation": resource.generation, "by": CHANGED_BY, **definition}
        define = partial(call, self._redis, self._scripts.define, keys, sale_id, pack(wanted), "")
        _, status, flat, _ = await self._call(define, shard_of(sale_id, self._shards))
        return Defined(status, dict(zip(flat[::2], flat[1::2], strict=True)))

    async def retire(self, resource: Resource, action: str, owner: str | None = None) -> tuple[str, int]:
        """Run lua/retire.lua as the resource, or as `owner` if given; returns (status, units reserved)."""
        sale_id, acting = resource.product_id, resource.owner if owner is None else owner
        keys = define_keys(sale_id, self._shards)
        retire = partial(call, self._redis, self._scripts.retire, keys, sale_id, action, acting, "", "", "", CHANGED_BY)
        _, status, reserved, _ = await self._call(retire, shard_of(sale_id, self._shards))
        return status, int(reserved)

    async def _refuse_other_installation(self) -> None:
        """A sale is defined in no Redis that belongs to another release. Asked until the answer is known: it does not change."""
        if not self._is_ours:
            self._is_ours = await self._call(partial(refuse_other_installation, self._redis, self._installation, self._shards))

    async def _is_open(self, shard: int) -> bool:
        attest = partial(call, self._redis, self._scripts.attest, attest_keys(shard), "", "0", "0", "")
        _, status, *_ = await self._call(attest, shard)
        return bool(status == OPEN)

    async def _read_durability(self) -> str | None:
        try:
            _, fault = await self._health.faults()
        except NoPermissionError as error:
            self._may_check_durability = False
            log.warning("redis.durability_unknown", extra={"reason": describe_error(Server.REDIS, error)})
            return None
        return fault

    async def _call(self, act: Callable[[], Awaitable[Any]], *shards: int) -> Any:
        """Run a command on the servers of `shards`, or on any."""
        servers = self._of(shards)
        for server in servers:
            await server.refuse_if_away()
        try:
            async with self._commands, patiently(self._timeout_seconds):
                answer = await act()
        except _NO_ANSWER as error:
            raise await self._judge(error, *shards) from error
        except RedisError as error:
            if isinstance(error, ResponseError) and str(error).startswith(_SALE_ERRORS):
                raise Rejected(str(error)) from error
            if is_fenced(error):
                raise Recovering(str(error)) from error
            raise Retryable(describe_error(Server.REDIS, error)) from error
        if len(shards) == 1:
            # Others may be answered in part, or by any server.
            servers[0].note_answer()
        return answer

    async def _judge(self, error: BaseException, *shards: int) -> Retryable:
        """What a missing answer means: Busy only if each server answers a PING."""
        verdicts = [await server.judge(error) for server in self._of(shards)]
        return next((verdict for verdict in verdicts if not isinstance(verdict, Busy)), verdicts[0])

    def _of(self, shards: Sequence[int]) -> list[Availability]:
        """The servers of these shards. On a single server all shards are the same."""
        names = dict.fromkeys(shards if is_cluster(self._redis) and shards else (0,))
        for shard in names.keys() - self._servers.keys():
            self._servers[shard] = Availability(partial(ping_near, self._redis), shard_keys(shard).fence, self._timeout_seconds)
        return [self._servers[shard] for shard in names]


def _read_fields(answer: Any) -> dict[str, str]:
    return {"state": "broken"} if isinstance(answer, RedisError) else sale_fields(answer)
