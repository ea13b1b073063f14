"""kopf's settings whose defaults do not suit us: names that are written into resources, and limits of time and work."""

from collections.abc import Iterable, Iterator
from typing import Any

import kopf
from kopf._cogs.structs import dicts

from flashsale_operator.controller import BACKOFF_SECONDS, spread
from flashsale_operator.resource import FINALIZER, PREFIX
from flashsale_operator.settings import Settings

IDLE_SECONDS = 0.2
"""How long a worker stays with its resource after the last event. At the worker limit, other resources wait for it."""
LIST_CHUNK = 500
"""FlashSales in one answer of a list: ten thousand in one would be 40 MB of JSON."""


def kopf_settings(settings: Settings) -> kopf.OperatorSettings:
    own = kopf.OperatorSettings()
    own.persistence.finalizer = FINALIZER
    own.persistence.progress_storage = UnmarkedProgress(prefix=PREFIX)
    # After its patch, a worker would wait 5 s for the version that a resource without its last finalizer never gets.
    own.persistence.consistency_timeout = IDLE_SECONDS
    own.persistence.diffbase_storage = NoDiffBase()
    own.posting.enabled = False
    own.scanning.disabled = bool(settings.namespaces)
    own.peering.standalone = True
    own.queueing.worker_limit = settings.workers_max
    own.queueing.idle_timeout = IDLE_SECONDS
    own.queueing.exit_timeout = settings.shutdown_timeout_seconds / 2
    own.networking.request_timeout = settings.request_timeout_seconds
    own.networking.connect_timeout = settings.request_timeout_seconds
    own.watching.chunk_size = LIST_CHUNK
    own.watching.server_timeout = settings.watch_timeout_seconds
    own.watching.client_timeout = settings.watch_timeout_seconds + settings.request_timeout_seconds
    own.watching.connect_timeout = settings.request_timeout_seconds
    own.networking.error_backoffs = _Spread(own.networking.error_backoffs)
    own.execution.default_backoff = BACKOFF_SECONDS
    own.process.ultimate_exiting_timeout = settings.shutdown_timeout_seconds
    return own


class UnmarkedProgress(kopf.AnnotationsProgressStorage):
    """Leaves no mark of kopf on a resource whose handler has succeeded: it would be a second request for each deletion."""

    def purge(self, *, key: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        super().purge(key=key, body=body, patch=patch)
        dicts.remove(patch, ("metadata", "annotations", f"{self.prefix}/kopf-managed"))


class NoDiffBase(kopf.DiffBaseStorage):
    """Remembers no last state in the resource: no handler asks what changed, and it would be a third request for each new resource."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:
        del body, extra_fields
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return self.build(body=body)

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Nothing."""


class _Spread:
    """Backoffs near the given ones, random each time they are read."""

    def __init__(self, backoffs: float | Iterable[float]) -> None:
        self._backoffs = tuple(backoffs) if isinstance(backoffs, Iterable) else (backoffs,)

    def __iter__(self) -> Iterator[float]:
        return (spread(seconds) for seconds in self._backoffs)
