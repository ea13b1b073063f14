from flashsale_core.backoff import Backoff


def test_pauses_grow_to_the_last() -> None:
    backoff = Backoff((0.5, 1.0, 2.0), sound_seconds=5)
    assert [backoff.pause_seconds(ran_seconds=0) for _ in range(4)] == [0.5, 1.0, 2.0, 2.0]


def test_long_try_resets_the_pauses() -> None:
    backoff = Backoff((0.5, 1.0, 2.0), sound_seconds=5)
    assert [backoff.pause_seconds(ran_seconds) for ran_seconds in (0, 5, 5.1, 0)] == [0.5, 1.0, 0.5, 1.0]


def test_success_resets_the_pauses() -> None:
    backoff = Backoff((0.5, 1.0, 2.0), sound_seconds=5)
    backoff.pause_seconds(0)
    backoff.reset()
    assert backoff.pause_seconds(0) == 0.5
