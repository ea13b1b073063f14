"""A refused route rests for pauses that grow to a limit, and is then tried, first by one entry. Other routes go on."""

from flashsale_gateway.outbox.refused_routes import PAUSES_SECONDS, SOUND_ENTRIES, RefusedRoutes

BAD, GOOD = "order.reserved.60", "payment.recorded"
LATER = 1000.0


def refused(failures: int = 1) -> RefusedRoutes:
    routes = RefusedRoutes()
    routes.refuse(BAD, 1, 0.0)
    for _ in range(failures - 1):
        assert routes.allow(BAD, 9, LATER) == 1
        routes.refuse(BAD, 1, 0.0)
    return routes


def test_sound_route_allows_all_entries() -> None:
    routes = refused()
    assert (BAD in routes, GOOD in routes) == (True, False)
    assert routes.allow(GOOD, 1000, 0.0) == 1000


def test_refused_route_rests_and_is_tried_by_one_entry_at_a_time() -> None:
    routes, pause = refused(), PAUSES_SECONDS[0]
    assert [routes.allow(BAD, 9, now) for now in (0.0, pause - 0.01, pause, LATER)] == [0, 0, 1, 0]


def test_pauses_grow_to_their_limit_with_every_refused_try() -> None:
    for failures, pause in enumerate([*PAUSES_SECONDS, PAUSES_SECONDS[-1], PAUSES_SECONDS[-1]], 1):
        routes = refused(failures)
        assert [routes.allow(BAD, 9, now) for now in (pause - 0.01, pause)] == [0, 1]


def test_entries_refused_together_lengthen_the_pause_only_once() -> None:
    routes = refused()
    for _ in range(100):
        routes.refuse(BAD, 64, 0.0)
    assert routes.allow(BAD, 9, PAUSES_SECONDS[0]) == 1


def test_route_that_confirms_allows_more_until_it_is_sound() -> None:
    routes, tries = refused(), []
    while BAD in routes:
        tries.append(routes.allow(BAD, 1000, LATER))
        assert routes.confirm(BAD, tries[-1])
    assert tries == [1, 2, 4, 8, 16, 32, 64, 128, SOUND_ENTRIES][: len(tries)]
    assert tries[-1] >= SOUND_ENTRIES // 2
    assert not routes.confirm(BAD, 1)


def test_slow_queue_gets_its_share_and_the_others_get_few_copies() -> None:
    routes, now, room, taken, copies = refused(), 0.0, 0, 0, 0
    for _ in range(60_000):
        now, room = now + 0.01, min(room + 1, 3)
        if entries := routes.allow(BAD, 1000, now):
            if entries <= room:
                room, taken = room - entries, taken + entries
                routes.confirm(BAD, entries)
            else:
                copies += entries
                routes.refuse(BAD, entries, now)
    assert taken > 1000
    assert copies < 2 * taken


def test_try_that_is_refused_in_part_counts_as_refused() -> None:
    routes = refused()
    for _ in range(2):
        routes.confirm(BAD, routes.allow(BAD, 9, LATER))
    assert routes.allow(BAD, 9, LATER) == 4
    for _ in range(2):
        routes.refuse(BAD, 1, LATER)
        assert not routes.confirm(BAD, 1)
    assert [routes.allow(BAD, 9, now) for now in (LATER, 2 * LATER)] == [0, 1]


def test_try_that_the_broker_never_received_is_repeated() -> None:
    routes = refused()
    assert routes.allow(BAD, 9, LATER) == 1
    routes.drop(BAD, 1)
    routes.drop(GOOD, 1)
    assert routes.allow(BAD, 9, LATER) == 1
