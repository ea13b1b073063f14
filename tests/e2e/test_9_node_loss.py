"""values-production.yaml on three nodes: the node with Redis' master dies during two sales, and comes back."""

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flashsale_core.keys import shard_of
from tests.e2e import nodes, redis_logins
from tests.e2e.crowd import Crowd, CrowdReport, errors, wait_until_sold_out
from tests.e2e.kube import STOP_TIMEOUT_SECONDS, Namespace, flash_sale, report, settings, until
from tests.e2e.production import CLIENT, OVERLAY, VALUES, Production, prometheus_kinds
from tests.e2e.redis_logins import rotate_logins

STOCK, REST = 8000, 1000
"""More than one crowd buys on a slow machine, and what is left of it for those who come at the end."""
FSYNC, CONFIRMED = "node-fsync", "node-confirmed"
PER_SECOND, LANES = 30, 300
"""Until Kubernetes notices, every second connection leads to the gateway that died. The others must be able to order meanwhile."""
AGAIN_MAX_SECONDS = 35
"""How soon orders must be accepted again, on a machine that keeps up. The target is 20 s, and the report shows what it was: 14 s."""
QUEUED_MAX = 10
"""Processes that want to run, for each processor. With more of them, Sentinels vote late, and everything takes longer in proportion."""
REPLICAS = {"gateway": 2, "order-worker": 2, "timeout-worker": 2, "keeper": 2, "ledger-api": 2, "storefront": 2, "redis": 3, "rabbitmq": 3}
INSTALL_SECONDS = 900


class Stage(NamedTuple):
    shop: Namespace
    production: Production
    doomed: str
    """The node that dies: it has Redis' master, a gateway, an order-worker and the keeper that acts."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The values as they are, on three nodes. What runs only once, and the crowd, is on the node that stays."""
    workers = nodes.workers()
    if len(workers) < 2:
        pytest.skip("the cluster has not two workers that are containers of this machine, so no node can be killed")
    doomed, safe = workers[:2]
    shop, ledger = Namespace("flashsale-e2e-node"), Namespace("flashsale-e2e-ledger")
    with prometheus_kinds():
        production = Production(shop, ledger, tmp_path_factory.mktemp("certificates"), safe)
        production.prepare()
        words = ("--values", OVERLAY, *settings(_values(doomed, safe)))
        seconds = shop.install(*words, values=VALUES, timeout_seconds=INSTALL_SECONDS)
        report("helm install --wait with values-production.yaml", seconds=f"{seconds:.1f}")
        yield Stage(shop, production, doomed)
        for namespace in (shop, ledger):
            namespace.abandon()


def _values(doomed: str, safe: str) -> dict[str, Any]:
    """Where the pods run, and that clients need a certificate as well, which is stricter than the values."""
    here = {"kubernetes.io/hostname": safe}
    # The first Redis pod, which is the master, goes where it may; the others go elsewhere, also to the control plane.
    prefer = {"weight": 100, "preference": {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [doomed]}]}}
    return {
        "tls.verifyClients": True,
        "tls.clientCertSecret": CLIENT,
        "redis.affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [prefer]}},
        **{f"{part}.nodeSelector": here for part in ("operator", "cli")},
    }


def on(shop: Namespace, component: str, node: str) -> str:
    """The name of the component's pod on a node."""
    (pod,) = [pod["metadata"]["name"] for pod in shop.pods(component) if pod["spec"]["nodeName"] == node]
    return str(pod)


def acts(shop: Namespace, keeper: str) -> bool:
    script = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9104/metrics', timeout=5).read().decode())"
    return "\nflashsale_keeper_active 1.0\n" in shop.kubectl("exec", keeper, "--", "python", "-c", script, check=False)


def let_keeper_act(stage: Stage) -> None:
    """See to it that the keeper on the node that dies is the one that acts."""
    doomed = on(stage.shop, "keeper", stage.doomed)

    def acting() -> bool:
        # One that has just replaced another one may be the first to take over as well.
        for name in {pod["metadata"]["name"] for pod in stage.shop.pods("keeper")} - {doomed}:
            if acts(stage.shop, name):
                stage.shop.delete_pod(name, None)
        return acts(stage.shop, doomed)

    until(acting, 90, "the keeper on the node that dies acts", every_seconds=2)


def lost_entries(ledger: Namespace, sale: str) -> int:
    """The entries of the sale's shard that the keeper reported as lost."""
    return int(ledger.postgres(f"select coalesce(sum(lost_entries), 0) from shards where shard = {shard_of(sale)}"))  # noqa: S608 - a number


@contextmanager
def reasons(shop: Namespace, into: Path) -> Iterator[None]:
    """Write the name of each FlashSale and why it is stalled into a file, at each change."""
    path = '{.metadata.name} {.status.conditions[?(@.type=="Stalled")].reason}{"\\n"}'
    with into.open("w") as file:
        watch = subprocess.Popen(["kubectl", "-n", shop.name, "get", "flashsales", "--watch", "-o", f"jsonpath={path}"], stdout=file)
        try:
            yield
        finally:
            watch.terminate()
            watch.wait(STOP_TIMEOUT_SECONDS)


def restarted(stage: Stage) -> bool:
    """Whether the pods of the node that died run again; until its kubelet reports them, they count as running on."""
    pods = [pod for name in REPLICAS for pod in stage.shop.pods(name) if pod["spec"]["nodeName"] == stage.doomed]
    ended = all(container["restartCount"] for pod in pods for container in pod["status"]["containerStatuses"])
    return ended and all(stage.shop.pods_ready(name, count) for name, count in REPLICAS.items())


def test_servers_refuse_what_has_no_tls_or_no_certificate(stage: Stage) -> None:
    """The services are Ready, so they have both."""
    shop, ledger = stage.shop, stage.production.ledger
    without_tls = "env REDISCLI_AUTH= valkey-cli -h flashsale-redis-0 ping"
    assert "PONG" not in shop.kubectl("exec", "flashsale-redis-0", "-c", "redis", "--", *without_tls.split(), check=False)
    login = ["env", f"PGPASSWORD={ledger.secret('flashsale-postgresql', 'password')}", "psql", "-At", "-c", "select 1"]
    plain = "host=flashsale-postgresql user=flashsale sslmode=disable"
    assert "no encryption" in ledger.kubectl("exec", "flashsale-postgresql-0", "-c", "postgresql", "--", *login, plain, check=False)
    job = shop.cli(AUDITS)
    assert job.succeeded, job.logs
    without_certificate, without_authority, _ = job.logs.split("then:\n")
    assert ("valid client certificate" in without_certificate, "certificate verify failed" in without_authority) == (True, True), job.logs


AUDITS = """
FLASHSALE_TLS_CERT_FILE= FLASHSALE_TLS_KEY_FILE= flashsale audit && exit 1
echo then:
FLASHSALE_TLS_CA_FILE= flashsale audit && exit 1
echo then:
flashsale audit
"""


PRESENTED = """
import socket, ssl, sys

def presented(address):
    host, _, port = address.rpartition(":")
    if port != "5432":
        return ssl.get_server_certificate((host, int(port)))
    # Postgres begins TLS only after this request.
    with socket.create_connection((host, int(port)), 10) as plain:
        plain.sendall(bytes([0, 0, 0, 8, 4, 210, 22, 47]))
        assert plain.recv(1) == b"S"
        with ssl._create_unverified_context().wrap_socket(plain) as encrypted:
            return ssl.DER_cert_to_PEM_cert(encrypted.getpeercert(True))

for address in sys.argv[1:]:
    print(presented(address))
"""
REDIS_ADDRESSES = [f"flashsale-redis-{number}:{port}" for number in range(3) for port in (6379, 26379)]
RENEWED_SECONDS = 180
REPLACED_STOCK = 36_000
"""More than one crowd buys during both replacements on a slow machine."""


@pytest.fixture(scope="module")
def crowd(stage: Stage) -> Crowd:
    """Buyers who order while passwords and certificates are replaced."""
    stage.shop.apply(flash_sale("replaced", REPLACED_STOCK, paymentWindowSeconds=1800, durability="confirmed"))
    until(lambda: stage.shop.ready("replaced"), 20, "Ready")
    return Crowd(stage.shop, "replaced").start()


def test_replicas_and_sentinels_get_new_passwords_while_a_crowd_orders(stage: Stage, crowd: Crowd) -> None:
    """Orders are never refused for longer than a second, and nothing tries an old password. The tests that follow need a failover."""
    shop = stage.shop
    refused_before = redis_logins.refused(shop)
    seconds, old, new = rotate_logins(shop)
    crowd.wait_for_order()
    seen = crowd.progress()
    waits = [round(end - begin, 1) for begin, end in seen.gaps]
    report("passwords of replicas and Sentinels replaced under load", seconds=f"{seconds:.1f}", waits_seconds=waits, **seen.outcomes)
    # On a busy machine all orders may wait for longer than a second; a failover refuses some, and leaves others without an answer.
    assert (errors(seen.outcomes), seen.refusing) == ({}, []), "orders were refused for longer than a second"
    assert sum(seen.outcomes.values()) - seen.accepted <= seen.accepted // 100, "orders were refused"
    assert redis_logins.refused(shop) == refused_before, "a replica or a Sentinel tried a password that was not accepted"
    assert redis_logins.accepting(shop, new) == redis_logins.ADDRESSES_OF_USERS
    assert redis_logins.accepting(shop, old) == set()


def test_renewed_certificates_are_used_while_a_crowd_orders(stage: Stage, crowd: Crowd) -> None:
    """No order is refused: Redis and Postgres read them, and Sentinels start again one after the other. RabbitMQ has a clock of its own."""
    shop, production, _ = stage
    before = crowd.progress()
    made = [
        *production.renew("redis").cert.read_text().split() * len(REDIS_ADDRESSES),
        *production.renew("postgresql").cert.read_text().split(),
    ]
    for namespace, server in ((shop, "redis"), (production.ledger, "postgresql")):
        for pod in namespace.pods(server):
            # A change of its pod lets the kubelet look at the Secret at once.
            namespace.kubectl("annotate", "pod", pod["metadata"]["name"], "renewed=yes", "--overwrite")
    gateway = shop.pods("gateway")[0]["metadata"]["name"]

    def presented() -> bool:
        addresses = [*REDIS_ADDRESSES, f"{production.postgres_host}:5432"]
        return shop.kubectl("exec", gateway, "--", "python", "-c", PRESENTED, *addresses, check=False).split() == made

    seconds = until(presented, RENEWED_SECONDS, "all Redis, all Sentinels and Postgres present renewed certificates", every_seconds=2)
    crowd.wait_for_order()
    result = crowd.stop()
    outcomes = Counter(result.outcomes) - Counter(before.outcomes)
    report("certificates of three Redis and Sentinels, and of Postgres, renewed under load", seconds=f"{seconds:.1f}", **outcomes)
    assert outcomes == {"accepted": result.accepted - before.accepted}, "an order was refused"
    assert result.bare_503 == 0, "a 503 had no Retry-After"


def test_sale_survives_the_loss_of_the_node_with_the_master(stage: Stage, tmp_path: Path) -> None:
    """Orders are accepted again, none is oversold, and only `fsync` may lose orders, exactly those the keeper reports."""
    shop, _, doomed = stage
    sales = (FSYNC, CONFIRMED)
    assert shard_of(FSYNC) != shard_of(CONFIRMED)
    assert on(shop, "redis", doomed) == "flashsale-redis-0"
    let_keeper_act(stage)
    for name, durability in zip(sales, ("fsync", "confirmed"), strict=True):
        shop.apply(flash_sale(name, STOCK, paymentWindowSeconds=900, durability=durability))
    until(lambda: all(map(shop.ready, sales)), 60, "Ready")
    crowds = [Crowd(shop, name, per_second=PER_SECOND, lanes=LANES, may_lose=name == FSYNC) for name in sales]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda crowd: crowd.start(buyers_at_the_end=REST + 1000), crowds))
    for crowd in crowds:
        crowd.wait_for_order()
    seen = tmp_path / "reasons"
    with reasons(shop, seen):
        killed_at = crowds[0].now()
        nodes.kill(doomed)
        try:
            for crowd in crowds:
                crowd.wait_for_order(120)
            ready = until(lambda: all(map(shop.ready, sales)), 60, "both sales are Ready again")
        finally:
            back_at = crowds[0].now()
            back = nodes.start(doomed)
    pods = until(lambda: restarted(stage), 120, "all pods are back")
    # The operator looks every 5 s, and may miss a recovery that is shorter.
    recovering = [name for name in sales if f"{name} Recovering" in seen.read_text()]
    report("the node of Redis' master killed", ready_after_orders_seconds=f"{ready:.1f}", seen_recovering=" ".join(recovering))
    report("the node is back", node_ready_seconds=f"{back:.1f}", pods_ready_seconds=f"{pods:.1f}")
    for crowd in crowds:
        crowd.wait_for_order()
    ends = [(crowd.leave(REST), crowd.stop()) for crowd in crowds]
    for name, (stock, result) in zip(sales, ends, strict=True):
        judge(stage, name, result, killed_at, back_at)
        wait_until_sold_out(shop, name, stock)
    assert shop.cli("flashsale audit --wait-seconds 60").succeeded


def judge(stage: Stage, name: str, result: CrowdReport, killed_at: float, back_at: float) -> None:
    lost = lost_entries(stage.production.ledger, name)
    report(f"crowd of {name} during the loss of the node", **result.recovery(killed_at, back_at), **result.outcomes, lost_entries=lost)
    report(f"crowd of {name} when the node is back, and all its pods start at once", **result.recovery(back_at))
    limit_seconds = AGAIN_MAX_SECONDS * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1) / QUEUED_MAX)
    assert 0 < result.recovery_seconds(killed_at, back_at) <= limit_seconds
    assert result.bare_503 == 0, "a 503 had no Retry-After"
    # The job of the sale with `confirmed` has failed if an order is missing.
    assert result.differences == ({"accepted_missing": lost} if lost and name == FSYNC else {})
