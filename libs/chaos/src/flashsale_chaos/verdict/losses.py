"""Whether what is gone can have been in the entries that the keeper reported as lost. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from flashsale_chaos.verdict.facts import Incarnation
from flashsale_chaos.verdict.regressions import Regression
from flashsale_chaos.verdict.violations import Promise, Violation, broken

CLOCK_SECONDS = 0.05
"""How exactly the ledger's clock is known by the crowd's."""
Excused = Callable[[int, float, float], bool]
"""Whether a gateway may have died with what it knew: an entry that only it knew is not counted (docs/proof.md)."""


def judge_losses(
    gone: Iterable[Regression], incarnations: Sequence[Incarnation], confirmed: Mapping[str, bool], excused: Excused
) -> Iterator[Violation]:
    """`confirmed`: by sale."""
    by_loss: dict[int, list[Regression]] = {}
    kept, causeless = [], []
    for item in gone:
        loss = _loss_of(item, incarnations)
        if item.is_order and confirmed[item.call.sale]:
            kept.append(_words(item))
        elif loss is None:
            causeless.append(f"{_words(item)}, and Redis lost nothing since")
        elif not excused(item.call.gateway, item.since, incarnations[loss].opened):
            by_loss.setdefault(loss, []).append(item)
    yield from broken(Promise.NOT_FORGOTTEN, kept)
    yield from broken(Promise.NOT_FORGOTTEN, causeless)
    yield from _judge_counts(by_loss, incarnations)


def _loss_of(item: Regression, incarnations: Sequence[Incarnation]) -> int | None:
    """The place of the first incarnation that can have begun without it: a master that was cut off may accept orders until then."""
    return next((place for place, known in enumerate(incarnations) if known.opened + CLOCK_SECONDS >= item.since), None)


def _judge_counts(by_loss: Mapping[int, Sequence[Regression]], incarnations: Sequence[Incarnation]) -> Iterator[Violation]:
    """From each loss on: no more entries may be gone than were reported from then on."""
    items: list[Regression] = []
    reported = 0
    for place in reversed(range(len(incarnations))):
        items += by_loss.get(place, [])
        reported += incarnations[place].lost_entries
        least = least_entries(items)
        if place in by_loss and least > reported:
            since = f"from incarnation {incarnations[place].number} on"
            examples = "; ".join(_words(item) for item in by_loss[place][:3])
            detail = f"{len(items)} effects in at least {least} entries are gone {since}, and {reported} entries were reported: {examples}"
            yield Violation(Promise.NOT_FORGOTTEN.value, detail)


def least_entries(items: Iterable[Regression]) -> int:
    """The fewest entries that can contain all of these: what two gateways did, or what did not overlap, was not in one script call."""
    by_gateway: dict[int, list[Regression]] = {}
    for item in items:
        by_gateway.setdefault(item.call.gateway, []).append(item)
    return sum(_fewest_moments([(item.since, item.call.ended) for item in of_one]) for of_one in by_gateway.values())


def _fewest_moments(spans: Iterable[tuple[float, float]]) -> int:
    """How many moments are needed so that each span contains one."""
    moments, last = 0, float("-inf")
    for began, ended in sorted(spans, key=lambda span: span[1]):
        if began > last:
            moments, last = moments + 1, ended
    return moments


def _words(item: Regression) -> str:
    return f"{item.order}: {item.words}"
