"""The verdict on what was written while Redis had to be closed."""

from flashsale_chaos.history import Call
from flashsale_chaos.verdict.closed import judge_closed
from tests.unit.chaos.rounds import FIRST, SECOND, ordered, paid

LOST = 19.0


def details(*calls: Call) -> list[str]:
    return [violation.detail for violation in judge_closed(calls, [LOST], [FIRST, SECOND])]


def test_write_between_a_loss_and_the_opening_is_a_violation() -> None:
    assert details(ordered("fast", "a", at=20.0), paid("fast", "b", "p", at=20.0)) == [
        "order of fast.a was answered accepted 1.10 s after a loss, before Redis was opened again",
        "pay of fast.b was answered paid 1.10 s after a loss, before Redis was opened again",
    ]


def test_answers_that_need_no_write_may_be_given_while_redis_is_closed() -> None:
    calls = (ordered("fast", "a", at=20.0, code="replayed"), ordered("fast", "b", at=20.0, status=503, code="recovering"))
    assert details(*calls, paid("fast", "c", "p", at=20.0, code="refund_due", reason="replayed")) == []


def test_writes_before_the_loss_and_after_the_opening_are_allowed() -> None:
    assert details(ordered("fast", "a", at=18.95), ordered("fast", "b", at=20.95), ordered("fast", "c", at=25.0)) == []
