"""The notifier and the console, which are off by default, and no bundled server: a shop gets its events, and a merchant logs in."""

import re
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

from flashsale_console.users import Role, User
from flashsale_core.passwords import hash_password
from tests.e2e import servers
from tests.e2e.kube import Namespace, flash_sale, image_tag, report, settings, until
from tests.e2e.production import CREDENTIALS, WEBHOOK_SECRET, create_secret, credentials

ADMIN_KEY, PASSWORD = "a-key-of-the-console-1234", "a long password"
ORIGIN = "http://127.0.0.1:8004"
"""Where a browser behind `kubectl port-forward service/flashsale-console 8004` is."""
ORDERS = 5
INSTALL_SECONDS = 600
OWN_SERVERS = {
    "redis": {
        "gateway": "gateway",
        "timeoutWorker": "timeout-worker",
        "operator": "operator",
        "audit": "audit",
        "keeper": "keeper",
        "storefront": "storefront",
        "console": "audit",
    },
    "rabbitmq": {
        "gateway": "gateway",
        "orderWorker": "order-worker",
        "timeoutWorker": "timeout-worker",
        "keeper": "keeper",
        "notifier": "notifier",
    },
    "postgresql": {
        "orderWorker": "writer",
        "keeper": "keeper",
        "ledgerApi": "ledger-api",
        "audit": "reader",
        "retention": "retention",
        "notifier": "notifier",
        "console": "console",
    },
}
"""The users of the merchant's own servers, by the service that logs in as one."""
RECEIVER_PORT = 8080
RECEIVE = f"""
import http.server
from standardwebhooks.webhooks import Webhook

class Hooks(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        event = Webhook("{WEBHOOK_SECRET}").verify(body, dict(self.headers))
        print(f"received {{event['type']}} {{self.headers['webhook-id']}}", flush=True)
        self.send_response(204)
        self.end_headers()

# One request at a time: lines of several threads would mix.
http.server.HTTPServer(("", {RECEIVER_PORT}), Hooks).serve_forever()
"""


@pytest.fixture(scope="module")
def merchant() -> Iterator[Namespace]:
    """A release with both, the merchant's own servers in another namespace, and a pod that stands in for the shop."""
    merchant, own = Namespace("flashsale-e2e-optional"), Namespace("flashsale-e2e-own-servers")
    for namespace in (merchant, own):
        namespace.delete()
        namespace.create()
    console = {"enabled": True, "existingSecret": "console"}
    servers.run_servers(own, *OWN_SERVERS, values={"notifier.enabled": True, "console": console})
    create_secret(merchant, "own-redis", servers.user_urls(own, "redis", "redis://", 6379))
    create_secret(merchant, "own-rabbitmq", servers.user_urls(own, "rabbitmq", "amqp://", 5672))
    create_secret(merchant, "own-postgresql", servers.ledger_urls(own, set(OWN_SERVERS["postgresql"].values())))
    create_secret(merchant, CREDENTIALS, credentials() | {"buyer-token-key": None, "admin-keys": f"console:{ADMIN_KEY}"})
    users = User("ann", Role.MERCHANT, hash_password(PASSWORD)).line
    create_secret(merchant, "console", {"admin-key": ADMIN_KEY, "session-key": None, "users": users})
    create_secret(merchant, "hooks", {"secret": WEBHOOK_SECRET})
    # A controller creates it, and a pod without one is refused.
    until(lambda: merchant.kubectl("get", "serviceaccount", "default", "--ignore-not-found"), 30, "the namespace has its account")
    merchant.apply(*receiver())
    address = merchant.get("service", "hooks")["spec"]["clusterIP"]
    endpoint = {"name": "shop", "url": f"http://hooks.{merchant.name}.svc:{RECEIVER_PORT}/", "secret": {"name": "hooks", "key": "secret"}}
    values: dict[str, Any] = {
        "credentials.existingSecret": CREDENTIALS,
        "gateway.service": {"type": "ClusterIP", "nodePort": None},
        # Without its network the notifier would refuse an address inside the cluster.
        "notifier": {"enabled": True, "endpoints": [endpoint], "allowedNetworks": [f"{address}/32"]},
        "console": console,
    }
    for server, logins in OWN_SERVERS.items():
        values[f"{server}.enabled"] = False
        values[f"external{server.title()}"] = {"existingSecret": f"own-{server}", "urlKeys": logins}
    seconds = merchant.install(*settings(values), timeout_seconds=INSTALL_SECONDS)
    report("helm install --wait with notifier and console, and with servers of one's own, until all is Ready", seconds=f"{seconds:.1f}")
    yield merchant
    for namespace in (merchant, own):
        namespace.abandon()


def receiver() -> list[dict[str, Any]]:
    """The shop's pod, with the gateway's image because it has Python and the library that checks signatures, and its Service."""
    labels = {"app": "hooks"}
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}
    container = {
        "name": "hooks",
        "image": f"flashsale/gateway:{image_tag()}",
        "command": ["python", "-c", RECEIVE],
        "securityContext": security,
    }
    spec = {"securityContext": {"runAsNonRoot": True}, "automountServiceAccountToken": False, "containers": [container]}
    service = {"selector": labels, "ports": [{"port": RECEIVER_PORT}]}
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "hooks", "labels": labels}, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hooks"}, "spec": service},
    ]


def test_shop_receives_a_signed_event_for_each_paid_order(merchant: Namespace) -> None:
    merchant.apply(flash_sale("told", ORDERS, paymentWindowSeconds=60))
    until(lambda: merchant.ready("told"), 20, "Ready")
    load = f"flashsale load --product told --buyers {ORDERS} --orders-out /tmp/orders --json && flashsale pay --orders-in /tmp/orders"
    job = merchant.cli(load)
    assert job.succeeded, job.logs

    def received() -> set[str]:
        return set(re.findall(r"received order\.paid (\S+)", merchant.kubectl("logs", "pod/hooks")))

    seconds = until(lambda: len(received()) == ORDERS, 60, "the shop receives an event for each paid order", every_seconds=0.5)
    report("events of paid orders received by a pod after the last payment", seconds=f"{seconds:.1f}")


class Page(NamedTuple):
    status: int
    answer: HTTPResponse
    text: str


def ask(address: str, method: str, path: str, fields: dict[str, str] | None = None, cookie: str = "") -> Page:
    connection = HTTPConnection(address, timeout=20)
    headers = {"host": ORIGIN.removeprefix("http://"), "cookie": cookie}
    if fields is not None:
        headers |= {"origin": ORIGIN, "content-type": "application/x-www-form-urlencoded"}
    try:
        connection.request(method, path, urlencode(fields) if fields is not None else None, headers)
        answer = connection.getresponse()
        return Page(answer.status, answer, answer.read().decode())
    finally:
        connection.close()


def answers(address: str) -> bool:
    try:
        return ask(address, "GET", "/login").status == 200
    except OSError:
        return False


def test_merchant_logs_in_through_a_port_forward_and_sees_the_sale(merchant: Namespace) -> None:
    (pod,) = merchant.pods("console")
    with merchant.forwarded(pod["metadata"]["name"], 8004) as address:
        until(lambda: answers(address), 30, "the console answers through the forwarded port")
        assert ask(address, "GET", "/sales").status == 303
        assert ask(address, "POST", "/login", {"name": "ann", "password": "a wrong password"}).status == 401
        entered = ask(address, "POST", "/login", {"name": "ann", "password": PASSWORD})
        assert (entered.status, entered.answer.getheader("location")) == (303, "/"), entered.text
        cookie = str(entered.answer.getheader("set-cookie")).split(";")[0]
        until(lambda: "told" in ask(address, "GET", "/sales", cookie=cookie).text, 30, "the page of the sales names the sale")
        system = ask(address, "GET", "/system", cookie=cookie)
    assert system.status == 200
