"""One lost probe is no evidence against a wait queue that worked before; two are."""

from flashsale_timeout_worker.wait_verdicts import WaitVerdicts

WINDOW, OTHER = 5, 30


def test_queue_that_never_returned_a_probe_is_at_fault_at_once() -> None:
    verdicts = WaitVerdicts()
    assert verdicts.missed(WINDOW)
    assert verdicts.lost == {WINDOW}


def test_queue_that_worked_is_at_fault_after_two_lost_probes() -> None:
    verdicts = WaitVerdicts()
    verdicts.returned(WINDOW)
    assert not verdicts.missed(WINDOW)
    assert verdicts.lost == frozenset()
    assert verdicts.missed(WINDOW)
    assert verdicts.lost == {WINDOW}


def test_lost_probes_with_a_return_between_them_are_no_fault() -> None:
    verdicts = WaitVerdicts()
    for _ in range(3):
        verdicts.returned(WINDOW)
        assert not verdicts.missed(WINDOW)


def test_return_ends_the_fault() -> None:
    verdicts = WaitVerdicts()
    verdicts.missed(WINDOW)
    verdicts.returned(WINDOW)
    assert verdicts.lost == frozenset()


def test_queues_are_certain_once_the_last_probe_of_each_returned() -> None:
    verdicts = WaitVerdicts()
    verdicts.returned(WINDOW)
    assert not verdicts.is_certain(2)
    verdicts.returned(OTHER)
    assert verdicts.is_certain(2)
    verdicts.missed(OTHER)
    assert not verdicts.is_certain(2)
