"""What the operator remembers of a resource between two looks at it."""

from flashsale_operator.cache import SHOWN_SECONDS, Memory
from tests.unit.operator.test_operator_plan import RESOURCE

OLD = {"phase": "Live", "stock": {"sold": 1}}
SOLD = {"phase": "Live", "stock": {"sold": 2}}
PAUSED = {"phase": "Paused", "stock": {"sold": 2}}


def test_numbers_alone_are_written_now_and_then() -> None:
    one = Memory().of(RESOURCE, OLD)
    one.stock_written = 100.0
    assert [one.worth_writing(SOLD, now, 10) for now in (100.0, 109.9, 110.0)] == [False, False, True]
    assert one.worth_writing(PAUSED, 100.0, 10)
    assert not one.worth_writing(dict(OLD), 1000.0, 10)


def test_what_was_written_and_never_shown_is_written_again() -> None:
    memory = Memory()
    one = memory.of(RESOURCE, OLD)
    one.status, one.stock_written = PAUSED, 100.0
    one.believe(100.0 + SHOWN_SECONDS)
    assert one.status == PAUSED
    one.believe(101.0 + SHOWN_SECONDS)
    assert one.worth_writing(PAUSED, 101.0, float("inf"))
    memory.show(RESOURCE.uid, 3, PAUSED)
    one.believe(102.0 + SHOWN_SECONDS)
    assert not one.worth_writing(PAUSED, 102.0, 0)


def test_a_resource_that_is_unknown_is_not_remembered_by_being_shown() -> None:
    memory = Memory()
    memory.show("other", 1, OLD)
    memory.forget("other")
    assert memory.all() == []
