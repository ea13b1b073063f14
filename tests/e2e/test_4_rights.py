"""Each component has the rights it needs and no others."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache

import pytest
import yaml

from tests.database_rights import GRANTED
from tests.database_rights import RIGHTS as DATABASE_RIGHTS
from tests.e2e.kube import CHART, ROOT, VALUES, Namespace, flash_sale, run, until

RIGHTS: dict[str, dict[str, set[str]]] = {
    "flashsale": {},
    "flashsale-operator": {
        "flashsales.flashsale.dev": {"get", "list", "watch", "patch"},
        "flashsales.flashsale.dev/status": {"patch"},
        "events": {"create"},
    },
    "flashsale-cleanup": {"flashsales.flashsale.dev": {"list", "delete"}},
    "flashsale-test": {"flashsales.flashsale.dev": {"create", "get", "delete"}},
}
"""Every account of the chart with its rights in the release's namespace. It has none in other namespaces."""


def granted(shop: Namespace, account: str, namespace: str) -> dict[str, set[str]]:
    """The rights of a service account in a namespace beyond those that every account has."""

    everybody = _table(shop.name, "default", namespace)
    extra = {resource: verbs - everybody.get(resource, set()) for resource, verbs in _table(shop.name, account, namespace).items()}
    return {resource: verbs for resource, verbs in extra.items() if verbs}


@cache
def _table(home: str, account: str, namespace: str) -> dict[str, set[str]]:
    """All rights in a namespace of an account of the namespace `home`."""
    text = run("kubectl", "auth", "can-i", "--list", "-n", namespace, f"--as=system:serviceaccount:{home}:{account}")
    rows = [line for line in text.splitlines()[1:] if line.strip() and not line.startswith(" ")]
    return {row.split()[0]: set(row[row.rindex("[") + 1 : row.rindex("]")].split()) for row in rows}


@pytest.fixture(scope="module")
def accounts(shop: Namespace) -> Iterator[set[str]]:
    """All accounts of the release. Those of hooks, which exist only while a hook runs, are created for the test."""
    kinds = ("ServiceAccount", "Role", "RoleBinding")
    hooks = [hook for hook in yaml.safe_load_all(shop.helm_get("hooks")) if hook and hook["kind"] in kinds]
    shop.apply(*hooks)
    names = shop.kubectl("get", "serviceaccounts", "-o", "name").split()
    yield {name.removeprefix("serviceaccount/") for name in names} - {"default"}
    for hook in hooks:
        shop.kubectl("delete", hook["kind"], hook["metadata"]["name"])


def test_each_account_has_exactly_its_rights(shop: Namespace, accounts: set[str]) -> None:
    assert {account: granted(shop, account, shop.name) for account in accounts} == RIGHTS
    assert {account: granted(shop, account, "default") for account in accounts} == {account: {} for account in RIGHTS}


def test_flashsale_of_another_engine_is_left_alone(shop: Namespace) -> None:
    shop.apply(flash_sale("elsewhere", 1, engine="another"), flash_sale("here", 1))
    until(lambda: shop.ready("here"), 10, "FlashSale here is Ready")
    elsewhere = shop.sale("elsewhere")
    assert ("status" in elsewhere, "finalizers" in elsewhere["metadata"]) == (False, False)
    assert shop.sale("here")["status"]["controllerName"] == f"{shop.name}.flashsale"
    changed = shop.kubectl("patch", "flashsale", "here", "--type=merge", "-p", '{"spec":{"engine":"another"}}', check=False)
    assert "engine cannot be changed" in changed
    shop.kubectl("delete", "flashsale", "elsewhere", "here", "--timeout=120s")


def test_second_operator_of_the_same_engine_is_refused_at_its_start(shop: Namespace) -> None:
    shop.apply(flash_sale("claimed", 1))
    until(lambda: shop.ready("claimed"), 10, "FlashSale claimed is Ready")
    second = {"FLASHSALE_OPERATOR_NAMESPACE": shop.name, "FLASHSALE_INSTALLATION": "second", "REDIS_URL": "redis://127.0.0.1:1/0"}
    command = [sys.executable, "-m", "flashsale_operator"]
    done = subprocess.run(command, env={**os.environ, **second}, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert f"the installation {shop.name}.flashsale serves the engine flashsale" in done.stdout + done.stderr
    shop.kubectl("delete", "flashsale", "claimed", "--timeout=120s")


POLICY = ("admissionPolicy.enabled=true", "admissionPolicy.productIdPrefixes.{namespace}={{mine-}}", "generatedSecrets.withoutCluster=true")
POLICY_TIMEOUT_SECONDS = 20
POLICY_MINOR = 30
"""The first minor version of Kubernetes 1 that has the chart's admission policy."""


@pytest.fixture
def policy(shop: Namespace) -> Iterator[None]:
    """The chart's admission policy, for the shared release."""
    server = json.loads(run("kubectl", "version", "-o", "json"))["serverVersion"]
    if int(server["minor"].rstrip("+")) < POLICY_MINOR:
        pytest.skip(f"Kubernetes {server['gitVersion']} has no ValidatingAdmissionPolicy of v1")
    words = [word for value in POLICY for word in ("--set", value.format(namespace=shop.name))]
    rendered = shop.helm("template", CHART, "--values", VALUES, "--show-only", "templates/admission-policy.yaml", *words)
    shop.kubectl("apply", "-f", "-", stdin=rendered)
    yield
    shop.kubectl("delete", "-f", "-", stdin=rendered)


@pytest.mark.usefixtures("policy")
def test_apiserver_refuses_what_is_not_this_tenants_or_not_installed(shop: Namespace) -> None:
    shop.apply(flash_sale("mine-earlier", 1))

    def answer(**spec: object) -> str:
        document = json.dumps(flash_sale("new", 1, **spec))
        return shop.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=document, check=False)

    # The apiserver takes a moment to load a policy.
    until(lambda: "it must begin with mine-" in answer(), POLICY_TIMEOUT_SECONDS, "the policy is loaded", every_seconds=0.5)
    assert "must be an installed payment window, one of" in answer(productId="mine-1", paymentWindowSeconds=61)
    assert "dry run" in answer(productId="mine-1", paymentWindowSeconds=60)
    shop.patch("mine-earlier", stock=2)
    shop.kubectl("delete", "flashsale", "mine-earlier", "--timeout=120s")


def test_services_have_no_token(shop: Namespace) -> None:
    for component in ("gateway", "order-worker", "timeout-worker", "keeper", "ledger-api", "storefront", "redis", "rabbitmq", "postgresql"):
        assert all(pod["spec"]["automountServiceAccountToken"] is False for pod in shop.pods(component))


FORBIDDEN = (
    "FLUSHALL",
    "CONFIG SET save ''",
    "KEYS '*'",
    "ACL LIST",
    "SHUTDOWN",
    "CLIENT PAUSE 1000",
    "CLIENT KILL TYPE normal",
    "CLIENT LIST",
    "CLIENT UNBLOCK 1",
    "CLIENT NO-EVICT on",
    "HGETALL other",
    "EVAL \"return redis.call('get', 'other')\" 0",
)


@pytest.mark.parametrize("user", ["gateway", "timeout-worker", "operator", "audit", "keeper", "storefront", "probe"])
def test_redis_user_is_limited_to_its_commands_and_keys(shop: Namespace, user: str) -> None:
    assert shop.redis("PING", user=user) == "PONG"
    answers = shop.redis_answers(FORBIDDEN, user)
    assert {words: answer for words, answer in answers.items() if "no permissions to" not in answer.lower()} == {}


def test_redis_refuses_clients_without_a_user(shop: Namespace) -> None:
    answer = shop.kubectl("exec", "flashsale-redis-0", "-c", "redis", "--", "env", "-u", "REDISCLI_AUTH", "valkey-cli", "PING", check=False)
    assert "NOAUTH" in answer


DATABASE_ROLES = {
    "deployment/flashsale-order-worker": "writer",
    "deployment/flashsale-keeper": "keeper",
    "deployment/flashsale-ledger-api": "ledger_api",
    "cronjob/flashsale-recover-run": "keeper",
    "cronjob/flashsale-audit": "reader",
}


def test_each_service_has_a_database_role_with_exactly_its_rights(shop: Namespace) -> None:
    for workload, key in DATABASE_ROLES.items():
        spec = shop.get(workload)["spec"]
        pod = spec.get("jobTemplate", {}).get("spec", spec)["template"]["spec"]
        (url,) = [variable["value"] for variable in pod["containers"][0]["env"] if variable["name"] == "DATABASE_URL"]
        assert url.startswith(f"postgresql://flashsale_{key}:"), workload
    roles = set(shop.postgres("select rolname from pg_roles where rolname like 'flashsale\\_%'").split())
    assert roles == {f"flashsale_{key}" for key in (*DATABASE_ROLES.values(), "retention")}
    for role in roles:
        key = role.removeprefix("flashsale_")
        rows = shop.postgres(GRANTED, role, key).splitlines()
        assert dict(row.split("|") for row in rows) == DATABASE_RIGHTS[key], key
    assert shop.postgres("select rolname from pg_roles where rolsuper") == "postgres"


DECLARE = """
import asyncio, os, sys, aio_pika
async def attempt(what):
    connection = await aio_pika.connect(os.environ["AMQP_URL"])
    async with connection:
        channel = await connection.channel()
        try:
            await what(channel)
        except Exception as error:
            return type(error).__name__, str(error)
        return "allowed", ""
async def main():
    tries = {
        "declare": lambda c: c.declare_queue("mine", durable=True),
        "delete": lambda c: c.queue_delete("orders"),
        "exchange": lambda c: c.declare_exchange("mine"),
        "consume": lambda c: consume(c),
    }
    for name, what in tries.items():
        print(name, *(await attempt(what)))
async def consume(channel):
    queue = await channel.get_queue(sys.argv[1], ensure=False)
    await queue.consume(print)
asyncio.run(main())
"""


@pytest.mark.parametrize("component", ["gateway", "order-worker", "timeout-worker", "keeper"])
def test_broker_user_cannot_declare_or_delete(shop: Namespace, component: str) -> None:
    pod = shop.pods(component)[0]["metadata"]["name"]
    foreign = "payment.timeout" if component == "order-worker" else "orders"
    lines = shop.kubectl("exec", pod, "--", "python", "-c", DECLARE, foreign).splitlines()
    assert [line.split()[0] for line in lines] == ["declare", "delete", "exchange", "consume"]
    assert all("ACCESS_REFUSED" in line or "AccessRefused" in line for line in lines), lines


GUEST = """
import asyncio, os, aio_pika
from urllib.parse import urlsplit
async def main():
    try:
        await aio_pika.connect(f"amqp://guest:guest@{urlsplit(os.environ['AMQP_URL']).hostname}:5672/")
    except Exception as error:
        print(type(error).__name__)
asyncio.run(main())
"""


def test_broker_has_no_guest_user(shop: Namespace) -> None:
    pod = shop.pods("gateway")[0]["metadata"]["name"]
    assert shop.kubectl("exec", pod, "--", "python", "-c", GUEST).strip() in ("AuthenticationError", "ProbableAuthenticationError")
    users = shop.kubectl("exec", "flashsale-rabbitmq-0", "-c", "rabbitmq", "--", "rabbitmqctl", "--silent", "list_users").split()
    assert {word for word in users if word.isalpha() or "-" in word} - {"user", "tags"} == {
        "gateway",
        "order-worker",
        "timeout-worker",
        "keeper",
    }
