"""The verdict on losses that come one at a time: what is gone is exactly what the keeper reported."""

from typing import Any

from msgspec.structs import replace

from flashsale_chaos.history import Ask
from flashsale_chaos.loss import NOTHING, Loss, Outbox, Place, took_positions
from flashsale_chaos.verdict.exact import judge_effects, judge_loss, traces_of
from flashsale_chaos.verdict.regressions import Regression
from flashsale_chaos.verdict.taken import Ledger, Shard, taken_by
from flashsale_core.messages import Position
from flashsale_core.positions import Range
from tests.unit.chaos.rounds import Entries, asked, ordered

ENTRIES = Entries().reserved("a").reserved("b").reserved("c")
OUTBOX: Outbox = {line.position: [line.message] for line in ENTRIES.lines}
LOSS = Loss(20.0, {3: Place(1, 4)}, NOTHING, OUTBOX)
FIRST = Shard(1, 1, 0, 0, -50.0)


def ledger(received: int = 2, reported: int = 2, first: Shard = FIRST) -> Ledger:
    """The ledger received the positions up to `received`, and opened the shard again at 25."""
    return Ledger({3: [first, Shard(2, 1_000_005, reported, None, 25.0)]}, {(3, 1): [Range(1, received)]})


def of_loss(known: Ledger, loss: Loss = LOSS) -> list[str]:
    return [violation.detail for violation in judge_loss(loss, list(taken_by(loss, known)), known)]


def of_effects(known: Ledger, *effects: Regression) -> list[str]:
    return [violation.detail for violation in judge_effects(effects, traces_of([(LOSS, list(taken_by(LOSS, known)))]))]


def gone(order: str, at: float = 15.0, **more: Any) -> Regression:
    return Regression(f"fast.{order}", ordered("fast", order, at, **more), at, is_order=True, words="it is gone")


def test_entries_of_the_outbox_that_the_ledger_never_received_are_gone() -> None:
    (taken,) = taken_by(LOSS, ledger())
    assert (taken.gone, taken.reported) == ([Position(3, 1, 3), Position(3, 1, 4)], 2)
    assert of_loss(ledger()) == []


def test_more_reported_entries_than_are_gone_are_a_violation() -> None:
    assert of_loss(ledger(reported=3)) == ["shard 3 was lost at 1.4: 3 entries were reported as lost, and 2 are gone"]


def test_order_in_a_reported_entry_may_be_gone() -> None:
    assert of_effects(ledger(), gone("b"), gone("c")) == []


def test_order_beyond_the_reported_entries_must_not_have_been_answered() -> None:
    (words,) = of_effects(ledger(reported=1), gone("b"), gone("c"))
    assert words == "fast.c: it is gone, and its entry is not among the 1 of shard 3 was lost at 1.4 that were reported"


def test_what_only_a_look_showed_may_be_in_an_entry_that_no_gateway_knew() -> None:
    look = asked(Ask.LOOK, "fast", "c", 15.0, state="expired")
    assert of_effects(ledger(reported=1), gone("c")._replace(call=look)) == []


def test_order_in_no_lost_entry_was_lost_for_another_reason() -> None:
    assert of_effects(ledger(), gone("a")) == ["fast.a: it is gone, and no entry about it was lost"]
    assert of_effects(ledger(), gone("b", at=22.0)) == ["fast.b: it is gone, and no entry about it was lost"]


def test_entry_that_left_the_outbox_before_the_ledger_had_it_is_a_violation() -> None:
    without = {position: messages for position, messages in OUTBOX.items() if position.seq != 3}
    (words,) = of_loss(ledger(reported=1), replace(LOSS, outbox=without))
    assert words == "shard 3 was lost at 1.4, and the ledger lacks 3 to 3, which had left the outbox"


def test_position_beyond_the_disk_was_written_after_the_loss() -> None:
    assert "the ledger received 5, which was not on the disk of Redis" in of_loss(ledger(received=5, reported=0))[0]


def test_old_redis_must_not_be_written_before_it_is_recovered() -> None:
    old = replace(LOSS, after={3: Place(1, 2)})
    assert of_loss(ledger(first=FIRST._replace(kept_seq=2)), old) == []
    (words,) = of_loss(ledger(first=FIRST._replace(kept_seq=3)), old)
    assert words == "shard 3 was lost at 1.4, came back at 2, and was written up to 3 before it was recovered"


def test_loss_ends_the_incarnation() -> None:
    assert "its incarnation did not end with the loss" in of_loss(ledger(first=FIRST._replace(kept_seq=None)))[0]


def test_loss_is_what_takes_positions_from_a_shard() -> None:
    before = {1: Place(1, 5), 2: Place(2, 1_000_005)}
    assert not took_positions(before, before)
    assert took_positions(before, {**before, 1: Place(1, 4)})
    assert took_positions(before, {1: Place(1, 5)})
