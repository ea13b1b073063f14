"""Gives kopf only the events that it has work with: those of FlashSales that are being deleted or are gone.

kopf keeps a task, a queue and the whole body for each resource that it received an event of, until its turn has come: with ten thousand new
FlashSales, that was most of the operator's memory. It also removes its finalizer from each resource that no handler wants, and all engines
have the same finalizer: it must not see the FlashSales that this operator does not serve. kopf has no filter of events, so the function
that it reads them from is wrapped.
"""

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any

from kopf._cogs.clients import watching

from flashsale_operator.cache import ResourceCache
from flashsale_operator.engine import Engine
from flashsale_operator.lost_namespaces import LostNamespaces, Watch, with_lost_namespaces
from flashsale_operator.resource import GROUP, PLURAL

Observe = Callable[[Mapping[str, Any], str | None], None]
"""Receives each served FlashSale with the type of its event; a listed one has none."""


@contextmanager
def only_served(engine: Engine, cache: ResourceCache, observe: Observe, lost: LostNamespaces) -> Iterator[None]:
    """Inside, `observe` receives the events of the resources that `engine` serves, and kopf those of them that it has work with.

    Namespaces that are lost end no watch: `lost` waits for them.
    """
    original: Watch = watching.infinite_watch  # type: ignore[assignment]
    watching.infinite_watch = filtered(with_lost_namespaces(original, lost), engine, cache, observe)
    try:
        yield
    finally:
        watching.infinite_watch = original


def filtered(watch: Watch, engine: Engine, cache: ResourceCache, observe: Observe) -> Watch:
    async def watch_served(*, resource: Any, **options: Any) -> AsyncGenerator[Any, None]:
        async with aclosing(watch(resource=resource, **options)) as events:
            async for event in events:
                if not _is_of_a_flash_sale(event, resource) or _passes(event, engine, cache, observe):
                    yield event

    return watch_served


def _is_of_a_flash_sale(event: Any, resource: Any) -> bool:
    """kopf also watches namespaces and resource types, and there are marks between the events."""
    return (resource.group, resource.plural) == (GROUP, PLURAL) and isinstance(event, Mapping) and event["type"] != "BOOKMARK"


def _passes(event: Mapping[str, Any], engine: Engine, cache: ResourceCache, observe: Observe) -> bool:
    """Observe the event; returns whether kopf has work with it."""
    kind, body = event["type"], event["object"]
    metadata = body["metadata"]
    if engine.serves(body):
        # Who wrote which field is half of a body, and nobody reads it; deletions wait in kopf's queues.
        metadata.pop("managedFields", None)
        observe(body, kind)
        return kind == "DELETED" or bool(metadata.get("deletionTimestamp"))
    # One that another installation has claimed meanwhile is no longer reconciled.
    cache.remove(metadata["uid"])
    if kind != "DELETED":
        # The watch check counts it as reported.
        cache.observe(metadata["uid"], metadata["generation"], {})
    return False
