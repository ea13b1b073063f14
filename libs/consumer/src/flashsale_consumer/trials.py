"""Messages under suspicion: delivered so often that they may be what ends the worker, although most only met a store that was away.

Each is handled alone, and is parked only if that fails in its own way. What ends the process leaves a note in a file, which outlives it
where a container is restarted in its pod. https://www.rabbitmq.com/docs/quorum-queues has what the broker counts.
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
"""Redeliveries from which on a message is handled alone."""
DEATHS_MAX = 3
"""So often may the process end while it handles one message alone; then the message is parked."""
NOTES_MAX = 64
# RabbitMQ 4.3 counts in the second what failed at nobody's fault.
_COUNTS = ("x-delivery-count", "x-acquired-count")
M = TypeVar("M")
log = logging.getLogger(__name__)


def is_suspicious(headers: Mapping[str, Any]) -> bool:
    return max((count for name in _COUNTS if isinstance(count := headers.get(name), int)), default=0) >= SUSPICIOUS_DELIVERIES


def parts(batch: Sequence[tuple[M, bool]]) -> Iterator[list[M]]:
    """The batch in its order, in parts to be handled together: each suspicious message, which is paired with True, stands alone."""
    for suspicious, group in groupby(batch, lambda pair: pair[1]):
        members = [message for message, _ in group]
        yield from ([message] for message in members) if suspicious else [members]


class Trials:
    """Which messages the process died of: a note says which one is handled alone now, and one that is found at the start was a death."""

    def __init__(self, file: Path) -> None:
        """`file` is read now, and written only while a suspicious message is handled."""
        self._file = file
        self._deaths = _read(file)

    def deaths(self, delivery: Delivery) -> int:
        return self._deaths.get(_name(delivery), 0)

    def begin(self, delivery: Delivery) -> None:
        self._write(_name(delivery))

    def end(self) -> None:
        """The process lives: whatever came of the message, it was not its end."""
        self._write(None)

    def forget(self, delivery: Delivery) -> None:
        if self._deaths.pop(_name(delivery), None) is not None:
            self._write(None)

    def _write(self, current: str | None) -> None:
        if not self._deaths and current is None:
            with suppress(OSError):
                self._file.unlink(missing_ok=True)
            return
        try:
            self._file.write_text(json.dumps({"current": current, "deaths": self._deaths}))
        except OSError as error:
            log.warning("trial.not_noted", extra={"file": str(self._file), "reason": str(error)})


def _read(file: Path) -> dict[str, int]:
    """Deaths by message, the latest NOTES_MAX of them; none when there is no note, or none that can be read."""
    try:
        note = json.loads(file.read_text())
        deaths, current = dict(note["deaths"]), note["current"]
        if current is not None:
            deaths[current] = deaths.pop(current, 0) + 1
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return dict(list(deaths.items())[-NOTES_MAX:])


def _name(delivery: Delivery) -> str:
    return hashlib.sha256(delivery.message_id.encode() + b"\0" + delivery.body).hexdigest()[:32]
