"""The compose file runs the same images without Kubernetes, and sells a small sale."""

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.kube import image_tag, last_json, run, until

FILE = Path(__file__).resolve().parents[2] / "deploy" / "compose" / "compose.yaml"
COMPOSE = ("docker", "compose", "-p", "flashsale-e2e", "-f", FILE)
SETTINGS = {
    "REDIS_PASSWORD": "redis0123456789",
    "AMQP_PASSWORD": "amqp0123456789",
    "POSTGRES_PASSWORD": "postgres0123456789",
    "ORDER_ID_KEY": "0123456789abcdef0123456789abcdef",
    "ADMIN_TOKEN": "admin0123456789",
    "WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not on PATH")


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in (SETTINGS | {"PORT": str(port), "TAG": image_tag()}).items():
        monkeypatch.setenv(name, value)
    run(*COMPOSE, "down", "-v", check=False)
    run(*COMPOSE, "up", "-d")
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        if os.environ.get("FLASHSALE_E2E_KEEP") != "true":
            run(*COMPOSE, "down", "-v")


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - a loopback address of our own
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def flashsale(url: str, *words: str) -> str:
    env = os.environ | {"FLASHSALE_URL": url, "FLASHSALE_ADMIN_TOKEN": SETTINGS["ADMIN_TOKEN"]}
    command = [sys.executable, "-m", "flashsale_cli", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=True).stdout


def test_small_sale_runs_on_compose(gateway: str) -> None:
    until(lambda: answers(f"{gateway}/readyz"), 120, "the gateway of the compose file is ready", every_seconds=0.5)
    flashsale(gateway, "sale", "set", "tiny", "--stock", "40", "--window", "5")
    assert last_json(flashsale(gateway, "load", "--product", "tiny", "--buyers", "60", "--json"))["orders"] == 40

    def released() -> bool:
        with urllib.request.urlopen(f"{gateway}/sales/tiny", timeout=5) as answer:  # noqa: S310 - see above
            return bool(json.load(answer)["available"] == 40)

    until(released, 30, "unpaid units are released")
    audit = run(*COMPOSE, "run", "--rm", "cli", "audit", "--wait-seconds", "30")
    assert "40 orders in the ledger" in audit
