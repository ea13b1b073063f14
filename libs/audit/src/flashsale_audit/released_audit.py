"""Compares the released orders that a sale counts for each buyer with the ledger, whose history has each of them.

Redis alone does not know them: an order that expired and was paid later is still counted.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from flashsale_audit import compare
from flashsale_audit.catch_up import CatchUp
from flashsale_audit.differences import Findings
from flashsale_audit.facts import Counted
from flashsale_audit.read_ledger import LedgerReader
from flashsale_audit.read_redis import RELEASED, RedisReader

TRIES = 6
"""How often a buyer is compared again whose orders were released meanwhile. Then the next round does."""


@dataclass(frozen=True, slots=True)
class ReleasedAudit:
    redis: RedisReader
    ledger: LedgerReader
    catch_up: CatchUp
    sale_id: str
    epoch: int
    findings: Findings
    pace: Callable[[], Awaitable[None]]

    async def run(self, users: Iterable[str]) -> None:
        """Report those among the users whose count is wrong. While the ledger is behind or lacks entries, nobody is: that is one itself."""
        before = await self._counts(sorted(users))
        for _ in range(TRIES):
            if not before or not await self.catch_up.received() or self.catch_up.has_holes:
                return
            rows = await self.ledger.as_of.released(self.sale_id, self.epoch, {user: seen.at_ms for user, seen in before.items()})
            after = await self._counts(list(before))
            self.findings.add(compare.compare_released(self.sale_id, _numbers(before), rows, _numbers(after)))
            # Nothing moved for the others, so they are right, or were just reported. A count that was right at its moment is right as well;
            # only a clock that was set back can make it look so, and then the next round compares it again.
            before = {
                user: seen
                for user, seen in after.items()
                if seen.number != before[user].number and before[user].number != rows[user].before_moment
            }
            await self.pace()

    async def _counts(self, users: Sequence[str]) -> dict[str, Counted]:
        counts = await self.redis.buyer_counts(self.sale_id, [f"{RELEASED}{user}" for user in users])
        return {name.removeprefix(RELEASED): seen for name, seen in counts.items()}


def _numbers(counted: Mapping[str, Counted]) -> dict[str, int]:
    return {user: seen.number for user, seen in counted.items()}
