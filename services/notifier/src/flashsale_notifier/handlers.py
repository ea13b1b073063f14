"""The handler of the queue `shop.events`: decode, turn into events, write. Messages that can never be written are returned as poison."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from flashsale_consumer import Delivery, Poison, once_each
from flashsale_core.entry_ranges import position_of
from flashsale_core.errors import Rejected
from flashsale_core.messages import Message, read
from flashsale_notifier import metrics
from flashsale_notifier.repository import Repository
from flashsale_notifier.shop_messages import events_of

Decoded = tuple[int, Message]
"""A message, with the index of its delivery in the batch."""
LATE = "recovery had closed the incarnation of its entry, so its orders do not exist"
log = logging.getLogger(__name__)


class ShopEvents:
    def __init__(self, repository: Repository, wake: Callable[[Iterable[str]], None], *, with_reserved: bool) -> None:
        """`wake` gets the endpoints that have new deliveries."""
        self._repository, self._wake, self._with_reserved = repository, wake, with_reserved

    async def __call__(self, batch: Sequence[Delivery]) -> Sequence[Poison]:
        """Raises Retryable when Postgres is away; parts of the batch may be written by then, and a repeat is harmless."""
        decoded: list[Decoded] = []
        poisons: list[Poison] = []
        for index, delivery in enumerate(batch):
            messages, errors = read(delivery.body)
            decoded += [(index, message) for message in messages]
            if errors:
                poisons.append(Poison(index, "undecodable", errors[0]))
        late = await self._repository.late_positions({place for _, message in decoded if (place := position_of(message)) is not None})
        # Parked, as the order-worker does: nothing that the broker confirmed may disappear.
        poisons += [Poison(index, "late", LATE) for index, message in decoded if position_of(message) in late]
        in_time = [item for item in decoded if position_of(item[1]) not in late]
        return once_each([*poisons, *await self._write(in_time)])

    async def _write(self, decoded: Sequence[Decoded]) -> list[Poison]:
        """Write in one transaction. If it is rejected, the halves are written, until the message that cannot be written is alone."""
        if not decoded:
            return []
        try:
            await self._write_events([message for _, message in decoded])
        except (Rejected, ValueError, OverflowError) as error:
            if len(decoded) == 1:
                return [Poison(decoded[0][0], "rejected", f"{type(error).__name__}: {error}")]
            middle = len(decoded) // 2
            return [*await self._write(decoded[:middle]), *await self._write(decoded[middle:])]
        return []

    async def _write_events(self, messages: Sequence[Message]) -> None:
        events = events_of(messages, with_reserved=self._with_reserved)
        self._wake(await self._repository.write_events(events))
        for kind, count in Counter(event.type for event in events).items():
            metrics.EVENTS.labels(kind.value).inc(count)
