"""Compares the released orders that a sale counts for each buyer with the ledger, whose history has each of them.

Redis alone does not know them: an order that expired and was paid later is still counted.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from flashsale_audit import compare
from flashsale_audit.catch_up import CatchUp
from flashsale_audit.differences import Findings
from flashsale_audit.read_ledger import LedgerReader
from flashsale_audit.read_redis import RELEASED, RedisReader

LOOK_USERS = 1000
TRIES = 4
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
            rows = await self.ledger.buyers.released(self.sale_id, self.epoch, before)
            after = await self._counts(list(before))
            self.findings.add(compare.compare_released(self.sale_id, before, rows, after))
            # Nothing moved for the others, so they are right, or were just reported.
            before = {user: count for user, count in after.items() if count != before[user]}
            await self.pace()

    async def _counts(self, users: Sequence[str]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for first in range(0, len(users), LOOK_USERS):
            look = await self.redis.look(self.sale_id, user_ids=[f"{RELEASED}{user}" for user in users[first : first + LOOK_USERS]])
            counts |= {name.removeprefix(RELEASED): count for name, count in look.units.items()}
        return counts
