"""Runs Prometheus and promtool for the tests and pictures of the dashboards.

The programs are those on PATH, or those that `scripts/servers.sh test` has unpacked.
"""

import json
import math
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from flashsale_local_stack import free_ports
from tools.repository import ROOT, RULES

UNPACKED = ROOT / ".bootstrap" / "prometheus" / "usr" / "bin"
START_TIMEOUT_SECONDS = 30
STOP_TIMEOUT_SECONDS = 30
ASK_TIMEOUT_SECONDS = 10
PROBE_PORTS = {
    "order-worker": "FLASHSALE_ORDER_WORKER_PROBE_PORT",
    "timeout-worker": "FLASHSALE_TIMEOUT_WORKER_PROBE_PORT",
    "keeper": "FLASHSALE_KEEPER_PROBE_PORT",
    "ledger-api": "FLASHSALE_LEDGER_API_PROBE_PORT",
    "console": "FLASHSALE_CONSOLE_PROBE_PORT",
    "storefront": "FLASHSALE_STOREFRONT_PROBE_PORT",
}
"""In a stack, by job. Console and storefront are optional."""


def binary(name: str) -> str:
    """Raises RuntimeError when it is not installed."""
    path = shutil.which(name) or shutil.which(name, path=str(UNPACKED))
    if path is None:
        raise RuntimeError(f"{name} is not installed; run `make test`, or scripts/servers.sh test")
    return path


def promtool(*words: object) -> tuple[int, str]:
    """(exit status, standard output and error)"""
    command = [binary("promtool"), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


class Prometheus:
    """A client. Every method raises HTTPError when a query is malformed."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **parameters: str) -> Any:
        url = f"{self._url}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=ASK_TIMEOUT_SECONDS) as answer:  # noqa: S310 - our own Prometheus
            return json.load(answer)["data"]

    def values(self, query: str) -> list[float]:
        """The current values of the query's series, without NaN."""
        result = self.ask("/api/v1/query", query=query)["result"]
        return [value for value in (float(series["value"][1]) for series in result) if not math.isnan(value)]

    def over(self, query: str, start: float, end: float, step_seconds: float) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """(labels, [(time, value)]) of each series from `start` to `end`; times are Unix seconds."""
        parameters = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step_seconds:g}"}
        result = self.ask("/api/v1/query_range", query=query, **parameters)["result"]
        return [(series["metric"], [(float(at), float(value)) for at, value in series["values"]]) for series in result]

    def label_values(self, selector: str, label: str) -> list[str]:
        values: list[str] = self.ask(f"/api/v1/label/{label}/values", **{"match[]": selector})
        return values

    def up(self, jobs: int) -> bool:
        """Whether `jobs` jobs or more were scraped."""
        try:
            return len(self.values("up == 1")) >= jobs
        except OSError:
            return False


def stack_targets(env: Mapping[str, str]) -> dict[str, str]:
    """Job -> the address of its /metrics, in a stack with this environment."""
    probes = {job: f"127.0.0.1:{env[name]}" for job, name in PROBE_PORTS.items() if name in env}
    return {"gateway": urlsplit(env["FLASHSALE_URL"]).netloc, **probes}


@contextmanager
def scraping(folder: Path, targets: Mapping[str, str]) -> Iterator[Prometheus]:
    """A Prometheus that has scraped all `targets` (job -> address) and does so every second. Raises RuntimeError when it ends early."""
    (port,) = free_ports(1)
    jobs = [{"job_name": job, "static_configs": [{"targets": [address]}]} for job, address in targets.items()]
    config = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(RULES)], "scrape_configs": jobs}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    words = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
             "--enable-feature=exemplar-storage"]  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([binary("prometheus"), *words], cwd=folder, stdout=log, stderr=log)
    prometheus = Prometheus(port)
    try:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not prometheus.up(len(targets)):
            if process.poll() is not None:
                raise RuntimeError(f"Prometheus ended:\n{(folder / 'log').read_text()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"not all of {dict(targets)} were scraped within {START_TIMEOUT_SECONDS} s")
            time.sleep(0.2)
        yield prometheus
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_SECONDS)
