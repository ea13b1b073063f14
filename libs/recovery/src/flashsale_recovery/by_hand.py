"""The recovery as a command: one look that only plans, or looks until everything is open. `flashsale recover` calls it."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from flashsale_core.errors import Retryable
from flashsale_core.scripts import Scripts
from flashsale_recovery.drain import NotDrained
from flashsale_recovery.facts import LedgerFacts, ServerView, restricted
from flashsale_recovery.fencing import Fencing
from flashsale_recovery.ledger import Ledger
from flashsale_recovery.ledger_facts import read_facts
from flashsale_recovery.next_step import next_step
from flashsale_recovery.outcome import Options, Recovered
from flashsale_recovery.servers import Look, look
from flashsale_recovery.step_runner import Say, StepRunner
from flashsale_recovery.steps import Nothing, Recover, Refuse, Rules, Step, Wait

POLL_SECONDS = 0.2
BY_HAND = "it was closed by hand, to be rebuilt"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to be done with a server, or what was done."""

    shards: Sequence[int]
    incarnation: int
    """The highest of its shards, before the step."""
    step: Step
    recovered: Recovered | None = None
    """If it is or was rebuilt."""


@dataclass(frozen=True, slots=True)
class Ours:
    """The installation that the settings name."""

    name: str
    shards: int


class ByHand:
    def __init__(self, redis: Redis, scripts: Scripts, ledger: Ledger, ours: Ours, options: Options, timeout_seconds: float) -> None:
        self._redis = redis
        self._scripts = scripts
        self._ledger = ledger
        self._ours = ours
        self._timeout_seconds = timeout_seconds
        self._runner = StepRunner(redis, scripts, options, time.monotonic)
        self._rules = Rules()

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
            facts, left = await self._left(only)
            refused = any(isinstance(step, Refuse) for _, step in left)
            if not left or refused or time.monotonic() > ends_at:
                why = "another server was refused" if refused else f"the time that the recovery may take, {wait_seconds:g} s, is over"
                return [*done, *[_outcome(view, _not_taken(step, why)) for view, step in left]]
            for view, step in left:
                if isinstance(step, Wait):
                    said = _say_once(say, said, step.reason)
                    continue
                try:
                    recovered = (await self._runner.run(step, view, self._ledger, facts, say)).recovered
                except NotDrained as error:
                    # The time is over, and the next turn returns.
                    said = _say_once(say, said, str(error))
                else:
                    done.append(_outcome(view, step, recovered))
            await asyncio.sleep(POLL_SECONDS)

    async def rebuild(self, say: Say, only: int | None = None, wait_seconds: float = 600.0, *, keeper_acts: bool) -> list[Outcome]:
        """Close all shards, or the shard `only`, and have their servers rebuilt: by the keeper if it acts, otherwise here.

        Raises as `plan` does, and Changed if a fence changes meanwhile.
        """
        facts, seen = await self._look(only)
        steps = [(view, self._decide(view, facts)) for view in seen.servers]
        if facts.installation is None or any(isinstance(step, Refuse) for _, step in steps):
            return [_outcome(view, step) for view, step in steps]
        self._rules = Rules(rebuild_doubtful=True)
        for view in seen.servers:
            await Fencing(self._redis, self._scripts, facts.installation).halt(restricted(view, view.shards if only is None else [only]))
        if not keeper_acts:
            return await self.run(say, only, wait_seconds)
        say("the keeper rebuilds what was closed")
        return await self._wait_for_keeper(
            [_outcome(view, Recover({view.shards[0] if only is None else only: BY_HAND})) for view in seen.servers], only, wait_seconds
        )

    async def _wait_for_keeper(self, closed: list[Outcome], only: int | None, wait_seconds: float) -> list[Outcome]:
        ends_at = time.monotonic() + wait_seconds
        while (left := (await self._left(only))[1]) and time.monotonic() < ends_at:  # noqa: ASYNC110 - another process' state
            await asyncio.sleep(POLL_SECONDS)
        waiting = [_outcome(view, Wait("the keeper has not opened it yet")) for view, _ in left]
        # A server that waits is not rebuilt yet.
        return [*[each for each in closed if each.shards not in [other.shards for other in waiting]], *waiting]

    async def _left(self, only: int | None) -> tuple[LedgerFacts, list[tuple[ServerView, Step]]]:
        """The servers that are not open, with their next steps."""
        facts, seen = await self._look(only)
        steps = [(view, self._decide(view, facts)) for view in seen.servers]
        return facts, [(view, step) for view, step in steps if not isinstance(step, Nothing)]

    async def _look(self, only: int | None) -> tuple[LedgerFacts, Look]:
        # The ledger before Redis: see the keeper.
        facts = await read_facts(self._ledger, self._redis, self._ours.shards)
        seen = await look(self._redis, range(self._ours.shards), self._timeout_seconds)
        if only is not None:
            seen = Look(
                [view for view in seen.servers if only in view.fences],
                {shard: reason for shard, reason in seen.away.items() if shard == only},
            )
        if seen.away:
            shard, reason = next(iter(seen.away.items()))
            raise Retryable(f"shard {shard}: {reason}")
        for view in seen.servers:
            self._runner.memory.observe(view, time.monotonic())
        return facts, seen

    def _decide(self, view: ServerView, facts: LedgerFacts) -> Step:
        if facts.installation is not None and (fault := facts.installation.fault(self._ours.name, self._ours.shards)) is not None:
            return Refuse(fault)
        return next_step(view, facts, self._runner.memory.witnesses(view, time.monotonic()), self._rules)

    async def _planned(self, view: ServerView, step: Step, facts: LedgerFacts) -> Outcome:
        return _outcome(view, step, await self._runner.plan(view, self._ledger, facts) if isinstance(step, Recover) else None)


def _outcome(view: ServerView, step: Step, recovered: Recovered | None = None) -> Outcome:
    return Outcome(view.shards, max(fence.incarnation for fence in view.fences.values()), step, recovered)


def _not_taken(step: Step, why: str) -> Wait | Refuse:
    """What is shown of a step that was not taken: it must not look as if it was."""
    return step if isinstance(step, Wait | Refuse) else Wait(f"nothing was opened, because {why}; repeat the command")


def _say_once(say: Say, said: str, reason: str) -> str:
    if reason != said:
        say(reason)
    return reason
