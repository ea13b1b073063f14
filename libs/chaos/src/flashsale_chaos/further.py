"""Further processes of a stack's services, with addresses and ports of their own: a second gateway and a second order-worker."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from flashsale_local_stack.leftovers import marked
from flashsale_local_stack.processes import ProcessId, end, end_all, spawn

GATEWAY_2, ORDER_WORKER_2 = "gateway-2", "order-worker-2"
ORDER_WORKERS = ("order-worker", ORDER_WORKER_2)
END_TIMEOUT_SECONDS = 30.0
MODULES = {GATEWAY_2: "flashsale_gateway", ORDER_WORKER_2: "flashsale_order_worker"}
PORTS = {GATEWAY_2: "FLASHSALE_PORT", ORDER_WORKER_2: "FLASHSALE_PROBE_PORT"}
"""The variable that names the port of a service."""


class Further:
    """Blocks while it starts and ends processes: call it in a thread."""

    def __init__(self, name: str, env: Mapping[str, str], port: int, log: Path) -> None:
        base = {name: value for name, value in os.environ.items() if not name.startswith("FLASHSALE_")}
        self._env = {**base, **env, PORTS[name]: str(port)}
        self._module, self._log = MODULES[name], log
        self.address = f"127.0.0.1:{port}"
        self.process = ProcessId(0, "not started")

    @property
    def alive(self) -> bool:
        return self.process.alive

    def launch(self, more_env: Mapping[str, str]) -> None:
        """Start it if it does not run, without waiting until it is ready."""
        if not self.alive:
            self.process = spawn([sys.executable, "-m", self._module], {**self._env, **more_env}, self._log, self._log.parent)

    def kill(self) -> None:
        end_all([self.process, *marked(self._log)], END_TIMEOUT_SECONDS)

    def stop(self) -> None:
        end(self.process, END_TIMEOUT_SECONDS)
