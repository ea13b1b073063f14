"""The compose file runs the same images without Kubernetes and sells a small sale; its profiles run as well."""

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode

import pytest

from flashsale_core.passwords import hash_password
from flashsale_local_stack import free_ports
from tests.e2e.kube import ROOT, image_tag, last_json, run, until

FILE = ROOT / "deploy" / "compose" / "compose.yaml"
COMPOSE = ("docker", "compose", "-p", "flashsale-e2e", "-f", FILE)
# The command depends on no service of the file. podman-compose would try to start all of them again, for some 20 s each time.
CLI = (*COMPOSE, "run", "--rm", "--no-deps", "cli")
PASSWORD = "a long password"
ADMIN_KEY = "c" * 48
SETTINGS = {
    "REDIS_PASSWORD": "redis0123456789",
    "AMQP_PASSWORD": "amqp0123456789",
    "POSTGRES_PASSWORD": "postgres0123456789",
    "ORDER_ID_KEY": "0123456789abcdef0123456789abcdef",
    "ADMIN_TOKEN": "admin0123456789",
    "WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "ADMIN_KEYS": f"console:{ADMIN_KEY}",
    "CONSOLE_ADMIN_KEY": ADMIN_KEY,
    "CONSOLE_SESSION_KEY": "s" * 64,
    "EVENTS": "on",
    "COMPOSE_PROFILES": "notifier,console,storefront",
}
PORTS = ("PORT", "LEDGER_API_PORT", "STOREFRONT_PORT", "CONSOLE_PORT")
PROBES = {
    "order-worker": 9101, "timeout-worker": 9102, "keeper": 9104, "ledger-api": 9105, "notifier": 9106, "storefront": 9107, "console": 9108,
}  # fmt: skip
READY = """
import sys, urllib.request
for url in sys.argv[1:]:
    try:
        urllib.request.urlopen(url, timeout=5)
        print("ready", url)
    except OSError as error:
        print(url, error)
"""

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not on PATH")


@dataclass(frozen=True)
class Addresses:
    gateway: str
    storefront: str
    console: str


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Addresses]:
    ports = {name: str(port) for name, port in zip(PORTS, free_ports(len(PORTS)), strict=True)}
    users = tmp_path / "users"
    users.write_text(f"ann:merchant:{hash_password(PASSWORD)}\n")
    # The container's user is another one.
    tmp_path.chmod(0o755)
    users.chmod(0o644)
    for name, value in (SETTINGS | ports | {"CONSOLE_USERS": str(users), "TAG": image_tag()}).items():
        monkeypatch.setenv(name, value)
    run(*COMPOSE, "down", "-v", check=False)
    run(*COMPOSE, "up", "-d")
    try:
        yield Addresses(*(f"http://127.0.0.1:{ports[name]}" for name in ("PORT", "STOREFRONT_PORT", "CONSOLE_PORT")))
    except BaseException:
        print(run(*COMPOSE, "ps", check=False))
        raise
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


def ready() -> list[str]:
    """The services that are ready, as a container of the same network sees them."""
    urls = [f"http://{service}:{port}/readyz" for service, port in PROBES.items()]
    lines = run(*COMPOSE, "exec", "-T", "gateway", "python", "-c", READY, *urls).splitlines()
    return [service for service, url in zip(PROBES, urls, strict=True) if f"ready {url}" in lines]


def console_pages(console: str, *paths: str) -> list[str]:
    """Pages of the console as a merchant who has logged in sees them."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    form = urlencode({"name": "ann", "password": PASSWORD}).encode()
    opener.open(urllib.request.Request(f"{console}/login", form, {"Origin": console}), timeout=10).close()  # noqa: S310 - a loopback address of our own
    return [opener.open(f"{console}{path}", timeout=10).read().decode() for path in paths]


def test_small_sale_runs_on_compose(addresses: Addresses) -> None:
    gateway = addresses.gateway
    until(lambda: answers(f"{gateway}/readyz"), 120, "the gateway of the compose file is ready", every_seconds=0.5)
    flashsale(gateway, "sale", "set", "tiny", "--stock", "40", "--window", "5")
    assert last_json(flashsale(gateway, "load", "--product", "tiny", "--buyers", "60", "--json"))["orders"] == 40

    def released() -> bool:
        with urllib.request.urlopen(f"{gateway}/sales/tiny", timeout=5) as answer:  # noqa: S310 - see above
            return bool(json.load(answer)["available"] == 40)

    until(released, 30, "unpaid units are released")
    audit = run(*CLI, "audit", "--wait-seconds", "30")
    assert "40 orders in the ledger" in audit

    until(lambda: ready() == list(PROBES), 60, "every service is ready", every_seconds=1)
    with urllib.request.urlopen(f"{addresses.storefront}/s/tiny", timeout=10) as page:  # noqa: S310 - see above
        assert "tiny" in page.read().decode()
    sales, orders = console_pages(addresses.console, "/sales", "/orders")
    assert 'href="/sales/tiny"' in sales
    assert "ann" in orders
    run(*CLI, "webhook", "add", "shop", "https://shop.example/")
    assert "https://shop.example/" in run(*CLI, "webhook", "list")
