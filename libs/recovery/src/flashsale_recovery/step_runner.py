"""Carries out a step that `next_step` decided. The keeper and `flashsale recover` both come here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

from redis.asyncio import Redis

from flashsale_core.scripts import Scripts
from flashsale_recovery.facts import LedgerFacts, ServerView, restricted
from flashsale_recovery.fencing import accept_history
from flashsale_recovery.ledger import Ledger
from flashsale_recovery.memory import Memory
from flashsale_recovery.outcome import Options, Recovered
from flashsale_recovery.recovery import Recovery
from flashsale_recovery.steps import Drain, Initialise, Nothing, Record, Recover, Refuse, Reopen, Reseal, Step, Wait

Say = Callable[[str], None]


class Done(NamedTuple):
    incarnations: Mapping[int, int] = {}
    """The new incarnations of shards that were opened without a rebuild."""
    recovered: Recovered | None = None
    """If the server was rebuilt."""


@dataclass(frozen=True, slots=True)
class StepRunner:
    redis: Redis
    scripts: Scripts
    options: Options
    clock: Callable[[], float]
    """In seconds; it never goes back."""
    memory: Memory = field(default_factory=Memory)

    async def run(self, step: Step, view: ServerView, ledger: Ledger | None, facts: LedgerFacts | None, say: Say) -> Done:
        """Only `Reseal` works without the ledger. `say` gets what a step waits for. Raises as the steps of `Recovery` do."""
        witnesses = self.memory.witnesses(view, self.clock())
        match step:
            case Nothing() | Wait() | Refuse():
                pass
            case Reseal():
                await accept_history(self.redis, self.scripts, view, step.shards)
            case Initialise():
                await self._recovery(ledger, facts).initialise(view, step.shards)
            case Record():
                await self._recovery(ledger, facts).record(view, step)
            case Reopen():
                return Done(await self._recovery(ledger, facts).reopen(restricted(view, step.shards), witnesses))
            case Drain():
                self.memory.mark_drained(view, await self._recovery(ledger, facts).drain(view, witnesses, say))
            case Recover():
                return Done(recovered=await self._recovery(ledger, facts).recover(view, witnesses, say))
            case _:
                assert_never(step)
        return Done()

    async def plan(self, view: ServerView, ledger: Ledger, facts: LedgerFacts) -> Recovered:
        """What a rebuild would do now. Writes nothing."""
        return await self._recovery(ledger, facts).plan(view, self.memory.witnesses(view, self.clock()))

    def _recovery(self, ledger: Ledger | None, facts: LedgerFacts | None) -> Recovery:
        assert ledger is not None  # noqa: S101 - these steps are only decided with the ledger's facts
        assert facts is not None  # noqa: S101 - as above
        return Recovery(self.redis, self.scripts, ledger, facts, self.options)
