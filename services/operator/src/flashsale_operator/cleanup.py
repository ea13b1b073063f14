"""`python -m flashsale_operator.cleanup`: delete the FlashSales of a namespace and wait until they are gone, while an operator still lives.

The chart runs it before it is uninstalled: afterwards nobody would take the finalizers away, and the namespace could not be deleted.
"""

import asyncio
import logging
import ssl
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

from flashsale_core.errors import SettingsError
from flashsale_core.logs import configure_logging
from flashsale_core.settings import Environment
from flashsale_operator.resource import GROUP, PLURAL, VERSION

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
POLL_SECONDS = 1.0
REQUEST_TIMEOUT_SECONDS = 15.0
log = logging.getLogger(__name__)


def main() -> int:
    configure_logging("INFO")
    env = Environment()
    try:
        namespace = env.text("FLASHSALE_OPERATOR_NAMESPACE")
        timeout_seconds = env.number("FLASHSALE_CLEANUP_TIMEOUT_SECONDS", 120, least=1, most=3600)
        server = f"https://{env.text('KUBERNETES_SERVICE_HOST')}:{env.text('KUBERNETES_SERVICE_PORT')}"
    except SettingsError as error:
        log.error("cleanup.refused", extra={"reason": str(error)})
        return 2
    left = asyncio.run(clean(f"{server}/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}", timeout_seconds))
    if left:
        # They stay as they are, holds and all; the message says what a person can do.
        advice = "set deletionPolicy to Retain, or wait for their holds, and try again"
        log.error("cleanup.unfinished", extra={"left": list(left)[:20], "advice": advice})
        return 1
    log.info("cleanup.finished", extra={"namespace": namespace})
    return 0


async def clean(url: str, timeout_seconds: float) -> Sequence[str]:
    """Delete all and wait; returns the names of those that are left when the time is over."""
    token = (ACCOUNT / "token").read_text()
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS)
    headers = {"Authorization": f"Bearer {token}"}
    ends = time.monotonic() + timeout_seconds
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=aiohttp.TCPConnector(ssl=context)) as session:
        left = await _names(session, url)
        for name in left:
            async with session.delete(f"{url}/{name}") as answer:
                log.info("cleanup.deleted", extra={"flashsale": name, "status": answer.status})
        while left and time.monotonic() < ends:
            await asyncio.sleep(POLL_SECONDS)
            left = await _names(session, url)
    return left


async def _names(session: aiohttp.ClientSession, url: str) -> list[str]:
    async with session.get(url) as answer:
        if answer.status == 404:
            # The resource type itself is gone, and all of its resources with it.
            return []
        answer.raise_for_status()
        found: dict[str, Any] = await answer.json()
    return [item["metadata"]["name"] for item in found["items"]]


if __name__ == "__main__":
    sys.exit(main())
