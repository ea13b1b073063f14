"""A lane: the waiting items of sales that may share a call, and how a batch is taken from them fairly."""

from itertools import islice
from typing import Generic, Protocol, TypeVar

OVERLAP_ITEMS = 24
"""How many items must wait before a second call overlaps the first: below that, one larger batch is cheaper than two small ones."""
CALLS_MAX = 2
"""The most calls at once in a lane."""
Item = TypeVar("Item")
Answer = TypeVar("Answer")
Received = TypeVar("Received", contravariant=True)


class Waiter(Protocol[Received]):
    """Receives an answer: an asyncio.Future, or less. What its methods raise is logged; the others of the batch get their answers."""

    def done(self) -> bool: ...

    def set_result(self, result: Received, /) -> None: ...

    def set_exception(self, error: BaseException, /) -> None: ...


class Queue(Generic[Item, Answer]):
    """The waiting items of one sale."""

    __slots__ = ("items", "waiters")

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.waiters: list[Waiter[Answer]] = []

    def split(self, count: int) -> "Queue[Item, Answer]":
        """Remove and return the first `count`."""
        first: Queue[Item, Answer] = Queue()
        first.items, self.items = self.items[:count], self.items[count:]
        first.waiters, self.waiters = self.waiters[:count], self.waiters[count:]
        return first


class Lane(Generic[Item, Answer]):
    """The waiting items of sales that may share a call; the sale whose turn is next comes first."""

    def __init__(self) -> None:
        self.calls = 0
        self.waiting = 0
        self.progress_at = 0.0
        """When a batch was last taken, or an item was added to an empty lane: the age of waiting items counts from here."""
        self.called_at: dict[object, float] = {}
        """When each running call began, by its task."""
        self._sales: dict[str, Queue[Item, Answer]] = {}

    @property
    def wants_call(self) -> bool:
        return self.calls == 0 or (self.calls < CALLS_MAX and self.waiting >= OVERLAP_ITEMS)

    def add(self, sale_id: str, item: Item, waiter: Waiter[Answer]) -> None:
        queue = self._sales.get(sale_id)
        if queue is None:
            queue = self._sales[sale_id] = Queue()
        queue.items.append(item)
        queue.waiters.append(waiter)
        self.waiting += 1

    def age_seconds(self, now: float) -> float:
        """How long the lane has made no progress: items wait and no batch was taken, or a call is running."""
        since = [*self.called_at.values(), *([self.progress_at] if self.waiting else [])]
        return now - min(since) if since else 0.0

    def take(self, most: int) -> dict[str, Queue[Item, Answer]]:
        """Remove and return at most `most` items: all, or each sale's fair share, so that a stampede for one does not delay the others.

        Fair means max-min fair: a sale that wants less than an equal share gets what it wants, and the others share the rest.
        """
        if self.waiting <= most:
            taken, self._sales, self.waiting = self._sales, {}, 0
            return taken
        names = list(islice(self._sales, most))
        taken, left = {}, most
        for place, name in enumerate(sorted(names, key=lambda name: len(self._sales[name].items))):
            share = left // (len(names) - place)
            queue = self._sales.pop(name)
            if len(queue.items) <= share:
                taken[name] = queue
            else:
                taken[name] = queue.split(share)
                # Behind the sales that had no turn this time.
                self._sales[name] = queue
            left -= len(taken[name].items)
        self.waiting -= most - left
        return taken
