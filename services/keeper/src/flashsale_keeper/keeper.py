"""Looks at Redis several times a second, and carries out what `next_step` decides."""

import asyncio
import logging
from functools import partial
from typing import assert_never

from redis.asyncio import Redis
from redis.exceptions import RedisError

from flashsale_core.errors import FlashsaleError
from flashsale_core.scripts import Scripts
from flashsale_keeper import metrics
from flashsale_keeper.ledger_watch import LedgerWatch
from flashsale_keeper.long_steps import LongSteps, Say
from flashsale_keeper.settings import RESEAL_DISK, Settings
from flashsale_keeper.status import Status
from flashsale_recovery.facts import LedgerFacts, ServerView
from flashsale_recovery.gateways import forget_gateways
from flashsale_recovery.ledger import Ledger
from flashsale_recovery.memory import Memory
from flashsale_recovery.next_step import next_step
from flashsale_recovery.outcome import Options, Recovered
from flashsale_recovery.servers import look
from flashsale_recovery.session import ERRORS
from flashsale_recovery.step_runner import Done, StepRunner
from flashsale_recovery.steps import Drain, Initialise, Nothing, Record, Recover, Refuse, Reopen, Reseal, Rules, Step, Wait

log = logging.getLogger(__name__)


class Keeper:
    def __init__(self, redis: Redis, scripts: Scripts, settings: Settings, *, single_server: bool) -> None:
        """`single_server`: whether REDIS_URL names a server that no other one replaces. Only then may its disk alone decide."""
        self._redis = redis
        self._settings = settings
        self._rules = Rules(settings.attest_seconds, reseal_without_ledger=single_server and settings.reseal == RESEAL_DISK)
        self._ledger = LedgerWatch(redis, settings)
        self._memory = Memory()
        self._runner = StepRunner(redis, scripts, _options(settings), lambda: asyncio.get_running_loop().time(), self._memory)
        self._status = Status(range(settings.shards))
        self._long_steps = LongSteps(settings)

    @property
    def active(self) -> bool:
        """Whether this keeper acts; the others wait to take over."""
        return not self._ledger.standby

    @property
    def fault(self) -> str | None:
        """Why this keeper cannot do its work, or why not every shard is open. One that waits to take over has no fault."""
        if self._ledger.standby:
            return None
        return self._status.fault or self._ledger.fault

    async def run(self) -> None:
        """Look until cancelled."""
        try:
            while True:
                try:
                    # A step other than waiting may lead to another at once, and so may facts that were too old to act on.
                    again = await self._look()
                except (FlashsaleError, RedisError, *ERRORS) as error:
                    again = False
                    log.warning("keeper.interrupted", extra={"reason": str(error) or type(error).__name__})
                if not again:
                    await asyncio.sleep(self._settings.poll_ms / 1000)
        finally:
            await self._long_steps.end()
            self._ledger.close()

    async def _look(self) -> bool:
        """Look once; returns whether to look again at once."""
        fresh = self._status.fault is not None or self._ledger.is_due
        ledger = await self._ledger.read() if fresh else None
        if self._ledger.standby:
            return False
        # After the ledger: what it has received is then no younger than the fences, and a higher position in it is a proof.
        seen = await look(self._redis, range(self._settings.shards), self._settings.redis_timeout_seconds)
        self._status.set_away(seen.away)
        again = False
        for view in seen.servers:
            self._memory.observe(view, asyncio.get_running_loop().time())
            self._status.observe(view)
            if not self._long_steps.is_running(view):
                again |= await self._decide(view, ledger, fresh=fresh)
        return again

    async def _decide(self, view: ServerView, ledger: Ledger | None, *, fresh: bool) -> bool:
        step = self._next_step(view, self._ledger.facts)
        if isinstance(step, Nothing):
            self._status.set_open(view.shards)
            if fresh and self._ledger.facts is not None:
                await self._forget_gateways(view, self._ledger.facts)
            return False
        if not fresh:
            # Never act on what was read some seconds ago.
            self._status.set_closed(view.shards, "its history changed")
            return True
        return await self._carry_out(step, view, ledger)

    async def _forget_gateways(self, view: ServerView, facts: LedgerFacts) -> None:
        received = {shard: facts.shard(shard).highest_seq for shard in view.shards}
        await forget_gateways(self._redis, self._memory.forgettable(view, received, asyncio.get_running_loop().time()))

    def _next_step(self, view: ServerView, facts: LedgerFacts | None) -> Step:
        installation = facts.installation if facts is not None else None
        if installation is not None and (fault := installation.fault(self._settings.installation, self._settings.shards)) is not None:
            return Refuse(fault)
        return next_step(view, facts, self._memory.witnesses(view, asyncio.get_running_loop().time()), self._rules)

    async def _carry_out(self, step: Step, view: ServerView, ledger: Ledger | None) -> bool:
        say = partial(self._status.set_closed, view.shards)
        if (reason := step_reason(step)) is not None:
            say(reason)
        if isinstance(step, Nothing | Wait | Refuse):
            return False
        if isinstance(step, Drain | Recover):
            self._long_steps.start(view, partial(self._run_long, step, view, self._ledger.facts), say)
        else:
            done = await self._runner.run(step, view, ledger, self._ledger.facts, say)
            _report(step, view, done)
        return True

    async def _run_long(self, step: Step, view: ServerView, facts: LedgerFacts | None, ledger: Ledger, say: Say) -> Recovered | None:
        return (await self._runner.run(step, view, ledger, facts, say)).recovered


def step_reason(step: Step) -> str | None:
    """Why the shards are not open while the step is taken; None if that is not worth a word."""
    match step:
        case Wait() | Refuse() | Reopen():
            return step.reason
        case Reseal():
            return "its history is being accepted"
        case Drain():
            return "the queue is being drained"
        case Recover():
            return next(iter(step.reasons.values()))
        case Nothing() | Initialise() | Record():
            return None
        case _:
            assert_never(step)


def _report(step: Step, view: ServerView, done: Done) -> None:
    """Count and log a step that was taken at once."""
    match step:
        case Reseal():
            metrics.RESEALS.inc()
            log.info("shards.resealed", extra={"shards": len(step.shards), "replid": view.replid})
        case Initialise():
            log.info("shards.initialised", extra={"shards": len(step.shards)})
        case Record():
            log.warning("shards.recorded", extra={"shards": len(step.shards)})
        case Reopen():
            metrics.REOPENS.inc()
            numbers = {"shards": len(done.incarnations), "incarnation": max(done.incarnations.values())}
            log.warning("shards.reopened", extra={**numbers, "reason": step.reason})
        case _:
            pass


def _options(settings: Settings) -> Options:
    return Options(
        amqp_url=settings.amqp_url,
        amqp_timeout_seconds=settings.amqp_timeout_seconds,
        attest_seconds=settings.attest_seconds,
        drain_seconds=settings.drain_seconds,
        holes_seconds=settings.holes_seconds,
        workers_seconds=settings.workers_seconds,
        grace_ms=settings.grace_seconds * 1000,
    )
