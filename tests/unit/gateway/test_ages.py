"""Ages of entries while Redis' clock is right, ahead or set back."""

from flashsale_gateway.outbox.ages import ClaimPolicy, Head, StreamAges

NOW = 1_000_000_000_000
HOUR = 3_600_000


def test_age_follows_the_clock_that_wrote_the_entry() -> None:
    assert StreamAges().age_ms("s", Head("1-0", NOW - 7000), NOW, 5.0) == 7000


def test_entry_from_the_future_ages_by_our_own_clock() -> None:
    ages, head = StreamAges(), Head(f"{NOW + HOUR}-0", NOW + HOUR)
    assert [ages.age_ms("s", head, NOW, seconds) for seconds in (5.0, 6.5, 65.0)] == [0, 1500, 60_000]


def test_age_starts_at_zero_for_a_new_head_and_an_empty_stream() -> None:
    ages = StreamAges()
    ages.age_ms("s", Head("9-0", NOW + HOUR), NOW, 5.0)
    assert ages.age_ms("s", Head("9-1", NOW + HOUR), NOW, 10.0) == 0
    assert ages.age_ms("s", None, NOW, 20.0) == 0
    assert ages.age_ms("s", Head("9-1", NOW + HOUR), NOW, 30.0) == 0
    assert ages.age_ms("t", Head("9-1", NOW + HOUR), NOW, 30.0) == 0


def test_held_entry_is_claimed_by_our_own_clock_if_redis_clock_is_back() -> None:
    policy = ClaimPolicy(idle_ms=1000)
    policy.observe("s", "1-0 gone 1", 10)
    policy.observe("s", "1-0 gone 1", 13)
    assert policy.claim_idle_ms("s") == 1000
    policy.observe("s", "1-0 gone 1", 13.1)
    assert (policy.claim_idle_ms("s"), policy.claim_idle_ms("another")) == (0, 1000)
    policy.observe("s", "1-0 other 2", 14)
    assert policy.claim_idle_ms("s") == 1000
    policy.observe("s", None, 99)
    assert policy.claim_idle_ms("s") == 1000
