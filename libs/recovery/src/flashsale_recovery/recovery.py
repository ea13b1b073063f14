"""Carries out what `next_step` decided. Each method may be repeated after a crash at any point."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from redis.asyncio import Redis

from flashsale_core import crash
from flashsale_core.fence import OPEN, SEQ_JUMP, Fence
from flashsale_core.keys import shard_keys
from flashsale_core.positions import Range
from flashsale_core.scripts import Scripts
from flashsale_recovery.all_workers import WorkersCheck
from flashsale_recovery.drain import NotDrained, Say, drain
from flashsale_recovery.entries import Expected, by_shard, wait_for_entries, without_received
from flashsale_recovery.facts import NEW, DrainState, LedgerFacts, ServerView, Witnesses
from flashsale_recovery.fencing import FENCED, VERIFYING, Changed, Fencing
from flashsale_recovery.gateways import wait_for_gateways
from flashsale_recovery.ledger import Key, Ledger
from flashsale_recovery.next_step import next_incarnation
from flashsale_recovery.outcome import Options, Recovered
from flashsale_recovery.rebuild import RebuildContext, close_sales, plan_rebuild, rebuild, verify
from flashsale_recovery.steps import Record
from flashsale_redis import now_ms

BATCH_SECONDS = 0.5
WORKERS_SECONDS_LEAST = 2.0
"""How long the order-workers have at least: a batch that takes long is not a worker that froze."""
log = logging.getLogger(__name__)


class Recovery:
    def __init__(self, redis: Redis, scripts: Scripts, ledger: Ledger, facts: LedgerFacts, options: Options) -> None:
        """`facts` name the installation."""
        assert facts.installation is not None  # noqa: S101 - next_step waits without it
        self._redis = redis
        self._scripts = scripts
        self._ledger = ledger
        self._facts = facts
        self._shard_count = facts.installation.shards
        self._options = options
        self._fencing = Fencing(redis, scripts, facts.installation)

    async def initialise(self, view: ServerView, shards: Sequence[int]) -> None:
        """Open the first incarnation of shards that were never open. What is in Redis, from an earlier release, is adopted."""
        first = dict.fromkeys(shards, 1)
        await self._ledger.add(first, first, NEW, view.replid)
        fences = await self._fencing.close({shard: view.fences[shard] for shard in shards}, first, first, view.replid)
        await self._open(fences, view.replid, {})

    async def record(self, view: ServerView, step: Record) -> None:
        """Write down incarnations that Redis has and the ledger, restored from a backup, lacks."""
        incarnations = {shard: view.fences[shard].incarnation for shard in step.shards}
        await self._ledger.add({shard: view.fences[shard].seq + 1 for shard in step.shards}, incarnations, OPEN, view.replid)
        # What Redis had when its incarnation began; an earlier release did not keep that.
        kept = {shard: known for shard, known in (await self._fencing.kept(step.shards)).items() if known.incarnation}
        await self._ledger.close_former({shard: incarnations[shard] for shard in kept}, kept, OPEN)
        await self._ledger.set_open(incarnations, view.replid, {})

    async def reopen(self, view: ServerView, witnesses: Witnesses) -> dict[int, int]:
        """Go on with what Redis has, in new incarnations, which are returned. What still arrives from the old ones is late.

        Raises Changed if the ledger turns out to have more: the shards stay closed, and are rebuilt.
        """
        fences = await self._fence(view, witnesses)
        incarnations = {shard: fence.incarnation for shard, fence in fences.items()}
        kept = await self._fencing.kept(incarnations)
        await self._ledger.close_former(incarnations, kept, VERIFYING)
        # Several order-workers may share the queue, and the marker of the drain passed only one: what another was writing is here now.
        if ahead := await self._ledger.ahead_of(kept):
            raise Changed(f"the ledger has received more of shards {ahead} than Redis has: their server lost data")
        fences = await self._fencing.move(fences, VERIFYING, view.replid)
        await self._open(fences, view.replid, {})
        return incarnations

    async def drain(self, view: ServerView, witnesses: Witnesses, say: Say) -> DrainState:
        """Wait until the ledger has what is in the queue, for a limited time. The fence stays as it is: its history is not accepted yet."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._options.drain_seconds):
                await drain(self._ledger, self._options.amqp_url, self._options.amqp_timeout_seconds, say)
        except TimeoutError:
            return DrainState.FAILED
        if witnesses.silent or not witnesses.knew_all:
            await self._wait_for_workers(witnesses.waited_seconds + time.monotonic() - started, say)
        highest = _highest(view, witnesses, self._facts)
        known = {shard: self._facts.shard(shard) for shard in view.shards}
        expected = {
            (shard, now.incarnation): Expected(now.first_seq, highest[shard], view.fences[shard].seq) for shard, now in known.items()
        }
        # Another worker may still write what was in front of the marker.
        await wait_for_entries(self._redis, self._ledger, expected, BATCH_SECONDS)
        return DrainState.DONE

    async def plan(self, view: ServerView, witnesses: Witnesses) -> Recovered:
        """What `recover` would do now, and what would be lost. Nothing is written, nobody is waited for."""
        started = time.monotonic()
        incarnations = {shard: next_incarnation(view.fences[shard], self._facts.shard(shard)) for shard in view.shards}
        highest = _highest(view, witnesses, self._facts)
        kept = {shard: known.seq for shard, known in (await self._fencing.kept(view.shards)).items()}
        are_open = {shard: now for shard in view.shards if (now := self._facts.shard(shard)).state == OPEN}
        kept |= {shard: view.fences[shard].seq for shard in are_open}
        expected = await self._expected({shard: self._facts.shard(shard).incarnation for shard in view.shards}, kept, {})
        expected |= {(shard, now.incarnation): Expected(now.first_seq, highest[shard], kept[shard]) for shard, now in are_open.items()}
        lost = await wait_for_entries(self._redis, self._ledger, expected, 0)
        report = await plan_rebuild(await self._context(incarnations, view.shards[0], await self._stopped_ms(view)), view.shards)
        return Recovered(incarnations, by_shard(lost), report, time.monotonic() - started)

    async def recover(self, view: ServerView, witnesses: Witnesses, say: Say) -> Recovered:
        """Rebuild all shards of a server in new incarnations, and open them. Raises Changed when Redis changes meanwhile."""
        started = time.monotonic()
        fences = await self._fence(view, witnesses)
        incarnations = {shard: fence.incarnation for shard, fence in fences.items()}
        stopped_ms = await self._stopped_ms(view)
        say("waiting for what the gateways hold")
        attested = await wait_for_gateways(self._redis, view.shards, witnesses.expected, self._options.attest_seconds)
        crash.point("gateways.attested")
        fences = await self._move(fences, "draining", view.replid)
        await self._drain_all(started, say, every_worker=bool(attested.silent) or not witnesses.knew_all)
        say("waiting for entries that the ledger lacks")
        kept = await self._fencing.kept(incarnations)
        kept_seqs = {shard: known.seq for shard, known in kept.items()}
        expected = await self._expected(incarnations, kept_seqs, attested.highest_seq)
        lost = await wait_for_entries(self._redis, self._ledger, expected, self._options.holes_seconds)
        await self._ledger.close_former(incarnations, kept, "restoring")
        fences = await self._move(fences, "restoring", view.replid)
        say("rebuilding")
        context = await self._context(incarnations, view.shards[0], stopped_ms)
        report = await rebuild(context, view.shards)
        fences = await self._move(fences, VERIFYING, view.replid)
        say("comparing Redis with the ledger")
        report.faulty = (await verify(context, view.shards)).faulty
        await close_sales(context, report.faulty)
        crash.point("rebuild.verified")
        # A worker may have been slow to write what it had: Redis has that, or its incarnation is closed to it.
        lost = await without_received(self._ledger, lost)
        await self._open(fences, view.replid, lost)
        return Recovered(incarnations, by_shard(lost), report, time.monotonic() - started)

    async def _drain_all(self, started: float, say: Say, *, every_worker: bool) -> None:
        """Raises NotDrained if there is a limit, and it is over."""
        limit_seconds = self._options.drain_limit_seconds
        scope = asyncio.timeout(limit_seconds)
        try:
            async with scope:
                await drain(self._ledger, self._options.amqp_url, self._options.amqp_timeout_seconds, say)
                if every_worker:
                    # The highest positions may be unknown, and no hole would show that a worker has not written them yet.
                    await self._wait_for_workers(time.monotonic() - started, say)
        except TimeoutError as error:
            # A statement of the ledger may have timed out instead.
            if not scope.expired():
                raise
            raise NotDrained(f"the queue was not drained within {limit_seconds:g} s") from error

    async def _wait_for_workers(self, waited_seconds: float, say: Say) -> None:
        """Wait until every order-worker has written what it has, or RabbitMQ must have given it to another one."""
        options = self._options
        check = WorkersCheck(self._ledger, options.amqp_url, options.amqp_timeout_seconds, say)
        if not await check.run(max(options.workers_seconds - waited_seconds, WORKERS_SECONDS_LEAST)):
            await drain(self._ledger, options.amqp_url, options.amqp_timeout_seconds, say)

    async def _stopped_ms(self, view: ServerView) -> int:
        """When the shards stopped, by Redis' clock: when the first attempt at this recovery fenced them, however often it was repeated."""
        # A keeper that died between its last two writes left a fence that was never opened.
        unopened = {shard: fence.incarnation if fence.state == VERIFYING else 0 for shard, fence in view.fences.items()}
        return await now_ms(self._redis, shard_keys(view.shards[0]).fence) - await self._ledger.stopped_for_ms(unopened)

    async def _context(self, incarnations: Mapping[int, int], near: int, stopped_ms: int) -> RebuildContext:
        return RebuildContext(
            redis=self._redis,
            scripts=self._scripts,
            ledger=self._ledger.connection,
            shard_count=self._shard_count,
            incarnations=incarnations,
            attempt=self._fencing.attempt,
            grace_ms=self._options.grace_ms,
            now_ms=await now_ms(self._redis, shard_keys(near).fence),
            stopped_ms=stopped_ms,
        )

    async def _expected(
        self, incarnations: Mapping[int, int], kept_seqs: Mapping[int, int], attested_seqs: Mapping[int, int]
    ) -> dict[Key, Expected]:
        """The entries of all incarnations before these, by shard, that are not settled."""
        return {
            (shard, ended.incarnation): Expected(
                ended.first_seq, ended.last_seq(attested_seqs.get(shard, 0)), kept_seqs[shard], ended.closed_seq
            )
            for shard, incarnation in incarnations.items()
            for ended in await self._ledger.ended(shard, incarnation)
        }

    async def _fence(self, view: ServerView, witnesses: Witnesses) -> dict[int, Fence]:
        """Begin new incarnations; no script writes from now on."""
        halted = await self._fencing.halt(view)
        incarnations = {shard: next_incarnation(fence, self._facts.shard(shard)) for shard, fence in halted.items()}
        highest = _highest(replace(view, fences=halted), witnesses, self._facts)
        first_seqs = {shard: self._first_seq(shard, incarnations[shard], highest[shard]) for shard in view.shards}
        # The ledger first: a Redis that is lost again before it is opened is then recovered in an incarnation that is newer still.
        await self._ledger.add(first_seqs, incarnations, FENCED, view.replid)
        await self._ledger.set_state(incarnations, FENCED)
        return await self._fencing.close(halted, incarnations, first_seqs, view.replid)

    def _first_seq(self, shard: int, incarnation: int, highest: int) -> int:
        known = self._facts.shard(shard)
        return known.first_seq if known.incarnation == incarnation else highest + SEQ_JUMP

    async def _move(self, fences: Mapping[int, Fence], state: str, replid: str) -> dict[int, Fence]:
        moved = await self._fencing.move(fences, state, replid)
        await self._ledger.set_state({shard: fence.incarnation for shard, fence in moved.items()}, state)
        log.info("recovery.step", extra={"step": state, "shards": len(moved)})
        return moved

    async def _open(self, fences: Mapping[int, Fence], replid: str, lost: Mapping[Key, Sequence[Range]]) -> None:
        # The ledger first: a shard that sells must never be taken for one that was not opened yet.
        await self._ledger.set_open({shard: fence.incarnation for shard, fence in fences.items()}, replid, lost)
        await self._fencing.open(fences, replid)


def _highest(view: ServerView, witnesses: Witnesses, facts: LedgerFacts) -> dict[int, int]:
    """The highest position that anybody knows of, by shard."""
    return {
        shard: max(view.fences[shard].seq, witnesses.highest_seq.get(shard, 0), facts.shard(shard).highest_seq) for shard in view.shards
    }
