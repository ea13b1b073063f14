"""When a probe through a wait queue must have returned, and what answers it."""

from flashsale_timeout_worker.wait_probes import WaitProbe, due_ms


def test_probe_through_an_empty_queue_is_due_after_the_timeout() -> None:
    assert due_ms(1_000, 1800, messages_ahead=0, timeout_seconds=5) == 6_000


def test_probe_behind_other_messages_has_two_payment_windows_more() -> None:
    assert due_ms(1_000, 60, messages_ahead=1, timeout_seconds=5) == 126_000


def test_only_a_return_after_the_probe_was_sent_answers_it() -> None:
    probe = WaitProbe(sent_ms=1_000, due_ms=6_000)
    assert [probe.is_answered(returned_ms) for returned_ms in (None, 999, 1_000, 7_000)] == [False, False, True, True]
