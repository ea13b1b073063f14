"""What an attempt's result means: delivered, to be tried again later, given up, or the end of the endpoint. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

RETRIES_SECONDS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""The pause after the first attempt that failed, the second, and so on (Standard Webhooks, "Deliverability and reliability")."""
RETRY_AFTER_SECONDS_MAX = 86_400.0
JITTER = 0.2
"""A pause is longer by up to this part of it, so that the events of one outage do not return all at once."""
_OK, _GONE, _SLOW_DOWN = range(200, 300), 410, (429, 503)


class DeliveryState(StrEnum):
    DUE = "due"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Verdict:
    state: DeliveryState
    delay_seconds: float = 0.0
    """Until the next attempt."""
    is_gone: bool = False
    """The endpoint wants no event any more."""
    pause_seconds: float = 0.0
    """How long the endpoint asked to be left alone."""


def judge(
    status: int | None, retry_after: str, tries: int, jitter: float, now: datetime, retries_seconds: Sequence[float] = RETRIES_SECONDS
) -> Verdict:
    """The verdict about attempt number `tries`, counted from 1. `status` is None if there was no answer; `jitter` is from 0 to 1."""
    if status in _OK:
        return Verdict(DeliveryState.SENT)
    if status == _GONE:
        return Verdict(DeliveryState.FAILED, is_gone=True)
    pause = min(seconds_after(retry_after, now), RETRY_AFTER_SECONDS_MAX) if status in _SLOW_DOWN else 0.0
    if tries > len(retries_seconds):
        return Verdict(DeliveryState.FAILED, pause_seconds=pause)
    scheduled = retries_seconds[tries - 1] * (1 + JITTER * jitter)
    return Verdict(DeliveryState.DUE, max(scheduled, pause), pause_seconds=pause)


def seconds_after(retry_after: str, now: datetime) -> float:
    """The seconds that a Retry-After header asks to wait (RFC 9110, section 10.2.3); 0 if it cannot be read."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        # OverflowError: a year or an offset of twenty digits.
        return 0.0
    return max(0.0, ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds())
