"""The operator and a Redis as processes of this machine, for a bench. The operator is watched as Kubernetes would watch it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from time import monotonic

import aiohttp

from flashsale_core.tasks import cancel_and_wait
from flashsale_local_stack import binaries, free_ports
from tools.bench.processes import cpu_seconds
from tools.repository import ROOT

HOST = "127.0.0.1"
LIVENESS_PERIOD_SECONDS = 10.0
LIVENESS_FAILURES_MAX = 3
"""As in the chart: after this number of failures in a row the kubelet restarts a pod."""
PROBE_TIMEOUT_SECONDS = 5.0
START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 30.0


class OperatorProcess:
    def __init__(self, process: "subprocess.Popen[bytes]", port: int, session: aiohttp.ClientSession) -> None:
        self._process, self._port, self._session = process, port, session
        self._failures_in_a_row = self._would_restart = 0
        self.memory_mb_max = 0.0

    def restarts(self) -> int:
        return self._would_restart + (self._process.poll() is not None)

    def memory_mb(self) -> float:
        """The resident set. 0 once the process has ended."""
        with suppress(FileNotFoundError):
            for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) / 1024
        return 0.0

    def cpu_seconds(self) -> float:
        return cpu_seconds(self._process.pid)

    async def told_unavailable(self) -> int:
        """Reconciliations that ended with the reason RedisUnavailable."""
        return int(await self._sum("flashsale_operator_reconciles_total{", 'outcome="RedisUnavailable"'))

    async def repeated(self) -> int:
        """Reconciliations that concluded nothing, because Redis took too long, or that could not write their status."""
        busy = await self._sum("flashsale_operator_reconciles_total{", 'outcome="Busy"')
        return int(busy + await self._sum("flashsale_operator_reconcile_errors_total "))

    async def live(self) -> float:
        """FlashSales of the phase Live, as of the last sweep."""
        return await self._sum("flashsale_operator_objects{", 'phase="Live"')

    async def probe(self, path: str) -> bool:
        try:
            async with self._session.get(f"http://{HOST}:{self._port}{path}") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def watch(self) -> None:
        """Look at memory and liveness until cancelled."""
        probed = monotonic()
        while True:
            await asyncio.sleep(0.5)
            self.memory_mb_max = max(self.memory_mb_max, self.memory_mb())
            if monotonic() - probed > LIVENESS_PERIOD_SECONDS:
                probed = monotonic()
                self._failures_in_a_row = 0 if await self.probe("/healthz") else self._failures_in_a_row + 1
                if self._failures_in_a_row == LIVENESS_FAILURES_MAX:
                    self._would_restart += 1
                    self._failures_in_a_row = 0

    async def _sum(self, *words: str) -> float:
        async with self._session.get(f"http://{HOST}:{self._port}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(words[0]) and all(word in line for word in words))


@contextmanager
def _process(words: list[str], log: Path, env: dict[str, str] | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=log.parent)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@asynccontextmanager
async def run_redis(folder: Path) -> AsyncIterator[str]:
    """An empty Redis that loses no acknowledged write; its URL."""
    (port,) = free_ports(1)
    settings = {"port": port, "bind": HOST, "dir": folder, "appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    with _process([binaries.redis_server(), *words], folder / "redis.log"):
        async with asyncio.timeout(START_TIMEOUT_SECONDS):
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection(HOST, port)
                    writer.close()
                    break
                await asyncio.sleep(0.05)
        yield f"redis://{HOST}:{port}/0"


@asynccontextmanager
async def run_operator(redis_url: str, namespace: str, log: Path) -> AsyncIterator[OperatorProcess]:
    (port,) = free_ports(1)
    env = {
        **os.environ,
        "REDIS_URL": redis_url,
        "FLASHSALE_LUA_DIR": str(ROOT / "lua"),
        "FLASHSALE_OPERATOR_NAMESPACE": namespace,
        "FLASHSALE_PROBE_HOST": HOST,
        "FLASHSALE_PROBE_PORT": str(port),
    }
    timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_SECONDS)
    with _process([sys.executable, "-m", "flashsale_operator"], log, env) as process:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            operator = OperatorProcess(process, port, session)
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                while not await operator.probe("/readyz"):
                    if process.poll() is not None:
                        raise RuntimeError(f"the operator ended; its log is {log}")
                    await asyncio.sleep(0.2)
            watching = asyncio.create_task(operator.watch())
            try:
                yield operator
            finally:
                await cancel_and_wait(watching)
