"""Pages as answers: rendered templates, refusals, and the headers that every answer has."""

import logging
from collections.abc import Awaitable, Mapping
from typing import Any
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flashsale_console.render import TEMPLATES
from flashsale_core.errors import Retryable

HEADERS = {
    # Only the console's own files, and no inline script or style; nobody may frame it (Content Security Policy Level 3).
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    # Not `no-referrer`: with it, browsers send `Origin: null` with forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
log = logging.getLogger(__name__)


class PageError(Exception):
    """A page that cannot be shown, and why."""

    def __init__(self, status: int, title: str, detail: str = "") -> None:
        super().__init__(title)
        self.status, self.title, self.detail = status, title, detail


def page(request: Request, template: str, values: Mapping[str, Any], status: int = 200) -> Response:
    """A whole page of the console."""
    user = getattr(request.state, "user", None)
    # The template's name is in the page: tests see which ones they have looked at.
    text = TEMPLATES.get_template(template).render(user=user, path=request.url.path, template=template.removesuffix(".html"), **values)
    return HTMLResponse(text, status, {"cache-control": "no-store"})


def refused(request: Request, status: int, title: str, detail: str = "", headers: Mapping[str, str] | None = None) -> Response:
    # Where nobody has read the session, it is not known who asks: the first page leads to the login if that is needed.
    is_stranger = getattr(request.state, "user", request) is None
    response = page(request, "refused.html", {"title": title, "detail": detail, "is_stranger": is_stranger}, status)
    response.headers.update(headers or {})
    return response


def login_url(request: Request) -> str:
    query = f"?{request.url.query}" if request.url.query else ""
    return f"/login?next={quote(request.url.path + query, safe='')}"


async def rendered(request: Request, work: Awaitable[Response]) -> Response:
    """The answer, or the page of its fault."""
    try:
        return await work
    except PageError as error:
        return refused(request, error.status, error.title, error.detail)
    except Retryable as error:
        return refused(request, 503, "A server does not answer", f"{error}. Try again in a moment.", {"retry-after": "2"})
    except ClientDisconnect:
        return refused(request, 400, "The request was not complete")
    except Exception as error:
        log.error("request.failed", extra={"path": request.url.path}, exc_info=error)
        return refused(request, 500, "The console failed", "The log has the reason.")


def on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code == 405:
        return refused(request, 405, "This page cannot be used so", headers={"allow": (error.headers or {}).get("Allow", "")})
    return refused(request, 404, "There is no such page")


class SecureHeaders:
    """Adds HEADERS to every answer, whoever made it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._app(scope, receive, secured)
