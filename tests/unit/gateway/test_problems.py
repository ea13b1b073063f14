import msgspec
import pytest

from flashsale_core.problems import MEDIA_TYPE
from flashsale_gateway.http.problems import KINDS, Problem


def test_problem_contains_status_code_field_and_retry_after() -> None:
    problem = Problem("rate_limited", "slow down", field="userId", retry_after_seconds=7)
    start, body = problem.answer.messages()
    assert msgspec.json.decode(body["body"]) == {
        "type": "about:blank",
        "title": "Too many requests from this buyer",
        "status": 429,
        "code": "rate_limited",
        "detail": "slow down",
        "field": "userId",
    }
    assert dict(start["headers"]) == {
        b"content-type": MEDIA_TYPE.encode(),
        b"content-length": str(len(body["body"])).encode(),
        b"cache-control": b"no-store",
        b"retry-after": b"7",
    }


@pytest.mark.parametrize("code", KINDS)
def test_both_renderings_of_a_problem_agree(code: str) -> None:
    problem = Problem(code)
    response, (start, body) = problem.response(), problem.answer.messages()
    assert (response.status_code, response.body) == (start["status"], body["body"])
    assert dict(response.raw_headers) == dict(start["headers"])


@pytest.mark.parametrize("code", [code for code, kind in KINDS.items() if kind.status in (429, 503)])
def test_retryable_problems_have_a_retry_after(code: str) -> None:
    assert KINDS[code].retry_after_seconds is not None
