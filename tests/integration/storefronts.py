"""A storefront of a stack: a process on its own port, which shares only Redis."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flashsale_local_stack import free_ports, wait_until

READY_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Storefront:
    url: str
    probes: str
    process: "subprocess.Popen[bytes]"


@contextmanager
def storefront_on(env: Mapping[str, str], log: Path, **more: str) -> Iterator[Storefront]:
    """A storefront with these environment variables, which is ready, and ended with the block."""
    free, probes = free_ports(2)
    port = int(more.get("FLASHSALE_STOREFRONT_PORT", free))
    own = {"FLASHSALE_STOREFRONT_PORT": str(port), "FLASHSALE_PROBE_PORT": str(probes)}
    with log.open("wb") as out:
        settings = os.environ | env | own | more
        process = subprocess.Popen([sys.executable, "-m", "flashsale_storefront"], env=settings, stdout=out, stderr=out)
        try:
            assert wait_until(lambda: status_of(f"http://127.0.0.1:{probes}/readyz") == 200, READY_SECONDS), log.read_text()
            yield Storefront(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{probes}", process)
        finally:
            process.terminate()
            process.wait(30)


def status_of(url: str) -> int:
    """0 if nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - the callers' own addresses
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
