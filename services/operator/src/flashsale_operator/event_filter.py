"""Keeps the FlashSales that this operator does not serve away from kopf.

kopf removes its finalizer from each resource that no handler wants, and all engines have the same finalizer. It has no filter of events, so
the function that it calls with each event is wrapped.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kopf._core.reactor import processing

from flashsale_operator.cache import ResourceCache
from flashsale_operator.engine import Engine

Process = Callable[..., Awaitable[Any]]


@contextmanager
def only_served(engine: Engine, cache: ResourceCache) -> Iterator[None]:
    """Inside, kopf receives the events of the resources that `engine` serves, and of no others."""
    original: Process = processing.process_resource_event
    processing.process_resource_event = filtered(original, engine, cache)  # type: ignore[assignment]
    try:
        yield
    finally:
        processing.process_resource_event = original  # type: ignore[assignment]


def filtered(process: Process, engine: Engine, cache: ResourceCache) -> Process:
    async def process_served(*, raw_event: Mapping[str, Any], **options: Any) -> Any:
        body = raw_event["object"]
        if engine.serves(body):
            return await process(raw_event=raw_event, **options)
        metadata = body["metadata"]
        # One that another installation has claimed meanwhile is no longer reconciled.
        cache.remove(metadata["uid"])
        if raw_event["type"] != "DELETED":
            # The watch check counts it as reported.
            cache.observe(metadata["uid"], metadata["generation"], {})
        return None

    return process_served
