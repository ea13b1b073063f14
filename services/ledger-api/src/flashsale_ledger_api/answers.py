"""Answers of the ledger-api: documents as JSON, and every error that a route raises as a problem."""

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from flashsale_core.errors import Retryable
from flashsale_core.problems import MEDIA_TYPE
from flashsale_ledger_api.problems import Problem

log = logging.getLogger(__name__)


def json(document: Any, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(document), headers={"cache-control": "no-store", **(headers or {})}, media_type="application/json")


def of_problem(problem: Problem) -> Response:
    return Response(problem.body, problem.status, problem.headers, MEDIA_TYPE)


def problem_of(error: Problem | Retryable) -> Problem:
    """What a refusal, or a Postgres that is away, means to a client."""
    return error if isinstance(error, Problem) else Problem("not_ready", str(error))


def _on_http_exception(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    allow = (error.headers or {}).get("Allow", "")
    return of_problem(Problem("method_not_allowed", allow=allow) if error.status_code == 405 else Problem("not_found"))


def _on_disconnect(_: Request, __: Exception) -> Response:
    """The client left before its body was complete: nobody reads this answer."""
    return of_problem(Problem("bad_request"))


def _on_fault(request: Request, error: Exception) -> Response:
    log.error("request.failed", extra={"path": request.url.path}, exc_info=error)
    return of_problem(Problem("internal"))


ERROR_HANDLERS = {
    ClientDisconnect: _on_disconnect,
    HTTPException: _on_http_exception,
    Exception: _on_fault,
}
