"""Further gateways on the stores of a stack: processes on ports of their own that share nothing but the stores."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flashsale_cli.stack import Stack
from flashsale_cli.stack.processes import wait_until
from flashsale_cli.stack.state import free_ports

READY_SECONDS = 30.0
END_SECONDS = 30.0


@contextmanager
def further_gateways(stack: Stack, count: int, folder: Path) -> Iterator[list[str]]:
    """The URLs of the stack's gateway and of `count` more."""
    with ExitStack() as running:
        ports = free_ports(count)
        for port in ports:
            running.enter_context(_gateway(stack, port, folder / f"gateway-{port}.log"))
        yield [stack.env()["FLASHSALE_URL"], *[f"http://127.0.0.1:{port}" for port in ports]]


@contextmanager
def _gateway(stack: Stack, port: int, log: Path) -> Iterator[None]:
    env = os.environ | stack.env() | {"FLASHSALE_PORT": str(port)}
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "flashsale_gateway"], env=env, stdout=out, stderr=out)
        try:
            assert wait_until(lambda: _ready(port), READY_SECONDS), log.read_text()
            yield
        finally:
            process.terminate()
            process.wait(END_SECONDS)
    assert process.returncode in (0, -15), log.read_text()


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
