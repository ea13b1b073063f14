"""Log in and out. A wrong name and a wrong password get the same answer after the same work."""

import logging
import secrets
import time
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from flashsale_console import metrics, requests, sessions
from flashsale_console.access import set_cookie
from flashsale_console.answers import page
from flashsale_console.services import Console, console_of
from flashsale_console.sessions import Session
from flashsale_console.users import User
from flashsale_core.passwords import hash_password

_NOBODY = hash_password(secrets.token_hex(16))
"""What the password of an unknown name is compared with, so that the time does not show which names exist."""
log = logging.getLogger(__name__)


async def show(request: Request) -> Response:
    values = requests.query(request, ("next",))
    target = local_path(values.get("next", "/"))
    return RedirectResponse(target, 303) if request.state.user else _form(request, target)


async def log_in(request: Request) -> Response:
    console = console_of(request)
    fields = await requests.form(request, console.settings)
    name, password, target = fields.get("name", "").strip().lower()[:80], fields.get("password", ""), local_path(fields.get("next", "/"))
    wait_seconds = console.attempts.wait_seconds(name, time.monotonic())
    if wait_seconds or console.passwords.is_busy:
        metrics.LOGINS.labels("limited").inc()
        error = f"Too many attempts. Try again in {-(-max(wait_seconds, 1) // 60)} min."
        response = _form(request, target, name, error, 429)
        response.headers["retry-after"] = str(max(wait_seconds, 1))
        return response
    user = await _checked(console, name, password)
    if user is None:
        console.attempts.failed(name, time.monotonic())
        metrics.LOGINS.labels("refused").inc()
        log.warning("login.refused", extra={"person": name})
        return _form(request, target, name, "The name or the password is wrong.", 401)
    console.attempts.succeeded(name)
    metrics.LOGINS.labels("accepted").inc()
    log.info("login.accepted", extra={"person": user.name, "role": user.role})
    return _begin(request, console, user, target)


async def log_out(request: Request) -> Response:
    console = console_of(request)
    console.ended_sessions.add(request.state.session.session_id)
    response = RedirectResponse("/login", 303)
    set_cookie(request, response, "")
    return response


def local_path(text: str) -> str:
    """`text` if it is a path of the console, else `/`: a link must not lead from the login to another site."""
    parts = urlsplit(text) if text.isprintable() and "\\" not in text else None
    is_local = parts is not None and not parts.scheme and not parts.netloc and text.startswith("/") and not text.startswith("//")
    return text if is_local and len(text) <= requests.QUERY_BYTES_MAX else "/"


def _begin(request: Request, console: Console, user: User, target: str) -> Response:
    now = int(time.time())
    session = Session(user.name, now, now, secrets.token_hex(16))
    response = RedirectResponse(target, 303, {"cache-control": "no-store"})
    set_cookie(request, response, sessions.write(session, console.settings.session_keys[0], user.line))
    return response


async def _checked(console: Console, name: str, password: str) -> User | None:
    """The user if the password is theirs."""
    user = console.users.get(name)
    is_right = await console.passwords.is_password(password, user.hashed if user else _NOBODY)
    return user if is_right else None


def _form(request: Request, target: str, name: str = "", error: str = "", status: int = 200) -> Response:
    return page(request, "login.html", {"next": target, "name": name, "error": error}, status)
