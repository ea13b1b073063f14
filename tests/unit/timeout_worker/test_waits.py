"""When a probe through a wait queue must be home, and what answers it."""

from flashsale_timeout_worker.waits import Question, due_ms


def test_a_probe_through_an_empty_queue_is_soon_home() -> None:
    assert due_ms(1_000, 1800, messages_ahead=0, timeout_seconds=5) == 6_000


def test_a_probe_behind_other_messages_may_wait_as_long_as_they_do() -> None:
    assert due_ms(1_000, 60, messages_ahead=1, timeout_seconds=5) == 126_000


def test_only_what_came_home_after_the_question_answers_it() -> None:
    question = Question(asked_ms=1_000, due_ms=6_000)
    assert [question.answered(home) for home in (None, 999, 1_000, 7_000)] == [False, False, True, True]
