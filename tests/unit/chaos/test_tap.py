"""What the tap keeps: the entries of the crowd's shard, each once, for as long as its sales last."""

from msgspec.structs import replace

from flashsale_chaos.tap import TappedLines
from flashsale_core.messages import Position
from tests.unit.chaos.rounds import Entries

SHARD = 3


def test_entry_that_was_published_twice_is_kept_once() -> None:
    published = [line.message for line in Entries().reserved("a").lines]
    tapped = TappedLines()
    tapped.add([*published, *published], SHARD, ["fast"])
    tapped.add(published, SHARD, ["fast"])
    assert [line.message for line in tapped.lines()] == published


def test_entries_of_other_shards_and_of_former_sales_are_dropped() -> None:
    published = [line.message for line in Entries().reserved("a").lines]
    tapped = TappedLines()
    tapped.add([replace(published[0], seq=Position(SHARD + 1, 1, 1)), published[1]], SHARD, ["fast"])
    assert [line.message for line in tapped.lines()] == published[1:]
    tapped.add(published[:1], SHARD, ["other"])
    assert [line.message for line in tapped.lines()] == published[:1]
