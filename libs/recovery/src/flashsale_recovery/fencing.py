"""Moves fences from step to step. Each call names what was seen before: if that has changed, nothing is written and Changed is raised."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis

from flashsale_core.errors import Retryable
from flashsale_core.fence import OPEN, Fence
from flashsale_core.keys import shard_keys
from flashsale_core.scripts import Scripts
from flashsale_recovery.facts import Installation, ServerView
from flashsale_redis.fences import seal

FENCED = "fenced"
VERIFYING = "verifying"
KEPT = "kept"
"""A field of the fence: `<incarnation>:<seq>` of the former incarnation, as Redis had it."""


class Kept(NamedTuple):
    incarnation: int
    seq: int


class Changed(Retryable):
    """A fence or the server's history is no longer what it was. Look again and decide again."""


class Fencing:
    def __init__(self, redis: Redis, scripts: Scripts, installation: Installation) -> None:
        self._redis = redis
        self._scripts = scripts
        self.attempt = uuid.uuid4().hex
        """Which attempt at a recovery this is: a keeper that was frozen cannot go on in an incarnation that another one has taken up."""
        self._labels: Mapping[str, str | int] = {
            "installation": installation.name, "ledger": installation.ledger, "shards": installation.shards
        }  # fmt: skip

    async def halt(self, view: ServerView) -> dict[int, Fence]:
        """Stop all scripts, in the incarnation that the shards have; their positions are final now. Fences that are not open stay so."""
        return {
            shard: fence if fence.state != OPEN else await self._seal(shard, fence, {"state": FENCED}, view.replid)
            for shard, fence in view.fences.items()
        }

    async def close(
        self, halted: Mapping[int, Fence], incarnations: Mapping[int, int], first_seqs: Mapping[int, int], replid: str
    ) -> dict[int, Fence]:
        """Begin new incarnations. A fence that begins one keeps the position at which the former ended."""
        closed = {}
        for shard, incarnation in incarnations.items():
            fence = halted[shard]
            fields: dict[str, str | int] = {
                "state": FENCED, "incarnation": incarnation, "seq": first_seqs[shard] - 1, "attempt": self.attempt
            }  # fmt: skip
            if fence.incarnation != incarnation:
                fields[KEPT] = f"{fence.incarnation}:{fence.seq}"
            closed[shard] = await self._seal(shard, fence, fields, replid)
        return closed

    async def kept(self, shards: Iterable[int]) -> dict[int, Kept]:
        """What Redis had when the present incarnation began, by shard."""
        client: Any = self._redis
        return {shard: _kept(await client.hget(shard_keys(shard).fence, KEPT)) for shard in shards}

    async def move(self, fences: Mapping[int, Fence], state: str, replid: str) -> dict[int, Fence]:
        """Set the state of fences that `close` or `move` returned."""
        return {shard: await self._seal(shard, fence, {"state": state}, replid, self.attempt) for shard, fence in fences.items()}

    async def open(self, fences: Mapping[int, Fence], replid: str) -> dict[int, Fence]:
        """Let the scripts write to the history `replid`, if the server still has it."""
        return await self.move(fences, OPEN, replid)

    async def _seal(self, shard: int, read: Fence, fields: Mapping[str, str | int], replid: str, attempt: str = "") -> Fence:
        return await _seal(self._redis, self._scripts, shard, read, {**fields, **self._labels}, replid, attempt)


async def accept_history(redis: Redis, scripts: Scripts, view: ServerView, shards: Sequence[int]) -> None:
    """Let the scripts write to the history that the server had when it was looked at."""
    for shard in shards:
        await _seal(redis, scripts, shard, view.fences[shard], {}, view.replid)


def _kept(value: bytes | None) -> Kept:
    incarnation, _, seq = (value or b"0:0").partition(b":")
    return Kept(int(incarnation), int(seq))


async def _seal(
    redis: Redis, scripts: Scripts, shard: int, read: Fence, fields: Mapping[str, str | int], replid: str, attempt: str = ""
) -> Fence:
    # Without INFO there is no replication id to compare, and the empty one is accepted.
    fence = await seal(redis, scripts, shard, read, fields, accept_history=not replid, only_history=replid, attempt=attempt)
    if fence is None:
        raise Changed(f"the fence of shard {shard} or the history of its server changed during the step, or another recovery began")
    return fence
