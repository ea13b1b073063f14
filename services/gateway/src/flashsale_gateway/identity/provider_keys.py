"""The keys of an identity provider, kept fresh by a task of their own. The last good ones stay, however long the provider is away."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from time import monotonic

from flashsale_gateway import metrics
from flashsale_gateway.identity.key_reader import KeyReadError
from flashsale_gateway.identity.key_set import KeySet, VerificationKey, parse

FIRST_RETRY_SECONDS = 5.0
"""Until the keys were read once, no JWT can be verified."""
log = logging.getLogger(__name__)


@dataclass(slots=True)
class ReadTimes:
    """When the keys are read next. Pure: `now` is an argument, in seconds."""

    refresh_seconds: float
    retry_seconds: float
    read_at: float = -inf
    """When they were last read, or could not be read."""
    failed: bool = False
    wanted: bool = False
    """A token named a key that is not known yet, or was not signed by the key that it names."""
    read_once: bool = False

    def due_at(self) -> float:
        return self.read_at + self._pause_seconds

    def begin(self, now: float) -> None:
        self.read_at, self.wanted = now, False

    @property
    def _pause_seconds(self) -> float:
        if not self.read_once:
            return min(self.retry_seconds, FIRST_RETRY_SECONDS)
        return self.retry_seconds if self.failed or self.wanted else self.refresh_seconds


class ProviderKeys:
    def __init__(
        self, read: Callable[[], bytes], refresh_seconds: float, retry_seconds: float, clock: Callable[[], float] = monotonic
    ) -> None:
        """`read` blocks and raises KeyReadError; it is called in a thread."""
        self._read = read
        self._clock = clock
        self._times = ReadTimes(refresh_seconds, retry_seconds)
        self._wanted = asyncio.Event()
        self._document = b""
        self._read_well_at = -inf
        self._reason: str | None = None
        self.keys: KeySet | None = None
        """None until they were read once."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when the keys have changed: what an earlier key had verified may be refused now."""
        metrics.JWKS_AGE_SECONDS.set_function(self.age_seconds)

    def age_seconds(self) -> float:
        """How long ago they were read; infinite before they were read once."""
        return self._clock() - self._read_well_at

    def find(self, kid: str, algorithm: str) -> VerificationKey | None:
        """The key, or None, and then the keys are read again soon: the provider may have a new one."""
        key = self.keys.find(kid, algorithm) if self.keys is not None else None
        if key is None:
            self.want()
        return key

    def want(self) -> None:
        """Have the keys read again soon, however often this is called: the provider may have changed them."""
        if not self._times.wanted:
            self._times.wanted = True
            self._wanted.set()

    async def run(self) -> None:
        """Read them whenever they are due. Runs until it is cancelled."""
        while True:
            await self.read_if_due()
            # What is wanted while it waits may make them due earlier.
            self._wanted.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._times.due_at() - self._clock())):
                    await self._wanted.wait()

    async def read_if_due(self) -> None:
        if self._clock() < self._times.due_at():
            return
        self._times.begin(self._clock())
        try:
            document = await asyncio.to_thread(self._read)
            self._adopt(document)
        except (KeyReadError, ValueError) as error:
            self._note(str(error))
        else:
            self._note(None)

    def _adopt(self, document: bytes) -> None:
        """Raises ValueError when the document has no usable key: then the earlier keys stay."""
        if document != self._document:
            self.keys, self._document = parse(document), document
            log.info("jwks.changed", extra={"keys": self.keys.names})
            self.on_change()
        self._read_well_at, self._times.read_once = self._clock(), True

    def _note(self, reason: str | None) -> None:
        self._times.failed = reason is not None
        metrics.JWKS_READS.labels("read" if reason is None else "failed").inc()
        # Only a change is logged: the provider may be away for hours.
        if reason is not None and reason != self._reason:
            age = round(self.age_seconds()) if self._times.read_once else None
            log.warning("jwks.unread", extra={"reason": reason, "age_seconds": age})
        self._reason = reason
