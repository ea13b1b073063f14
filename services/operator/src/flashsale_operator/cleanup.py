"""`python -m flashsale_operator.cleanup`: delete the FlashSales that the operator serves, and wait until they are gone.

The chart runs it before it is uninstalled, while the operator still runs: without an operator nothing removes the finalizers, and the
namespaces could not be deleted. It looks first: while a sale is live or has units reserved, it changes nothing, unless it is forced.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from typing import Any, Protocol

from flashsale_core.errors import Rejected, SettingsError
from flashsale_core.logs import configure_logging
from flashsale_core.settings import Environment
from flashsale_operator.apiserver import open_namespaces
from flashsale_operator.engine import Engine
from flashsale_operator.in_use import NAMED_MAX, in_use, name_of, refusal
from flashsale_operator.settings import read_engine

POLL_SECONDS = 1.0
EXIT_REFUSED = 3
"""The chart's Job is not repeated after this exit status."""
ADVICE = (
    "their holds go on: wait until they have ended, raise cleanup.timeoutSeconds, or set deletionPolicy to Retain; then uninstall again"
)
log = logging.getLogger(__name__)


class Cluster(Protocol):
    async def documents(self) -> list[dict[str, Any]]: ...

    async def delete(self, namespace: str, name: str) -> int: ...


def main() -> int:
    configure_logging("INFO")
    try:
        left = asyncio.run(run(Environment()))
    except SettingsError as error:
        log.error("cleanup.refused", extra={"reason": str(error)})
        return 2
    except Rejected as error:
        log.error("cleanup.refused", extra={"reason": str(error)})
        return EXIT_REFUSED
    if left:
        # The remaining sales and their holds are not touched; the message contains what a person can do.
        log.error("cleanup.unfinished", extra={"left": list(left)[:NAMED_MAX], "advice": ADVICE})
        return 1
    log.info("cleanup.finished")
    return 0


async def run(env: Environment) -> Sequence[str]:
    timeout_seconds = env.number("FLASHSALE_CLEANUP_TIMEOUT_SECONDS", 120, least=1, most=3600)
    force = env.flag("FLASHSALE_CLEANUP_FORCE", default=False)
    namespaces = env.optional("FLASHSALE_OPERATOR_NAMESPACE").split(",")
    engine = read_engine(env)
    async with open_namespaces(env, namespaces) as cluster:
        return await clean(Served(cluster, engine), timeout_seconds, force)


class Served:
    """The FlashSales that the release serves; those of another engine are not touched."""

    def __init__(self, cluster: Cluster, engine: Engine) -> None:
        self._cluster = cluster
        self._engine = engine

    async def documents(self) -> list[dict[str, Any]]:
        return [body for body in await self._cluster.documents() if self._engine.serves(body)]

    async def delete(self, namespace: str, name: str) -> int:
        return await self._cluster.delete(namespace, name)


async def clean(cluster: Cluster, timeout_seconds: float, force: bool) -> Sequence[str]:
    """Delete all FlashSales and wait; returns the names of those that are left after `timeout_seconds`.

    Raises Rejected, before it changes anything, if one is in use and `force` is not set.
    """
    ends = time.monotonic() + timeout_seconds
    left = await cluster.documents()
    if (uses := in_use(left)) and not force:
        raise Rejected(refusal(uses))
    for body in left:
        status = await cluster.delete(body["metadata"]["namespace"], body["metadata"]["name"])
        log.info("cleanup.deleted", extra={"flashsale": name_of(body), "status": status})
    while left and time.monotonic() < ends:
        await asyncio.sleep(POLL_SECONDS)
        left = await cluster.documents()
    return [name_of(body) for body in left]


if __name__ == "__main__":
    sys.exit(main())
