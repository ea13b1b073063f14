"""Errors below HTTP as problems: the same codes, details and Retry-After for every one of them."""

import pytest

from flashsale_gateway.errors import GatewayError, NotReady, OutcomeUnknown, Overloaded, StoreUnavailable
from flashsale_gateway.http.problems import Problem
from flashsale_gateway.http.translation import problem_of


@pytest.mark.parametrize(
    ("error", "code", "detail", "retry_after_seconds"),
    [
        (Overloaded(), "overloaded", None, 1),
        (OutcomeUnknown(), "outcome_unknown", None, 1),
        (StoreUnavailable("OOM command not allowed"), "not_ready", "OOM command not allowed", 2),
        (StoreUnavailable(), "not_ready", None, 2),
        (NotReady("Redis evicts keys"), "not_ready", "Redis evicts keys", 2),
    ],
)
def test_error_becomes_its_problem(error: GatewayError, code: str, detail: str | None, retry_after_seconds: int) -> None:
    problem = problem_of(error)
    assert problem is not None
    assert (problem.code, problem.document.get("detail"), problem.retry_after_seconds) == (code, detail, retry_after_seconds)


def test_problem_stays_itself_and_a_fault_of_ours_has_none() -> None:
    problem = Problem("ended")
    assert (problem_of(problem), problem_of(ValueError("bug"))) == (problem, None)


def test_every_error_has_a_problem() -> None:
    assert [kind for kind in GatewayError.__subclasses__() if problem_of(kind()) is None] == []


def test_answer_of_a_stampede_is_rendered_once() -> None:
    for kind in (Overloaded, OutcomeUnknown, StoreUnavailable):
        first, second = problem_of(kind()), problem_of(kind())
        assert first is second
