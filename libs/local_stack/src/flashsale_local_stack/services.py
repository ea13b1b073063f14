"""The services as local processes, run by this process' own Python."""

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

from flashsale_local_stack import configs, leftovers
from flashsale_local_stack.errors import StackError
from flashsale_local_stack.processes import ProcessId, spawn, wait_until
from flashsale_local_stack.state import HOST, State, port_taken

PROBE_TIMEOUT_SECONDS = 2.0
PORT_TIMEOUT_SECONDS = 3.0
# The keeper before those that need open fences: it is ready once they are.
MODULES = {
    "order-worker": "flashsale_order_worker",
    "keeper": "flashsale_keeper",
    "gateway": "flashsale_gateway",
    "timeout-worker": "flashsale_timeout_worker",
    "ledger-api": "flashsale_ledger_api",
}
OPTIONAL = {"console": "flashsale_console", "storefront": "flashsale_storefront"}
"""Services that run only if `up` is asked for them; a stack remembers which."""


class Service:
    def __init__(self, name: str, root: Path, state: State) -> None:
        self.name = name
        self._root, self._state = root, state
        ports = state.ports
        self._port = {
            "gateway": ports.gateway, "order-worker": ports.order_worker, "timeout-worker": ports.timeout_worker, "keeper": ports.keeper,
            "ledger-api": ports.ledger_api_probes, "console": ports.console_probes,
            "storefront": ports.storefront_probes,
        }[name]  # fmt: skip

    def start(self, log: Path) -> ProcessId:
        # A killed process holds its port until its last thread has ended, which is a moment later than the first.
        if not wait_until(lambda: not port_taken(self._port), PORT_TIMEOUT_SECONDS):
            hint = "; choose another with --gateway-port" if self.name == "gateway" else "; run `flashsale stack down` and try again"
            raise StackError(f"{self.name} cannot listen on {HOST}:{self._port}, because another process does{hint}")
        return spawn([sys.executable, "-m", (MODULES | OPTIONAL)[self.name]], self.env(), log, self._root)

    def env(self) -> dict[str, str]:
        own = configs.public_env(self._state, str(self._root)) | {"FLASHSALE_PROBE_PORT": str(self._port)}
        # Variables of the caller's shell must not configure these services. Others, such as those of telemetry, are passed on.
        base = {name: value for name, value in os.environ.items() if not name.startswith("FLASHSALE_")}
        return base | own

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address()}/readyz", timeout=PROBE_TIMEOUT_SECONDS) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def leftovers(self, log: Path) -> list[ProcessId]:
        return leftovers.marked(log)

    def address(self) -> str:
        return f"{HOST}:{self._port}"
