"""What a request does to a refund in each state."""

from typing import Any

import msgspec
import pytest

from flashsale_ledger_api.problems import Problem
from flashsale_ledger_api.refund_changes import Change, Decision, Refund, RefundRequest, check, decide

DUE = Refund("due", 1_000, 0)
SENT = Refund("sent", 1_000, 1_000, reference="re_1")
FAILED = Refund("failed", 1_000, 0, reason="account closed")


def request(**fields: Any) -> RefundRequest:
    made = msgspec.convert(fields, RefundRequest)
    check(made)
    return made


@pytest.mark.parametrize("refund", [DUE, FAILED])
def test_open_refund_is_sent_with_its_whole_amount(refund: Refund) -> None:
    assert decide(refund, request(state="sent", reference="re_1")) == Change("sent", 1_000, "re_1", "")


def test_person_may_settle_a_part_as_all_that_is_paid_back() -> None:
    assert decide(DUE, request(state="sent", reference="re_1", amountMinor=400)) == Change("sent", 400, "re_1", "")


@pytest.mark.parametrize(("refund", "expected"), [(DUE, {}), (FAILED, {}), (SENT, {"expectedState": "sent"})])
def test_more_than_is_due_cannot_be_noted_as_sent(refund: Refund, expected: dict[str, str]) -> None:
    with pytest.raises(Problem) as raised:
        decide(refund, request(state="sent", reference="re_2", amountMinor=1_001, **expected))
    assert (raised.value.code, raised.value.document["field"]) == ("bad_request", "amountMinor")
    assert raised.value.document["detail"].startswith("At most 1000,")


def test_any_amount_is_noted_while_the_amount_due_is_not_known() -> None:
    """A rebuild restored the refund, and its payment's own message has not arrived."""
    assert decide(Refund("due", 0, 0), request(state="sent", reference="re_1", amountMinor=4_900)) == Change("sent", 4_900, "re_1", "")


def test_failure_keeps_what_the_provider_paid_in_part() -> None:
    assert decide(Refund("due", 1_000, 300), request(state="failed", reason="no account")) == Change("failed", 300, "", "no account")


def test_second_failure_for_another_reason_is_a_further_event() -> None:
    assert decide(FAILED, request(state="failed", reason="no such bank")) == Change("failed", 0, "", "no such bank")


def test_failed_refund_is_due_again() -> None:
    assert decide(FAILED, request(state="due", reason="new account")) == Change("due", 0, "", "new account")


@pytest.mark.parametrize(
    ("refund", "fields"),
    [
        (SENT, {"state": "sent", "reference": "re_1"}),
        (SENT, {"state": "sent", "reference": "re_1", "amountMinor": 1_000}),
        # An amount of before it was bounded.
        (Refund("sent", 1_000, 9_000, reference="re_1"), {"state": "sent", "reference": "re_1", "amountMinor": 9_000}),
        (FAILED, {"state": "failed", "reason": "account closed"}),
        (DUE, {"state": "due", "reason": "whatever"}),
    ],
)
def test_repeat_changes_nothing(refund: Refund, fields: dict[str, Any]) -> None:
    assert decide(refund, request(**fields)) is Decision.REPLAYED


@pytest.mark.parametrize(
    ("refund", "fields"),
    [
        (SENT, {"state": "sent", "reference": "re_2"}),
        (SENT, {"state": "sent", "reference": "re_1", "amountMinor": 900}),
        (SENT, {"state": "failed", "reason": "no account"}),
        (SENT, {"state": "due", "reason": "wrong refund"}),
        (DUE, {"state": "sent", "reference": "re_1", "expectedState": "failed"}),
        (FAILED, {"state": "sent", "reference": "re_1", "expectedState": "due"}),
    ],
)
def test_refund_in_another_state_is_left_alone(refund: Refund, fields: dict[str, Any]) -> None:
    assert decide(refund, request(**fields)) is Decision.CONFLICT


@pytest.mark.parametrize("state", ["due", "failed"])
def test_sent_refund_that_came_back_is_open_again_with_nothing_paid(state: str) -> None:
    assert decide(SENT, request(state=state, reason="came back", expectedState="sent")) == Change(state, 0, "", "came back")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"state": "sent"}, "reference"),
        ({"state": "failed"}, "reason"),
        ({"state": "due"}, "reason"),
        ({"state": "sent", "reference": "re_1", "reason": "because"}, "reason"),
        ({"state": "failed", "reason": "no account", "reference": "re_1"}, "reference"),
        ({"state": "due", "reason": "again", "amountMinor": 5}, "amountMinor"),
    ],
)
def test_missing_or_meaningless_field_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(Problem) as raised:
        request(**fields)
    assert (raised.value.code, raised.value.document["field"]) == ("bad_request", field)
