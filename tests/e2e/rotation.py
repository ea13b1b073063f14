"""The steps of docs/rotation.md for a release with the Secrets that the chart creates."""

import json
import shlex
import time
from base64 import b64decode
from collections.abc import Mapping, Sequence
from secrets import token_hex

from tests.e2e.kube import Namespace, until

REDIS, RABBITMQ, ROLES, CREDENTIALS = "flashsale-redis", "flashsale-rabbitmq", "flashsale-postgresql-roles", "flashsale-credentials"
OWNER, LEDGER_API = "flashsale-postgresql", "flashsale-postgresql-ledger-api"
STOREFRONT, IDENTITY = "flashsale-redis-storefront", "flashsale-identity"
USERS_OF_REDIS = (REDIS, STOREFRONT)
"""The Secrets whose keys are users of Redis, which may have several passwords."""
KEYS: Mapping[str, tuple[str, ...]] = {
    REDIS: ("gateway", "timeout-worker", "operator", "audit", "keeper", "probe"),
    STOREFRONT: ("storefront",),
    RABBITMQ: ("gateway", "order-worker", "timeout-worker", "keeper"),
    ROLES: ("writer", "keeper", "reader", "retention", "postgres"),
    LEDGER_API: ("ledger-api",),
    OWNER: ("password",),
    CREDENTIALS: ("admin-token", "admin-keys", "webhook-secret"),
    IDENTITY: ("service-keys", "buyer-token-key"),
}
LISTS = (CREDENTIALS, IDENTITY)
"""The Secrets whose keys may have several values."""
ORDER_IDS = "order-id-key"
"""A key of CREDENTIALS whose old value stays behind the new one, so that repeated requests find their orders."""
SERVICES = tuple(
    f"deployment/flashsale-{name}"
    for name in ("gateway", "order-worker", "timeout-worker", "keeper", "ledger-api", "storefront", "operator")
)
LOADED_SECONDS = 60
ROLLOUT_TIMEOUT_SECONDS = 480

Values = dict[str, dict[str, str]]
"""Secret -> key -> value"""


def read(shop: Namespace) -> Values:
    held = {name: shop.get("secret", name)["data"] for name in KEYS}
    return {name: {key: b64decode(held[name][key]).decode() for key in keys} for name, keys in KEYS.items()}


def other(values: Values) -> Values:
    """A new value for each."""
    return {name: {key: _like(value) for key, value in keys.items()} for name, keys in values.items()}


def _like(value: str) -> str:
    # Base64 of 30 bytes.
    if value.startswith("whsec_"):
        return f"whsec_{token_hex(20)}"
    # A named key keeps its name.
    name, colon, _ = value.rpartition(":")
    return f"{name}{colon}{token_hex(16)}"


def both(old: str, new: str) -> str:
    """A list of two values: of named keys, or of others."""
    return ("," if ":" in old else " ").join((old, new))


def order_id_keys(shop: Namespace) -> tuple[str, str]:
    """The key of order ids, and a new one."""
    old = b64decode(shop.get("secret", CREDENTIALS)["data"][ORDER_IDS]).decode()
    return old, _like(old)


def patch(shop: Namespace, name: str, values: Mapping[str, str | None]) -> None:
    """Write these keys of a Secret; None removes one."""
    removed = {key: None for key, value in values.items() if value is None}
    written = {key: value for key, value in values.items() if value is not None}
    shop.kubectl("patch", "secret", name, "--type=merge", "-p", json.dumps({"stringData": written, "data": removed}))


def load(shop: Namespace, *servers: str) -> float:
    """Wait until the servers' pods have loaded the Secrets that were changed; returns the seconds it took."""
    pods = [pod["metadata"]["name"] for server in servers for pod in shop.pods(server)]
    before = {pod: _loads(shop, pod) for pod in pods}
    for pod in pods:
        # A change of its pod lets the kubelet look at the Secret at once.
        shop.kubectl("annotate", "pod", pod, f"reload={time.time():.0f}", "--overwrite")
    return until(lambda: all(_loads(shop, pod) > before[pod] for pod in pods), LOADED_SECONDS, f"{pods} have loaded the Secrets", 0.5)


def _loads(shop: Namespace, pod: str) -> int:
    return shop.kubectl("logs", pod, "-c", "reload", "--tail=-1").count("loaded the ")


def restart(shop: Namespace) -> None:
    shop.kubectl("rollout", "restart", *SERVICES)
    for name in SERVICES:
        shop.kubectl("rollout", "status", name, f"--timeout={ROLLOUT_TIMEOUT_SECONDS}s", timeout_seconds=ROLLOUT_TIMEOUT_SECONDS + 10)


def accepting(shop: Namespace, server: str, attempts: Mapping[tuple[str, str], Sequence[str]]) -> set[tuple[str, str]]:
    """The attempts to log in that succeed in the pod of a server, in one call of kubectl."""
    lines = [f"{shlex.join(words)} 2>&1 | grep -qE '^PONG|Success' && echo {'/'.join(key)}" for key, words in attempts.items()]
    output = shop.execute(server, "sh", "-c", "\n".join([*lines, "true"])).split()
    return {key for key in attempts if "/".join(key) in output}
