"""Workers die at chosen places under load, and every accepted order still ends as it should."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from flashsale_local_stack import Stack, free_ports
from tests.integration.client import Client
from tests.integration.storm import storm
from tests.integration.test_chaos import UNITS, WINDOW_SECONDS, prove

ORDER_WORKER = ("batch.received", "ledger.written", "ledger.committed", "batch.handled", "batch.acknowledged")
TIMEOUT_WORKER = ("expiry.calling", "expiry.answered")
DEATH_TIMEOUT_SECONDS = 120


def test_workers_that_die_at_each_place_lose_nothing(stack: Stack, client: Client, tmp_path: Path) -> None:
    sale = client.new_sale(UNITS, paymentWindowSeconds=WINDOW_SECONDS)
    with storm(client.env["FLASHSALE_URL"], sale) as crowd:
        for service, module, points in (
            ("order-worker", "flashsale_order_worker", ORDER_WORKER),
            ("timeout-worker", "flashsale_timeout_worker", TIMEOUT_WORKER),
        ):
            stack.kill(service)
            for point in points:
                assert death(stack, module, f"{point}:2") == -signal.SIGKILL
            stack.start(service)
    prove(stack, client, sale, crowd, tmp_path)


def death(stack: Stack, module: str, crash: str) -> int:
    """The exit status of a service that dies where `crash` asks it to."""
    (port,) = free_ports(1)
    env = {**os.environ, **stack.env(), "FLASHSALE_PROBE_PORT": str(port), "FLASHSALE_CRASH": crash}
    done = subprocess.run([sys.executable, "-m", module], env=env, capture_output=True, check=False, timeout=DEATH_TIMEOUT_SECONDS)
    return done.returncode
