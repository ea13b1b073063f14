"""Who may use which operation: every route goes through `served`, which looks at the origin, the session and the role."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from flashsale_console import answers, metrics, sessions
from flashsale_console.services import Console, console_of
from flashsale_console.sessions import Limits, Session
from flashsale_console.users import Role, User

Handler = Callable[[Request], Awaitable[Response]]
SAFE = ("GET", "HEAD")


class Access(IntEnum):
    PUBLIC = 0
    VIEWER = 1
    MERCHANT = 2


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    name: str
    """For metrics and tests."""
    access: Access
    handler: Handler
    renews: bool = True
    """Whether it keeps a session alive. What a page asks for by itself does not: nobody may be there."""


def served(operation: Operation) -> Handler:
    """The handler, for requests that may use it, with every fault rendered, and measured."""

    async def handle(request: Request) -> Response:
        started, code = time.perf_counter(), 500
        try:
            response = await answers.rendered(request, _checked(operation, request))
            code = response.status_code
        finally:
            metrics.REQUESTS.labels(operation.name, str(code)).inc()
            metrics.REQUEST_SECONDS.labels(operation.name).observe(time.perf_counter() - started)
        return response

    return handle


async def _checked(operation: Operation, request: Request) -> Response:
    console = console_of(request)
    if not _is_own_origin(request, console):
        return answers.refused(request, 403, "This request comes from another site", f"Open the console at {console.settings.origins[0]}.")
    session, user = _session_and_user(request, console)
    request.state.session, request.state.user = session, user
    if operation.access is Access.PUBLIC:
        return await operation.handler(request)
    if session is None or user is None:
        return _to_login(request, operation)
    if operation.access is Access.MERCHANT and user.role is not Role.MERCHANT:
        return answers.refused(request, 403, "You may look, not change", f"{user.name} is a viewer; ask somebody with the role merchant.")
    response = await operation.handler(request)
    # A log-out has deleted the cookie.
    if operation.renews and "set-cookie" not in response.headers:
        _renew(request, response, console, session, user)
    return response


def _is_own_origin(request: Request, console: Console) -> bool:
    """Whether the request may be from a page of the console (RFC 6454; Fetch Metadata). A change without an Origin is from no browser."""
    given = request.headers.getlist("origin")
    if given:
        return len(given) == 1 and given[0].lower() in console.settings.origins and _site(request) in ("", "same-origin")
    return request.method in SAFE


def _site(request: Request) -> str:
    return request.headers.get("sec-fetch-site", "")


def _session_and_user(request: Request, console: Console) -> tuple[Session | None, User | None]:
    settings = console.settings
    text = request.cookies.get(cookie_name(request), "")
    limits = Limits(settings.session_seconds, settings.idle_seconds)
    session = sessions.read(text, settings.session_keys, console.users.line_of, limits, time.time()) if text else None
    if session is None or session.session_id in console.ended_sessions:
        return None, None
    return session, console.users.get(session.person)


def _to_login(request: Request, operation: Operation) -> Response:
    if request.method in SAFE and operation.renews:
        return RedirectResponse(answers.login_url(request), 303, {"cache-control": "no-store"})
    return answers.refused(request, 401, "Your session is over", "Log in again; nothing was changed.")


def _renew(request: Request, response: Response, console: Console, session: Session, user: User) -> None:
    settings = console.settings
    later = sessions.renewed(session, Limits(settings.session_seconds, settings.idle_seconds), time.time())
    if later is not None:
        set_cookie(request, response, sessions.write(later, settings.session_keys[0], user.line))


def is_secure(request: Request) -> bool:
    """Whether the browser reaches the console by TLS; without it only loopback is configured (`Settings.origins`)."""
    settings = console_of(request).settings
    return f"http://{request.headers.get('host', '').lower()}" not in settings.origins


def cookie_name(request: Request) -> str:
    # `__Host-`: the browser takes it only with Secure, for this host alone and every path (RFC 6265bis, 4.1.3.2).
    return "__Host-flashsale-console" if is_secure(request) else "flashsale-console"


def set_cookie(request: Request, response: Response, text: str) -> None:
    """Set the session; delete it if `text` is empty. Without an expiry it also ends with the browser."""
    name, secure = cookie_name(request), is_secure(request)
    if text:
        response.set_cookie(name, text, path="/", secure=secure, httponly=True, samesite="strict")
    else:
        response.delete_cookie(name, path="/", secure=secure, httponly=True, samesite="strict")
