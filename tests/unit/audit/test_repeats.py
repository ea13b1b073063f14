"""A check of the ledger is repeated after a time that grows with the orders, but at once while it names differences."""

from flashsale_audit.repeats import Repeats


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_clean_check_is_due_after_a_time_for_each_order() -> None:
    clock = Clock()
    repeats = Repeats(0.01, clock)
    assert repeats.is_due("money lamp")
    repeats.note("money lamp", 0)
    repeats.end_round(1_000)
    for clock.now, due in ((9.9, False), (10.0, True)):
        assert repeats.is_due("money lamp") is due


def test_check_that_names_differences_is_due_in_each_round() -> None:
    repeats = Repeats(0.01, Clock())
    for differences, due in ((0, False), (2, True), (0, False)):
        repeats.is_due("money lamp")
        repeats.note("money lamp", differences)
        repeats.end_round(1_000)
        assert repeats.is_due("money lamp") is due


def test_check_that_a_round_did_not_ask_for_is_forgotten() -> None:
    repeats = Repeats(0.01, Clock())
    repeats.note("money lamp", 0)
    repeats.end_round(1_000)
    assert repeats.is_due("money lamp")


def test_check_is_always_due_without_a_time() -> None:
    repeats = Repeats()
    repeats.is_due("money lamp")
    repeats.note("money lamp", 0)
    repeats.end_round(1_000)
    assert repeats.is_due("money lamp")
