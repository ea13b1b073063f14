"""HTTP requests of the commands: one session, and answers as values."""

import json
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

from flashsale_core.errors import Rejected, Retryable

LOCATION_SHOWN = 200
"""Characters of a redirect's target in an error."""
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    document: Any
    replayed: bool = False

    @property
    def code(self) -> str:
        """The code of a problem; empty if there is none."""
        return str(self.document.get("code", "")) if isinstance(self.document, dict) else ""


def open_session(timeout_seconds: float) -> aiohttp.ClientSession:
    """A session without a limit on connections, which are reused. Call it in a running event loop."""
    connector = aiohttp.TCPConnector(limit=0, enable_cleanup_closed=False)
    timeout = aiohttp.ClientTimeout(total=timeout_seconds)
    return aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())


def raise_open_files_limit() -> int:
    """Allow this process the most open files that the system permits; returns that number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


async def send_request(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Raises Retryable if there is no answer, and Rejected for a redirect.

    Followed, a POST would become a GET, or take a signed payment to another server, and a GET would lose its key on the way to https.
    """
    try:
        async with session.request(method, url, data=body, headers=headers, allow_redirects=False) as response:
            if response.status in _REDIRECTS:
                target = response.headers.get("Location", "")[:LOCATION_SHOWN]
                raise Rejected(f"{url} answers {response.status}, a redirect to {target!r}; give the URL that it leads to")
            replayed = response.headers.get("Idempotent-Replayed") == "true"
            return Answer(response.status, parse_json(await response.read()), replayed)
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise Retryable(f"{url} does not answer: {error or type(error).__name__}; is the stack up?") from error


def segment(text: str) -> str:
    """One segment of a path: with `#2` or `?` unquoted in it, `shoe#2` would end the sale `shoe`."""
    return quote(text, safe="")


def parse_json(body: bytes) -> Any:
    """None if the body is not JSON."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def document_of(answer: Answer, *statuses: int, server: str = "the gateway") -> Any:
    """The document of an answer with one of `statuses`. Raises Rejected with the server's problem text otherwise."""
    if answer.status in statuses and isinstance(answer.document, dict):
        return answer.document
    if answer.status in statuses:
        # A page of something else, such as the storefront or a proxy.
        raise Rejected(f"what answered {answer.status} is not {server}: no JSON object; is its URL right?")
    problem = answer.document if isinstance(answer.document, dict) else {}
    words = [str(problem[name]) for name in ("code", "field", "title", "detail") if problem.get(name)]
    raise Rejected(f"{server} answered {answer.status}: {': '.join(words)}")
