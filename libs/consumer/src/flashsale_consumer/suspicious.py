"""Suspicious messages: delivered so often that they may be what crashes the worker, although most only met a store that was away.

Each is handled alone, and is parked only if that fails for a reason of its own. A note in a file names the message that is handled, and
survives a crash where a container is restarted in its pod. https://www.rabbitmq.com/docs/quorum-queues describes what the broker counts.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from flashsale_consumer.deliveries import Delivery

SUSPICIOUS_DELIVERIES = 20
"""A message that was redelivered this often is handled alone."""
CRASHES_MAX = 3
"""A message is parked after the process has ended this often while it handled the message alone."""
NOTES_MAX = 64
# RabbitMQ 4.3 counts deliveries that were returned without a failure in the second.
_COUNTS = ("x-delivery-count", "x-acquired-count")
M = TypeVar("M")
log = logging.getLogger(__name__)


def is_suspicious(headers: Mapping[str, Any]) -> bool:
    return max((count for name in _COUNTS if isinstance(count := headers.get(name), int)), default=0) >= SUSPICIOUS_DELIVERIES


def split_suspicious(batch: Sequence[tuple[M, bool]]) -> Iterator[list[M]]:
    """The batch in its order, in parts to be handled together: each suspicious message, which is paired with True, is a part of its own."""
    for suspicious, group in groupby(batch, lambda pair: pair[1]):
        members = [message for message, _ in group]
        yield from ([message] for message in members) if suspicious else [members]


class CrashNotes:
    """Which messages crashed the process. A note names the message that is handled alone: a note found at the start is of a crash."""

    def __init__(self, file: Path) -> None:
        """`file` is read now, and written only while a suspicious message is handled."""
        self._file = file
        self._crashes = _read(file)

    def crashes(self, delivery: Delivery) -> int:
        return self._crashes.get(_name(delivery), 0)

    def begin(self, delivery: Delivery) -> None:
        self._write(_name(delivery))

    def end(self) -> None:
        """The process survived: whatever became of the message, it crashed nothing."""
        self._write(None)

    def forget(self, delivery: Delivery) -> None:
        if self._crashes.pop(_name(delivery), None) is not None:
            self._write(None)

    def _write(self, current: str | None) -> None:
        if not self._crashes and current is None:
            with suppress(OSError):
                self._file.unlink(missing_ok=True)
            return
        try:
            self._file.write_text(json.dumps({"current": current, "deaths": self._crashes}))
        except OSError as error:
            log.warning("trial.not_noted", extra={"file": str(self._file), "reason": str(error)})


def _read(file: Path) -> dict[str, int]:
    """Crashes by message, the latest NOTES_MAX of them; empty if there is no note or it cannot be read."""
    try:
        note = json.loads(file.read_text())
        crashes, current = dict(note["deaths"]), note["current"]
        if current is not None:
            crashes[current] = crashes.pop(current, 0) + 1
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return dict(list(crashes.items())[-NOTES_MAX:])


def _name(delivery: Delivery) -> str:
    return hashlib.sha256(delivery.message_id.encode() + b"\0" + delivery.body).hexdigest()[:32]
