"""Upgrade from an earlier release and rollback with a live sale, and a release that comes back from its dump."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from flashsale_core.keys import sale_keys
from tests.e2e.backups import run_commands
from tests.e2e.crowd import REST, Crowd, wait_until_sold_out
from tests.e2e.earlier import VERSION, EarlierRelease, earlier_release
from tests.e2e.kube import VALUES, Namespace, flash_sale, image_tag, numbers, report, run, until
from tests.e2e.replicas import secrets, server_pods

CLUSTER_IP = ("--set", "gateway.service.type=ClusterIP")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> EarlierRelease:
    return earlier_release(tmp_path_factory.mktemp("earlier"))


@pytest.fixture(scope="module")
def upgraded(earlier: EarlierRelease) -> Iterator[Namespace]:
    """A release of the earlier version, with its own images."""
    namespace = Namespace("flashsale-e2e-upgrade")
    namespace.delete()
    namespace.create()
    tag = ("--set", f"image.tag={earlier.image_tag}")
    namespace.install(*CLUSTER_IP, *tag, chart=earlier.chart, values=earlier.values)
    yield namespace
    namespace.abandon()


def test_upgrade_and_rollback_do_not_disturb_a_sale(upgraded: Namespace, earlier: EarlierRelease) -> None:
    """The sale continues, and what was there stays; then helm rolls back, and upgrades again.

    From the same chart the servers keep running, and no request fails. A chart that changes them restarts them: while Redis is away, no
    gateway is ready, so clients also find nobody to connect to.
    """
    shop = upgraded
    assert f"flashsale-{VERSION}" in run("helm", "list", "--namespace", shop.name)
    shop.apply(flash_sale("upgraded", 8000, paymentWindowSeconds=900), flash_sale("untouched", 100, paymentWindowSeconds=900))
    until(lambda: shop.ready("upgraded") and shop.ready("untouched"), 10, "Ready")
    assert shop.cli("flashsale load --product untouched --buyers 30").succeeded
    until(lambda: numbers(shop.sale("untouched")) == (100, 70, 30, 0), 40, "the status contains 30 holds")
    before = lasting_state(shop)
    crowd = Crowd(shop, "upgraded").start(buyers_at_the_end=REST + 2000)
    begun = crowd.now()
    seconds = shop.install(*CLUSTER_IP, release_command="upgrade")
    report(f"helm upgrade --wait from {VERSION} with a live sale", seconds=f"{seconds:.1f}", packaged=earlier.packaged)
    assert f"flashsale-{VERSION}" not in run("helm", "list", "--namespace", shop.name)
    assert changes(before, kept(before, lasting_state(shop), earlier)) == {}
    crowd.wait_for_order()
    started = time.monotonic()
    shop.helm("rollback", "--wait", "--timeout", "480s")
    report("helm rollback --wait with a live sale", seconds=f"{time.monotonic() - started:.1f}")
    assert changes(before, kept(before, lasting_state(shop), earlier)) == {}
    crowd.wait_for_order()
    over = crowd.now()
    stock = crowd.leave(REST)
    result = crowd.stop()
    report("crowd during upgrade and rollback", **result.outcomes)
    assert result.bare_503 == 0
    assert earlier.packaged or result.errors == {}
    assert result.accepted_between(begun, over) > 0
    wait_until_sold_out(shop, "upgraded", stock)
    shop.install(*CLUSTER_IP, release_command="upgrade")
    assert changes(before, kept(before, lasting_state(shop), earlier)) == {}


def test_dump_brings_back_a_release_that_lost_every_volume(upgraded: Namespace, tmp_path: Path) -> None:
    """The holds are there again, the rest is sold, and the audit is clean."""
    shop = upgraded
    before = numbers(shop.sale("untouched"))
    values = yaml.safe_load(VALUES.read_text())
    values["image"]["tag"], values["gateway"]["service"] = image_tag(), {"type": "ClusterIP"}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    run_commands(shop, "Back up", tmp_path)
    shop.uninstall()
    shop.kubectl("delete", "persistentvolumeclaims", "--all", "--timeout=480s")
    started = time.monotonic()
    run_commands(shop, "Restore", tmp_path)
    report("restored from a dump after the loss of every volume", seconds=f"{time.monotonic() - started:.1f}")
    shop.apply(flash_sale("untouched", 100, paymentWindowSeconds=900))
    until(lambda: shop.ready("untouched"), 60, "Ready")
    until(lambda: numbers(shop.sale("untouched")) == before, 40, "the sale has its holds again")
    assert shop.cli("flashsale load --product untouched --buyers 200 && flashsale audit --wait-seconds 60").succeeded
    until(lambda: numbers(shop.sale("untouched")) == (100, 0, 100, 0), 40, "the remaining units are sold")


def kept(before: dict[str, Any], after: dict[str, Any], earlier: EarlierRelease) -> dict[str, Any]:
    """The part of a state that an upgrade from the earlier release must keep: a newer chart may add Secrets, keys and configuration.

    Redis restarts, and if a keeper ends while it reopens it, the next one rebuilds it, and writes fields that the old release lacked.
    """
    if not earlier.packaged:
        return after
    secrets = {name: {key: after["secrets"][name][key] for key in data} for name, data in before["secrets"].items()}
    sale = {field: after["sale"].get(field) for field in before["sale"]}
    return after | {"secrets": secrets, "servers": before["servers"], "sale": sale}


def changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What differs, by name: of a part with names, only those that differ."""
    return {
        name: changes(was, now) if isinstance(was, dict) and isinstance(now, dict) else (was, now)
        for name in before | after
        if (was := before.get(name)) != (now := after.get(name))
    }


def lasting_state(shop: Namespace) -> dict[str, Any]:
    """What an upgrade must not change: Secrets, a sale without new orders, and the servers' pods with their restart counts."""
    return {
        "secrets": secrets(shop),
        "sale": shop.hash(sale_keys("untouched").sale),
        "numbers": numbers(shop.sale("untouched")),
        "servers": server_pods(shop),
    }
