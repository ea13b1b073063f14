"""A route that is refused rests and is tried, first by one entry, for pauses that grow to a bound; other routes know nothing of it."""

from flashsale_gateway.outbox.refused_routes import PAUSES_SECONDS, SOUND_ENTRIES, Refusals

BAD, GOOD = "order.reserved.60", "payment.recorded"
LATER = 1000.0


def refused(failures: int = 1) -> Refusals:
    refusals = Refusals()
    refusals.refuse(BAD, 1, 0.0)
    for _ in range(failures - 1):
        assert refusals.take(BAD, 9, LATER) == 1
        refusals.refuse(BAD, 1, 0.0)
    return refusals


def test_a_sound_route_takes_all() -> None:
    refusals = refused()
    assert (BAD in refusals, GOOD in refusals) == (True, False)
    assert refusals.take(GOOD, 1000, 0.0) == 1000


def test_a_refused_route_rests_and_is_tried_by_one_entry_at_a_time() -> None:
    refusals, pause = refused(), PAUSES_SECONDS[0]
    assert [refusals.take(BAD, 9, now) for now in (0.0, pause - 0.01, pause, LATER)] == [0, 0, 1, 0]


def test_pauses_grow_to_their_bound_with_every_try_that_is_refused() -> None:
    for failures, pause in enumerate([*PAUSES_SECONDS, PAUSES_SECONDS[-1], PAUSES_SECONDS[-1]], 1):
        refusals = refused(failures)
        assert [refusals.take(BAD, 9, now) for now in (pause - 0.01, pause)] == [0, 1]


def test_what_was_sent_together_with_the_first_refused_makes_the_pause_no_longer() -> None:
    refusals = refused()
    for _ in range(100):
        refusals.refuse(BAD, 64, 0.0)
    assert refusals.take(BAD, 9, PAUSES_SECONDS[0]) == 1


def test_a_route_that_confirms_takes_more_and_more_until_it_is_sound() -> None:
    refusals, tries = refused(), []
    while BAD in refusals:
        tries.append(refusals.take(BAD, 1000, LATER))
        assert refusals.confirm(BAD, tries[-1])
    assert tries == [1, 2, 4, 8, 16, 32, 64, 128, SOUND_ENTRIES][: len(tries)]
    assert tries[-1] >= SOUND_ENTRIES // 2
    assert not refusals.confirm(BAD, 1)


def test_a_queue_that_drains_slowly_gets_its_share_and_the_others_few_copies() -> None:
    refusals, now, room, taken, copies = refused(), 0.0, 0, 0, 0
    for _ in range(60_000):
        now, room = now + 0.01, min(room + 1, 3)
        if entries := refusals.take(BAD, 1000, now):
            if entries <= room:
                room, taken = room - entries, taken + entries
                refusals.confirm(BAD, entries)
            else:
                copies += entries
                refusals.refuse(BAD, entries, now)
    assert taken > 1000
    assert copies < 2 * taken


def test_a_try_that_is_refused_in_part_is_refused() -> None:
    refusals = refused()
    for _ in range(2):
        refusals.confirm(BAD, refusals.take(BAD, 9, LATER))
    assert refusals.take(BAD, 9, LATER) == 4
    for _ in range(2):
        refusals.refuse(BAD, 1, LATER)
        assert not refusals.confirm(BAD, 1)
    assert [refusals.take(BAD, 9, now) for now in (LATER, 2 * LATER)] == [0, 1]


def test_a_try_that_the_broker_never_saw_is_made_again() -> None:
    refusals = refused()
    assert refusals.take(BAD, 9, LATER) == 1
    refusals.drop(BAD, 1)
    refusals.drop(GOOD, 1)
    assert refusals.take(BAD, 9, LATER) == 1
