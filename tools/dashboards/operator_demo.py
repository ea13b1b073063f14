"""An operator at work with a real apiserver, for its dashboard.

The operator runs on this machine, with the stack's Redis. Its FlashSales are in a namespace of their own, which is deleted at the end.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flashsale_local_stack import free_ports
from tools.repository import CHART

NAMESPACE = "flashsale-pictures"
CRD = CHART / "files" / "flashsales.flashsale.dev.yaml"
COMMAND_TIMEOUT_SECONDS = 90
STOP_TIMEOUT_SECONDS = 30
WINDOW, WINDOW_NOT_INSTALLED = 60, 7
Spec = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cluster:
    kubeconfig: Path

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Run kubectl and return its output. Raises RuntimeError with its error."""
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), "-n", NAMESPACE, *words]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_SECONDS, check=False)
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, specs: Mapping[str, Spec]) -> None:
        items = [{"apiVersion": "flashsale.dev/v1alpha1", "kind": "FlashSale", "metadata": {"name": name}, "spec": spec}
                 for name, spec in specs.items()]  # fmt: skip
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))

    def delete(self, names: Sequence[str]) -> None:
        self.kubectl("delete", "flashsale", "--wait=false", *names)


async def operate(cluster: Cluster) -> None:
    """A busy day in a minute and a half: sales are opened, scheduled, misconfigured, corrected, paused, reduced to 0 and deleted."""
    shelves = names("shelf", 14)
    scheduled, misconfigured = names("friday", 6), names("typo", 2)

    def in_seconds(seconds: int) -> str:
        return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()

    def schedule_friday() -> None:
        cluster.apply({name: spec(startsAt=in_seconds(25), endsAt=in_seconds(55)) for name in scheduled})

    steps = {
        5: lambda: cluster.apply({name: spec() for name in shelves}),
        15: schedule_friday,
        28: lambda: cluster.apply({name: spec(paymentWindowSeconds=WINDOW_NOT_INSTALLED) for name in misconfigured}),
        45: lambda: cluster.apply({name: spec(paused=True) for name in shelves[:3]}),
        58: lambda: cluster.apply({name: spec(stock=0) for name in shelves[3:6]}),
        70: lambda: cluster.apply({misconfigured[0]: spec()}),
        88: lambda: cluster.delete(shelves[-4:]),
    }
    loop, started = asyncio.get_running_loop(), asyncio.get_running_loop().time()
    for second, step in steps.items():
        await asyncio.sleep(max(0.0, started + second - loop.time()))
        await asyncio.to_thread(step)


def names(word: str, number: int) -> list[str]:
    return [f"{word}-{index + 1}" for index in range(number)]


def spec(**fields: Any) -> Spec:
    return {"stock": 100, "paymentWindowSeconds": WINDOW, "deletionPolicy": "Drain", **fields}


@contextmanager
def operating(env: Mapping[str, str], context: str, folder: Path) -> Iterator[tuple[Cluster, str]]:
    """The cluster of a kubectl context with the FlashSale resource in it, and the address of an operator's /metrics.

    `env` is the stack's, because the sales are kept in its Redis. Raises RuntimeError with kubectl's error.
    """
    cluster = Cluster(_kubeconfig(context, folder))
    installed = cluster.kubectl("get", "crd", "flashsales.flashsale.dev", "--ignore-not-found") != ""
    if not installed:
        cluster.kubectl("apply", "--server-side", "-f", str(CRD))
        cluster.kubectl("wait", "--for=condition=Established", "crd/flashsales.flashsale.dev", "--timeout=30s")
    cluster.kubectl("create", "namespace", NAMESPACE)
    try:
        with _operator(env, cluster, folder) as address:
            try:
                yield cluster, address
            finally:
                # Before the operator ends: it must remove the finalizers.
                cluster.kubectl("delete", "flashsales", "--all", f"--timeout={COMMAND_TIMEOUT_SECONDS - 10}s")
    finally:
        cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
        if not installed:
            cluster.kubectl("delete", "crd", "flashsales.flashsale.dev", "--wait=false")


@contextmanager
def _operator(env: Mapping[str, str], cluster: Cluster, folder: Path) -> Iterator[str]:
    (port,) = free_ports(1)
    own = {"KUBECONFIG": str(cluster.kubeconfig), "FLASHSALE_OPERATOR_NAMESPACE": NAMESPACE, "FLASHSALE_PROBE_PORT": str(port)}
    with (folder / "operator.log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "flashsale_operator"], env={**os.environ, **env, **own}, stdout=log, stderr=log)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_SECONDS)


def _kubeconfig(context: str, folder: Path) -> Path:
    """Write a kubeconfig for this context alone. The current context of the user's own file may change meanwhile."""
    path = folder / "kubeconfig"
    command = ["kubectl", "config", "view", "--minify", "--flatten", "--context", context]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"kubectl context {context}: {done.stderr.strip()}")
    path.touch(mode=0o600)
    path.write_text(done.stdout)
    return path
