"""Gives kopf only the events that it has work with: new FlashSales, which get the finalizer, and those that are being deleted.

kopf removes its finalizer from each resource that no handler wants, and all engines have the same finalizer: it must not see the FlashSales
that this operator does not serve. Most other events are echoes of what the operator wrote itself, three for each new FlashSale, and kopf
would copy and compare the whole resource for each. It has no filter of events, so the function that it calls with each event is wrapped.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kopf._core.reactor import processing

from flashsale_operator.cache import ResourceCache
from flashsale_operator.engine import Engine

PREFIX = "operator.flashsale.dev"
FINALIZER = f"{PREFIX}/finalizer"
"""A change would leave finalizers behind that no operator removes."""
FINALIZING_MAX = 16
"""Most FlashSales that get the finalizer at the same time. As with the writes of apiserver.py, more would time out on a busy apiserver.
They have places of their own, because kopf keeps one while it waits to repeat a write: edits must not wait for that."""
Process = Callable[..., Awaitable[Any]]
Observe = Callable[[Mapping[str, Any], str | None], None]
"""Receives each served FlashSale with the type of its event; a listed one has none."""


@contextmanager
def only_served(engine: Engine, cache: ResourceCache, observe: Observe) -> Iterator[None]:
    """Inside, `observe` receives the events of the resources that `engine` serves, and kopf those of them that it has work with."""
    original: Process = processing.process_resource_event
    processing.process_resource_event = filtered(original, engine, cache, observe)  # type: ignore[assignment]
    try:
        yield
    finally:
        processing.process_resource_event = original  # type: ignore[assignment]


def filtered(process: Process, engine: Engine, cache: ResourceCache, observe: Observe) -> Process:
    finalizing = asyncio.Semaphore(FINALIZING_MAX)

    async def process_served(*, raw_event: Mapping[str, Any], **options: Any) -> Any:
        body = raw_event["object"]
        if engine.serves(body):
            observe(body, raw_event["type"])
            # kopf waits in between for what a deletion waits for, but not while it adds the finalizer.
            if _ends(raw_event):
                return await process(raw_event=raw_event, **options)
            if has_finalizer(body["metadata"]):
                return None
            async with finalizing:
                return await process(raw_event=raw_event, **options)
        metadata = body["metadata"]
        # One that another installation has claimed meanwhile is no longer reconciled.
        cache.remove(metadata["uid"])
        if raw_event["type"] != "DELETED":
            # The watch check counts it as reported.
            cache.observe(metadata["uid"], metadata["generation"], {})
        return None

    return process_served


def has_finalizer(metadata: Mapping[str, Any]) -> bool:
    """Whether the resource is kept from disappearing, and nobody has asked for its deletion."""
    return FINALIZER in metadata.get("finalizers", ()) and not metadata.get("deletionTimestamp")


def _ends(raw_event: Mapping[str, Any]) -> bool:
    return raw_event["type"] == "DELETED" or bool(raw_event["object"]["metadata"].get("deletionTimestamp"))
