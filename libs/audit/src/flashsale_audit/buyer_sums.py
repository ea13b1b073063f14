"""Compares what a large sale counts for each buyer with the ledger, and units that differ with the buyer's orders in Redis.

Each order is compared with its row as well, so buyers who agree with the ledger agree with their orders in Redis. The ledger only leads to
those who may not: whether a buyer differs is judged by Redis alone.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from flashsale_audit.as_of import Units
from flashsale_audit.buyer_proof import BuyerProof
from flashsale_audit.buyer_rows import part_of
from flashsale_audit.catch_up import CatchUp
from flashsale_audit.read_ledger import LedgerReader
from flashsale_audit.read_redis import RELEASED, RedisReader
from flashsale_audit.released_audit import ReleasedAudit
from flashsale_audit.skipped import Skipped

PART_ORDERS = 400_000
"""The buyers of about this number of orders are in memory at once: some 60 MB."""
TRIES = 4
"""How often suspects are compared again: each time, those of whom nothing changed in the millisecond of the look are cleared."""
PROOF_MAX = 1000


@dataclass(frozen=True, slots=True)
class BuyerSums:
    redis: RedisReader
    ledger: LedgerReader
    catch_up: CatchUp
    sale_id: str
    epoch: int
    pace: Callable[[], Awaitable[None]]
    proof: BuyerProof
    released: ReleasedAudit
    skipped: Skipped

    async def run(self, orders: int) -> None:
        """Compare the buyers of a sale with about this number of orders."""
        parts = orders // PART_ORDERS + 1
        differing: set[str] = set()
        for part in range(parts):
            differing |= {name.decode() for name in await self._differing(parts, part)}
        released = {name for name in differing if name.startswith(RELEASED)}
        await self.released.run(name.removeprefix(RELEASED) for name in released)
        suspects = differing - released
        for _ in range(TRIES):
            if not suspects:
                break
            before, suspects = suspects, await self._still_differing(suspects)
            await self.pace()
            if suspects == before:
                break
        if len(suspects) > PROOF_MAX:
            words = f"{len(suspects)} buyers differ from the ledger, and {PROOF_MAX} of them are judged in a round"
            self.skipped.add(f"{self.sale_id} buyers", words, for_now=False)
        await self.proof.run(sorted(suspects)[:PROOF_MAX])

    async def _differing(self, parts: int, part: int) -> set[bytes]:
        """The counts of a part of the buyers that differed, although perhaps only because the sale moved between the reads."""
        rows = await self.ledger.buyers.counts(self.sale_id, self.epoch, parts=parts, part=part)
        differing: set[bytes] = set()
        async for page in self.redis.buyer_fields(self.sale_id):
            mine = page if parts == 1 else {name: count for name, count in page.items() if part_of(name, parts) == part}
            differing.update([name for name, count in mine.items() if rows.pop(name, b"0") != count])
            await self.pace()
        return differing | rows.keys()

    async def _still_differing(self, users: Collection[str]) -> set[str]:
        """Those among the users whose units were not what the ledger had at the same moment. Nobody while the ledger is behind."""
        counts = await self.redis.buyer_counts(self.sale_id, sorted(users))
        if not await self.catch_up.received():
            return set()
        rows = await self.ledger.as_of.units(self.sale_id, self.epoch, {user: seen.at_ms for user, seen in counts.items()})
        return {user for user, seen in counts.items() if rows[user] != Units(seen.number, is_exact=True)}
