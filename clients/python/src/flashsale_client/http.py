"""One HTTP request and its answer, by the standard library."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPException
from typing import Any

from flashsale_client.timed import TimedHandler, TimedSecureHandler

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    """With names in small letters."""
    body: bytes = b""

    def json(self) -> Json | None:
        """The body if it is a JSON object."""
        try:
            document = json.loads(self.body)
        except ValueError:
            return None
        return document if isinstance(document, dict) else None


Send = Callable[[str, str, Mapping[str, str], bytes | None, float], Answer]
"""(method, url, headers, body, seconds); raises OSError when no answer arrives."""


def send(method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_seconds: float) -> Answer:
    """Raises OSError when the whole answer does not arrive in time. Any status is an answer, and so is a redirect: none is followed."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"the URL must begin with http:// or https://, not {url!r}")
    request = urllib.request.Request(url, body, dict(headers), method=method)  # noqa: S310 - the scheme is checked
    try:
        with _open(request, timeout_seconds) as response:
            return _answer(response)
    except HTTPException as error:
        # Also a refusal whose body ends too early.
        raise OSError(f"no HTTP answer: {error!r}") from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Urllib would follow one as a GET, and send the token to whatever server it names."""

    def redirect_request(self, *_: Any) -> None:
        return None


@cache
def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirect, TimedHandler, TimedSecureHandler)


def _open(request: urllib.request.Request, timeout_seconds: float) -> Any:
    try:
        return _opener().open(request, timeout=timeout_seconds)
    except urllib.error.HTTPError as response:
        return response


def _answer(response: Any) -> Answer:
    return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, response.read())
