"""The meaning of an answer to an order: one of six groups."""

from dataclasses import dataclass
from enum import StrEnum

HTTP_OK = 200
LIMITS = frozenset({"rate_limited", "user_limit", "order_limit"})
UNPROVEN_STATUSES = frozenset({401, 403})
"""The proof of who buys is missing, wrong, or of another buyer."""
REFUSED_STATUSES = UNPROVEN_STATUSES | frozenset({400, 404, 405, 409, 410, 413, 415, 422, 503})


class Group(StrEnum):
    ACCEPTED = "accepted"
    REPLAYED = "replayed"
    SOLD_OUT = "sold out"
    LIMITED = "limited"
    REFUSED = "refused"
    ERROR = "error"


@dataclass(frozen=True, slots=True, order=True)
class Outcome:
    group: Group
    code: str = ""
    status: int = 0
    """0 if there was no answer."""

    @property
    def unproven(self) -> bool:
        return self.group is Group.REFUSED and self.status in UNPROVEN_STATUSES


def classify(status: int, code: str, replayed: bool) -> Outcome:
    if status == HTTP_OK:
        return Outcome(Group.REPLAYED if replayed else Group.ACCEPTED, "", status)
    if code == "out_of_stock":
        return Outcome(Group.SOLD_OUT, code, status)
    if code in LIMITS:
        return Outcome(Group.LIMITED, code, status)
    if status in REFUSED_STATUSES and code:
        return Outcome(Group.REFUSED, code, status)
    return Outcome(Group.ERROR, f"http_{status}", status)


def failed(reason: str) -> Outcome:
    """The outcome of a request without an answer; the reason is `timeout`, `connection` or `not_sent`."""
    return Outcome(Group.ERROR, reason)
