"""POST /session: exchange a proof for a buyer token, which costs less to check with each order."""

from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from flashsale_core.timestamps import rfc3339_of_ms
from flashsale_gateway import metrics
from flashsale_gateway.http import bodies
from flashsale_gateway.http.admin_audit import audited_service
from flashsale_gateway.http.body_schemas import SessionRequest, read_session
from flashsale_gateway.http.callers import buyer_of, caller_of
from flashsale_gateway.http.problems import Problem
from flashsale_gateway.http.translation import problem_of
from flashsale_gateway.identity.identities import Identities
from flashsale_gateway.identity_settings import Mode
from flashsale_gateway.settings import Settings

_WRONG_PROOFS = {
    Mode.BODY: "Send a JWT or a service key: anybody could get a token of anybody otherwise",
    Mode.TOKEN: "Send a JWT or a service key: a buyer token cannot be exchanged for a later one",
}


async def open_session(identities: Identities, scope: Scope, receive: Receive, settings: Settings) -> dict[str, Any]:
    """The answer, counted. Raises Problem and GatewayError, and ClientDisconnect when the client has left."""
    try:
        document = await _exchange(identities, scope, receive, settings)
    except ClientDisconnect:
        raise
    except Exception as error:
        problem = problem_of(error)
        metrics.SESSIONS.labels(problem.code if problem is not None else "internal").inc()
        raise
    metrics.SESSIONS.labels("issued").inc()
    return document


async def _exchange(identities: Identities, scope: Scope, receive: Receive, settings: Settings) -> dict[str, Any]:
    body = await bodies.read(receive, settings)
    if body:
        bodies.require_json(bodies.header(scope, b"content-type"))
    caller = caller_of(scope, identities)
    if caller.mode in _WRONG_PROOFS:
        raise Problem("unauthenticated", _WRONG_PROOFS[caller.mode])
    named = (read_session(body) if body else SessionRequest()).userId
    with audited_service(caller, "session.open", user_id=named or "") as change:
        user = buyer_of(caller.user, named)
        issued = identities.issue(user, caller.proven_until)
        if issued is None:
            raise Problem("not_found", "This shop has no buyer tokens: FLASHSALE_IDENTITY lacks the mode token")
        change.result = "opened"
    token, expires = issued
    return {"token": token, "userId": user, "expiresAt": rfc3339_of_ms(expires * 1000)}
