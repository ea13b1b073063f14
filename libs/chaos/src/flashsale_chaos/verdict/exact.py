"""Whether losses that came one at a time took exactly what the keeper reported, and nothing was written before the opening. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from flashsale_chaos.history import Ask
from flashsale_chaos.loss import Loss, Place
from flashsale_chaos.verdict.regressions import Regression
from flashsale_chaos.verdict.taken import Ledger, Shard, Taken, names_in
from flashsale_chaos.verdict.violations import Promise, Violation, broken
from flashsale_core.positions import Range, holes

Traces = Mapping[str, Sequence[tuple[Taken, bool]]]
"""By order or sale: the losses that took an entry about it, and whether the entry was counted."""


def judge_loss(loss: Loss, taken: Iterable[Taken], ledger: Ledger) -> Iterator[Violation]:
    for item in taken:
        known = next((row for row in ledger.shards[item.shard] if row.incarnation == item.place.incarnation), None)
        if known is not None:
            yield from broken(Promise.CLOSED, _written(item, known, loss.after.get(item.shard, Place(0, 0)), ledger))
            yield from broken(Promise.NOT_FORGOTTEN, _miscounted(item, known, ledger))


def judge_effects(effects: Iterable[Regression], traces: Traces) -> Iterator[Violation]:
    """What buyers were told of and is gone was in a counted entry."""
    yield from broken(Promise.NOT_FORGOTTEN, (words for effect in effects for words in _untraced(effect, traces.get(effect.order, ()))))


def traces_of(losses: Sequence[tuple[Loss, Sequence[Taken]]]) -> Traces:
    traces: dict[str, list[tuple[Taken, bool]]] = {}
    for loss, taken in losses:
        for item in taken:
            for number, position in enumerate(item.gone):
                for name in set(names_in(loss.outbox[position])):
                    traces.setdefault(name, []).append((item, number < item.reported))
    return traces


def _written(item: Taken, row: Shard, after: Place, ledger: Ledger) -> Iterator[str]:
    """Positions of the ended incarnation that were given after the loss: `kept_seq` is how far what came back was when it was halted."""
    highest = max((known.last for known in ledger.received.get((item.shard, row.incarnation), ())), default=0)
    if highest > item.place.seq:
        yield f"{_words(item)}, and the ledger received {highest}, which was not on the disk of Redis"
    kept = max(after.seq if after.incarnation == row.incarnation else 0, row.first_seq - 1)
    if row.kept_seq is None:
        yield f"{_words(item)}, and its incarnation did not end with the loss"
    elif row.kept_seq > kept:
        yield f"{_words(item)}, came back at {kept}, and was written up to {row.kept_seq} before it was recovered"


def _miscounted(item: Taken, row: Shard, ledger: Ledger) -> Iterator[str]:
    lacking = holes(ledger.received.get((item.shard, row.incarnation), ()), row.first_seq, item.place.seq)
    in_outbox = [Range(position.seq, position.seq) for position in item.gone if position.incarnation == row.incarnation]
    deleted = [hole for first, last in lacking for hole in holes(in_outbox, first, last)]
    if deleted:
        first = deleted[0]
        yield f"{_words(item)}, and the ledger lacks {first.first} to {first.last}, which had left the outbox"
    if item.reported > len(item.gone):
        yield f"{_words(item)}: {item.reported} entries were reported as lost, and {len(item.gone)} are gone"


def _untraced(effect: Regression, traces: Sequence[tuple[Taken, bool]]) -> Iterator[str]:
    later = [(item, counted) for item, counted in traces if item.lost_at > effect.since]
    if not later:
        yield f"{effect.order}: {effect.words}, and no entry about it was lost"
    # A reader is not answered a position, so what only a look showed may be in an entry that no gateway knew.
    elif effect.call.ask is not Ask.LOOK and not any(counted for _, counted in later) and effect.call.ended < later[-1][0].opened:
        item = later[-1][0]
        yield f"{effect.order}: {effect.words}, and its entry is not among the {item.reported} of {_words(item)} that were reported"


def _words(item: Taken) -> str:
    return f"shard {item.shard} was lost at {item.place.incarnation}.{item.place.seq}"
