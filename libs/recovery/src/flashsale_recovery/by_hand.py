"""The recovery as a command: one look that only plans, or looks until everything is open. `flashsale recover` calls it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

from redis.asyncio import Redis

from flashsale_core.errors import Retryable
from flashsale_core.scripts import Scripts
from flashsale_recovery.facts import LedgerFacts, ServerView, restricted
from flashsale_recovery.fencing import accept_history
from flashsale_recovery.ledger import Ledger
from flashsale_recovery.ledger_facts import read_facts
from flashsale_recovery.memory import Memory
from flashsale_recovery.next_step import next_step
from flashsale_recovery.outcome import Options, Recovered
from flashsale_recovery.recovery import Recovery
from flashsale_recovery.servers import Look, look
from flashsale_recovery.steps import Drain, Initialise, Nothing, Record, Recover, Refuse, Reopen, Reseal, Step, Wait

POLL_SECONDS = 0.2
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to be done with a server, or what was done."""

    shards: Sequence[int]
    incarnation: int
    """The highest of its shards, before the step."""
    step: Step
    recovered: Recovered | None = None
    """If it is or was rebuilt."""


class ByHand:
    def __init__(self, redis: Redis, scripts: Scripts, ledger: Ledger, shards: int, options: Options, timeout_seconds: float) -> None:
        self._redis = redis
        self._scripts = scripts
        self._ledger = ledger
        self._shards = shards
        self._options = options
        self._timeout_seconds = timeout_seconds
        self._memory = Memory()

    async def plan(self, only: int | None = None) -> list[Outcome]:
        """What the next step of each server is, or of the one that holds the shard `only`. Writes nothing.

        Raises Retryable if a server of Redis does not answer, and what Redis and asyncpg raise.
        """
        facts, seen = await self._look(only)
        return [await self._planned(view, self._decide(view, facts), facts) for view in seen.servers]

    async def run(self, say: Say, only: int | None = None, wait_seconds: float = 600.0) -> list[Outcome]:
        """Take steps until all is open, at most `wait_seconds`; returns the steps that were taken, and those that would follow.

        Raises as `plan` does.
        """
        ends_at, done, said = time.monotonic() + wait_seconds, list[Outcome](), ""
        while True:
            facts, seen = await self._look(only)
            steps = [(view, self._decide(view, facts)) for view in seen.servers]
            left = [(view, step) for view, step in steps if not isinstance(step, Nothing)]
            refused = any(isinstance(step, Refuse) for _, step in left)
            if not left or refused or time.monotonic() > ends_at:
                return [*done, *[_outcome(view, step) for view, step in left]]
            for view, step in left:
                if isinstance(step, Wait):
                    said = _say_once(say, said, step.reason)
                else:
                    done.append(await self._take(view, step, facts, say))
            await asyncio.sleep(POLL_SECONDS)

    async def _look(self, only: int | None) -> tuple[LedgerFacts, Look]:
        # The ledger before Redis: see the keeper.
        facts = await read_facts(self._ledger, self._redis, self._shards)
        seen = await look(self._redis, range(self._shards), self._timeout_seconds)
        if only is not None:
            seen = Look(
                [view for view in seen.servers if only in view.fences],
                {shard: reason for shard, reason in seen.away.items() if shard == only},
            )
        if seen.away:
            shard, reason = next(iter(seen.away.items()))
            raise Retryable(f"shard {shard}: {reason}")
        for view in seen.servers:
            self._memory.observe(view, time.monotonic())
        return facts, seen

    def _decide(self, view: ServerView, facts: LedgerFacts) -> Step:
        if facts.installation is not None and facts.installation.shards != self._shards:
            return Refuse(f"FLASHSALE_SHARDS is {self._shards}, and the ledger has {facts.installation.shards}")
        return next_step(view, facts, self._memory.witnesses(view, time.monotonic()))

    async def _planned(self, view: ServerView, step: Step, facts: LedgerFacts) -> Outcome:
        if not isinstance(step, Recover):
            return _outcome(view, step)
        recovered = await self._recovery(facts).plan(view, self._memory.witnesses(view, time.monotonic()))
        return _outcome(view, step, recovered)

    async def _take(self, view: ServerView, step: Step, facts: LedgerFacts, say: Say) -> Outcome:
        recovered = None
        witnesses = self._memory.witnesses(view, time.monotonic())
        match step:
            case Nothing() | Wait() | Refuse():
                pass
            case Initialise():
                await self._recovery(facts).initialise(view, step.shards)
            case Record():
                await self._recovery(facts).record(view, step)
            case Reseal():
                await accept_history(self._redis, self._scripts, view, step.shards)
            case Reopen():
                await self._recovery(facts).reopen(restricted(view, step.shards), witnesses)
            case Drain():
                say("draining the queue")
                self._memory.mark_drained(view, await self._recovery(facts).drain(view, witnesses, say))
            case Recover():
                recovered = await self._recovery(facts).recover(view, witnesses, say)
            case _:
                assert_never(step)
        return _outcome(view, step, recovered)

    def _recovery(self, facts: LedgerFacts) -> Recovery:
        return Recovery(self._redis, self._scripts, self._ledger, facts, self._options)


def _outcome(view: ServerView, step: Step, recovered: Recovered | None = None) -> Outcome:
    return Outcome(view.shards, max(fence.incarnation for fence in view.fences.values()), step, recovered)


def _say_once(say: Say, said: str, reason: str) -> str:
    if reason != said:
        say(reason)
    return reason
