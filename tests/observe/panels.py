"""The dashboards' panels, asked as Grafana would ask them, of a real Prometheus that scrapes what it is told."""

import json
import math
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from flashsale_cli.stack.state import free_ports
from tests.observe.prometheus import ROOT, RULES, binary

FOLDER = ROOT / "deploy" / "helm" / "flashsale" / "files" / "dashboards"
RATE_SECONDS = 15
START_TIMEOUT_SECONDS = 30


class Panel(NamedTuple):
    dashboard: str
    title: str
    query: str


def panels(*dashboards: str) -> list[Panel]:
    """Every query of every panel of these dashboards."""
    found = []
    for name in dashboards:
        for panel in json.loads((FOLDER / f"flashsale-{name}.json").read_text())["panels"]:
            found += [Panel(name, panel["title"], target["expr"]) for target in panel.get("targets", ())]
    return found


def substituted(query: str) -> str:
    """With Grafana's variables at All."""
    for name, value in {"$__rate_interval": f"{RATE_SECONDS}s", "$namespace": ".*", "$sale": ".*", "$job": ".*"}.items():
        query = query.replace(name, value)
    return query


class Prometheus:
    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **parameters: str) -> Any:
        with urllib.request.urlopen(f"{self._url}{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:  # noqa: S310 - our own Prometheus
            return json.load(answer)["data"]

    def values(self, query: str) -> list[float]:
        """What the query says now: one number for each series, those that are no number left out. Raises HTTPError when it is malformed."""
        found = self.ask("/api/v1/query", query=substituted(query))["result"]
        return [value for value in (float(one["value"][1]) for one in found) if not math.isnan(value)]

    def up(self, jobs: int) -> bool:
        """Whether so many jobs were scraped."""
        try:
            return len(self.values("up == 1")) >= jobs
        except OSError:
            return False


@contextmanager
def scraping(folder: Path, targets: Mapping[str, str]) -> Iterator[Prometheus]:
    """A Prometheus that scrapes these addresses, by job, every second."""
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
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, f"not all of {targets} were scraped"
            time.sleep(0.2)
        yield prometheus
    finally:
        process.terminate()
        process.wait(30)


def unanswered(prometheus: Prometheus, asked: list[Panel], seconds: float) -> list[Panel]:
    """The panels that have nothing to show, for as long as that."""
    deadline = time.monotonic() + seconds
    left = asked
    while left and time.monotonic() < deadline:
        left = [panel for panel in left if not prometheus.values(panel.query)]
        time.sleep(0.5)
    return left
