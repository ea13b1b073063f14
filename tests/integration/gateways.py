"""Further gateways of a stack: processes on their own ports, which share only the stores."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from flashsale_local_stack import Stack, free_ports, wait_until

READY_SECONDS = 120.0
END_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway."""

    url: str
    pid: int
    log: Path


@contextmanager
def further_gateways(stack: Stack, count: int, folder: Path) -> Iterator[list[str]]:
    """The URLs of the stack's gateway and of `count` further ones."""
    with ExitStack() as running:
        urls = [running.enter_context(gateway_on(stack.env(), folder / f"gateway-{number}.log")).url for number in range(count)]
        yield [stack.env()["FLASHSALE_URL"], *urls]


@contextmanager
def gateway_on(
    env: Mapping[str, str], log: Path, module: str = "flashsale_gateway", *, port: int = 0, ends: Collection[int] = (0, -15)
) -> Iterator[Gateway]:
    """A gateway with these environment variables, which is ready, and stopped when the block ends with one of the exit codes `ends`."""
    port = port or free_ports(1)[0]
    settings = os.environ | env | {"FLASHSALE_PORT": str(port)}
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", module], env=settings, stdout=out, stderr=out)
        try:
            assert wait_until(lambda: _ready(port), READY_SECONDS), log.read_text()
            yield Gateway(f"http://127.0.0.1:{port}", process.pid, log)
        finally:
            process.terminate()
            process.wait(END_SECONDS)
    assert process.returncode in ends, log.read_text()


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
