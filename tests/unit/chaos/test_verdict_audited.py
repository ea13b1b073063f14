"""The verdict on what the audit after a round shows."""

from flashsale_audit.differences import Difference, Findings, Kind
from flashsale_audit.skipped import Skipped
from flashsale_chaos.verdict.audited import judge_audit


def details(findings: Findings, skipped: Skipped, forgotten: frozenset[str] = frozenset()) -> list[str]:
    return [violation.detail for violation in judge_audit(findings, skipped, forgotten)]


def findings(*subjects: str) -> Findings:
    differences = Findings()
    differences.add(Difference(Kind.BUYER_UNITS, subject, "they differ") for subject in subjects)
    return differences


def skipped(*, for_now: bool) -> Skipped:
    left_out = Skipped()
    left_out.add("fast", "shard 3 is not open", for_now=for_now)
    return left_out


def test_each_difference_is_a_violation() -> None:
    assert details(findings("fast u1"), Skipped()) == ["buyer_units: fast u1: they differ"]
    assert details(Findings(), Skipped()) == []


def test_what_the_audit_could_not_judge_is_a_violation() -> None:
    assert details(Findings(), skipped(for_now=True)) == ["the audit could not judge fast: shard 3 is not open"]


def test_what_no_audit_can_judge_is_no_violation() -> None:
    assert details(Findings(), skipped(for_now=False)) == []


def test_sale_whose_definition_was_lost_is_not_compared() -> None:
    subjects = ("gone", "gone.order", "gone u1", "fast.order")
    assert details(findings(*subjects), Skipped(), frozenset({"gone"})) == ["buyer_units: fast.order: they differ"]
