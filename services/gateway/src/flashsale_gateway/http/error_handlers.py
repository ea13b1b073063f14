"""What Starlette answers when a route raises: each error becomes a problem."""

import logging

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from flashsale_gateway.errors import GatewayError
from flashsale_gateway.http.problems import Problem
from flashsale_gateway.http.routes import ROUTES
from flashsale_gateway.http.translation import problem_of

log = logging.getLogger(__name__)


def _on_problem(_: Request, error: Exception) -> Response:
    problem = problem_of(error)
    assert problem is not None  # noqa: S101 - Starlette calls this for Problem and GatewayError only
    return problem.response()


def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code != 405:
        return Problem("not_found").response()
    # Starlette names the methods of the first route at this path; other routes there may have further ones.
    methods = {method for route in ROUTES if route.path_regex.match(request.url.path) for method in route.methods or ()}
    return Problem("method_not_allowed", allow=", ".join(sorted(methods))).response()


def _on_disconnect(_: Request, __: Exception) -> Response:
    """The client left before its body was complete: nobody reads this answer."""
    return Problem("bad_request").response()


def _on_fault(request: Request, error: Exception) -> Response:
    trace = {"trace_id": request.state.trace_id} if hasattr(request.state, "trace_id") else {}
    log.error("request.failed", extra={"path": request.url.path, **trace}, exc_info=error)
    return Problem("internal").response()


ERROR_HANDLERS = {
    Problem: _on_problem,
    GatewayError: _on_problem,
    ClientDisconnect: _on_disconnect,
    HTTPException: _on_http_exception,
    Exception: _on_fault,
}
