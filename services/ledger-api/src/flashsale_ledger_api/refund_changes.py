"""What a request may do to a refund. Pure.

A refund that is due or failed may be changed by anybody. One that is sent is changed only by a request that says so with `expectedState`:
of two people who settle one refund at once, the first one wins and the other one sees it.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from flashsale_ledger_api.problems import Problem

State = Literal["due", "sent", "failed"]
AMOUNT_MAX = 10**12
Reference = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[!-~]+(?![\s\S])")]
Reason = Annotated[str, Meta(min_length=1, max_length=1000)]


class RefundRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /admin/refunds/{id}."""

    state: State
    reference: Reference | UnsetType = UNSET
    """The provider's id of the refund; for `sent`, and needed there."""
    reason: Reason | UnsetType = UNSET
    """Why it failed, or is due again; needed for `failed`, and for `due`."""
    amountMinor: Annotated[int, Meta(gt=0, le=AMOUNT_MAX)] | UnsetType = UNSET  # noqa: N815 - the API's name
    """What the buyer has been paid back in all, for `sent`: at most the whole amount, and that if left out."""
    expectedState: State | UnsetType = UNSET  # noqa: N815 - the API's name
    """The state that the sender has seen; the request is refused in any other."""


@dataclass(frozen=True, slots=True)
class Refund:
    """What the ledger has of a refund that is to be changed. `reference` and `reason` are those of its last change."""

    state: str
    amount_minor: int
    """0 while it is not known."""
    refunded_minor: int
    reference: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    to_state: State
    refunded_minor: int
    reference: str
    reason: str


class Decision(Enum):
    REPLAYED = "replayed"
    """The refund is already as the request wants it."""
    CONFLICT = "conflict"
    """It is in a state from which the request does not lead."""


def check(request: RefundRequest) -> None:
    """Raises Problem(bad_request) that names the field that is missing, or has no meaning in this state."""
    needed, others = ("reference", ("reason",)) if request.state == "sent" else ("reason", ("reference", "amountMinor"))
    if getattr(request, needed) is UNSET:
        words = "the provider's id of the refund" if needed == "reference" else "why it failed, or why it is due again"
        raise Problem("bad_request", f"Is needed for the state {request.state}: {words}", field=needed)
    for name in others:
        if getattr(request, name) is not UNSET:
            raise Problem("bad_request", f"Has no meaning for the state {request.state}; leave it out", field=name)


def decide(refund: Refund, request: RefundRequest) -> Change | Decision:
    """What a checked request does to the refund. Raises Problem(bad_request) if it pays back more than is due."""
    change = _change(refund, request)
    if _is_done(refund, change):
        return Decision.REPLAYED
    expected = ("due", "failed") if request.expectedState is UNSET else (request.expectedState,)
    if refund.state not in expected:
        return Decision.CONFLICT
    if refund.amount_minor and request.amountMinor is not UNSET and request.amountMinor > refund.amount_minor:
        words = f"At most {refund.amount_minor}, the amount of this refund; leave it out if all of that was paid back"
        raise Problem("bad_request", words, field="amountMinor")
    return change


def _change(refund: Refund, request: RefundRequest) -> Change:
    reference = "" if request.reference is UNSET else request.reference
    reason = "" if request.reason is UNSET else request.reason
    if request.state == "sent":
        amount = refund.amount_minor if request.amountMinor is UNSET else request.amountMinor
        return Change("sent", amount, reference, reason)
    # A refund that comes back from the buyer's bank has paid nothing; one that was never sent keeps what the provider paid in part.
    return Change(request.state, 0 if refund.state == "sent" else refund.refunded_minor, reference, reason)


def _is_done(refund: Refund, change: Change) -> bool:
    """Whether a repeat of the last request, or a second one to the same effect, is all that this is."""
    if refund.state != change.to_state:
        return False
    same_amount = change.to_state != "sent" or refund.refunded_minor == change.refunded_minor
    return change.to_state == "due" or (same_amount and (refund.reference, refund.reason) == (change.reference, change.reason))
