"""A refusal as a problem document (RFC 9457), in the form that every HTTP service of the engine answers with. Pure."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """What all problems of one code have in common."""

    status: int
    title: str
    retry_after_seconds: int | None = None


class Problem(Exception):  # noqa: N818 - it is the name of the thing (RFC 9457), not of an error class
    """A refusal. Each service has a table of the codes that it uses, and a subclass that looks them up."""

    def __init__(
        self,
        code: str,
        kind: Kind,
        detail: str = "",
        *,
        field: str = "",
        retry_after_seconds: int | None = None,
        allow: str = "",
        **more: Any,
    ) -> None:
        """`field` is the field that is wrong, `allow` the methods of a path, and `more` further members of the document."""
        super().__init__(code)
        self.code = code
        self.status = kind.status
        self.retry_after_seconds = kind.retry_after_seconds if retry_after_seconds is None else retry_after_seconds
        self.allow = allow
        self.document: dict[str, Any] = {
            "type": "about:blank",
            "title": kind.title,
            "status": kind.status,
            "code": code,
            **({"detail": detail} if detail else {}),
            **({"field": field} if field else {}),
            **more,
        }

    @property
    def challenge(self) -> str:
        """The WWW-Authenticate header (RFC 9110, 11.6.1); empty for none."""
        return "Bearer" if self.code == "unauthorized" else ""

    @cached_property
    def body(self) -> bytes:
        return msgspec.json.encode(self.document)

    @cached_property
    def headers(self) -> dict[str, str]:
        """The headers besides content type and length."""
        headers = {"cache-control": "no-store"}
        headers |= {"retry-after": str(self.retry_after_seconds)} if self.retry_after_seconds is not None else {}
        headers |= {"www-authenticate": challenge} if (challenge := self.challenge) else {}
        return headers | ({"allow": self.allow} if self.allow else {})
