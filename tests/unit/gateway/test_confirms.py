"""Waits for the broker's confirm: how each of them ends, and how a batch is divided by them."""

import asyncio
from time import monotonic

import pytest

from flashsale_core.records import Entry
from flashsale_gateway.errors import Unconfirmed
from flashsale_gateway.outbox.confirms import Confirms
from flashsale_gateway.provisional import Confirm, Provisional, hold_back

LONG_SECONDS, SHORT_SECONDS = 60, 0.01


def entry(entry_id: str, stream: str = "direct") -> Entry:
    return Entry(stream, entry_id, "payment.recorded", b"{}")


async def test_confirm_ends_the_waits_of_its_entries_and_no_other() -> None:
    confirms = Confirms(LONG_SECONDS)
    first, second, other_stream = (confirms.wait_for(each, monotonic()) for each in (entry("1"), entry("2"), entry("1", "other")))
    confirms.confirm([entry("1"), entry("3")])
    assert (first.done(), second.done(), other_stream.done()) == (True, False, False)
    assert await first


async def test_wait_ends_unconfirmed_after_its_limit_and_a_late_confirm_is_harmless() -> None:
    confirms = Confirms(SHORT_SECONDS)
    assert not await asyncio.wait_for(confirms.wait_for(entry("1"), monotonic()), 5)
    confirms.confirm([entry("1")])


async def test_confirm_that_a_paused_gateway_sees_late_does_not_count() -> None:
    now = 100.0
    confirms = Confirms(LONG_SECONDS, lambda: now)
    in_time, late = confirms.wait_for(entry("1"), now), confirms.wait_for(entry("2"), now)
    now += LONG_SECONDS
    confirms.confirm([entry("1")])
    # The timer of the loop has not run, because the process was paused.
    now += 1
    confirms.confirm([entry("2")])
    assert [await wait for wait in (in_time, late)] == [True, False]


async def test_limit_counts_from_the_start_of_the_script_call() -> None:
    confirms = Confirms(LONG_SECONDS)
    assert not await asyncio.wait_for(confirms.wait_for(entry("1"), monotonic() - LONG_SECONDS), 5)


async def test_entry_that_gets_the_name_of_a_lost_one_ends_its_wait() -> None:
    confirms = Confirms(LONG_SECONDS)
    lost, present = confirms.wait_for(entry("1"), monotonic()), confirms.wait_for(entry("1"), monotonic())
    confirms.confirm([entry("1")])
    assert [await asyncio.wait_for(wait, 5) for wait in (lost, present)] == [False, True]


async def test_all_waits_end_unconfirmed_with_the_gateway() -> None:
    confirms = Confirms(LONG_SECONDS)
    waits = [confirms.wait_for(entry(str(number)), monotonic()) for number in range(3)]
    confirms.give_up()
    assert await asyncio.gather(*waits) == [False] * 3


async def test_confirm_of_a_wait_that_was_cancelled_is_harmless() -> None:
    confirms = Confirms(LONG_SECONDS)
    confirms.wait_for(entry("1"), monotonic()).cancel()
    confirms.confirm([entry("1")])


async def test_batch_is_divided_into_answers_that_are_final_and_those_that_wait() -> None:
    confirm: Confirm = asyncio.get_running_loop().create_future()
    late, error, unconfirmed = Provisional(2, confirm, Unconfirmed()), ValueError(), Unconfirmed()
    ready, final, held = hold_back(["a", "b", "c", "d"], [1, late, error, Provisional(3, confirm, unconfirmed)])
    assert (ready, final) == (["a", "c"], [1, error])
    assert {key: [waiter for waiter, _ in pairs] for key, pairs in held.items()} == {confirm: ["b", "d"]}
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        hold_back(["a", "b"], [1])


@pytest.mark.parametrize("confirmed", [True, False])
async def test_provisional_answer_counts_only_when_confirmed(confirmed: bool) -> None:
    confirm: Confirm = asyncio.get_running_loop().create_future()
    provisional = Provisional("paid", confirm, Unconfirmed())
    confirm.set_result(confirmed)
    assert provisional.final() == "paid" if confirmed else isinstance(provisional.final(), Unconfirmed)
