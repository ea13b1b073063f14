"""Compares the order of positions with real time: what ended before something else began comes first. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from flashsale_chaos.verdict.facts import Incarnation
from flashsale_chaos.verdict.stories import Story


class Placed(NamedTuple):
    """An accepted order with its place: it was reserved after `began` and before `ended`."""

    name: str
    seq: int
    began: float
    ended: float


def placed(
    stories: Mapping[str, Story], reserved_at: Mapping[str, tuple[int, int]], incarnations: Iterable[Incarnation]
) -> dict[int, list[Placed]]:
    """The accepted orders by incarnation, in the order of positions. Those that a rebuild may have announced again are left out."""
    opened = {known.number: known.opened for known in incarnations}
    by_incarnation: dict[int, list[Placed]] = {}
    for name, (incarnation, seq) in reserved_at.items():
        story = stories.get(name)
        accepted = story.accepted if story is not None else None
        if story is not None and accepted is not None and story.began > opened.get(incarnation, float("inf")):
            by_incarnation.setdefault(incarnation, []).append(Placed(name, seq, story.began, accepted.ended))
    return {incarnation: sorted(orders, key=lambda order: order.seq) for incarnation, orders in by_incarnation.items()}


def out_of_order(orders: Sequence[Placed]) -> Iterator[str]:
    """Each order that had ended before one with a lower position began."""
    latest: Placed | None = None
    for order in orders:
        if latest is not None and order.seq > latest.seq and order.ended < latest.began:
            yield f"{order.name} at {order.seq} was accepted before {latest.name} at {latest.seq} was asked for"
        if latest is None or order.began > latest.began:
            latest = order
