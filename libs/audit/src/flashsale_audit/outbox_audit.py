"""Finds outboxes that do not move: their oldest entry stays the oldest."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic

from flashsale_audit import compare
from flashsale_audit.differences import Difference
from flashsale_audit.read_redis import RedisReader

AGAIN_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class OutboxAudit:
    redis: RedisReader
    oldest: Mapping[str, bytes]
    """The oldest entry of each outbox when the audit began."""
    began_at: float

    @classmethod
    async def begin(cls, redis: RedisReader) -> "OutboxAudit":
        return cls(redis, await redis.oldest_entries(), monotonic())

    async def waiting(self, seconds: float) -> list[Difference]:
        """The outboxes whose oldest entry has waited since the audit began, which is at least `seconds` ago."""
        while stuck := await self._stuck():
            if monotonic() - self.began_at >= seconds:
                lengths = await self.redis.outbox_lengths()
                return list(compare.compare_outbox({stream: lengths[stream] for stream in stuck}, seconds))
            await asyncio.sleep(AGAIN_SECONDS)
        return []

    async def _stuck(self) -> list[str]:
        now = await self.redis.oldest_entries() if self.oldest else {}
        return [stream for stream, entry in self.oldest.items() if now.get(stream) == entry]
