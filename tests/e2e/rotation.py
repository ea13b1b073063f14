"""The steps of docs/rotation.md for a release with the Secrets that the chart creates."""

import json
import time
from collections.abc import Iterable, Mapping
from secrets import token_hex

from tests.e2e.kube import Namespace, until

REDIS, RABBITMQ, ROLES, CREDENTIALS = "flashsale-redis", "flashsale-rabbitmq", "flashsale-postgresql-roles", "flashsale-credentials"
OWNER, LEDGER_API = "flashsale-postgresql", "flashsale-postgresql-ledger-api"
STOREFRONT = "flashsale-redis-storefront"
USERS_OF_REDIS = (REDIS, STOREFRONT)
"""The Secrets whose keys are users of Redis, which may have several passwords."""
# Without `audit` and `reader`: only Jobs use them, and the crowd's Job keeps what it has read at its start.
KEYS: Mapping[str, tuple[str, ...]] = {
    REDIS: ("gateway", "timeout-worker", "operator", "keeper", "probe"),
    STOREFRONT: ("storefront",),
    RABBITMQ: ("gateway", "order-worker", "timeout-worker", "keeper"),
    ROLES: ("writer", "keeper", "retention"),
    LEDGER_API: ("ledger-api",),
    OWNER: ("password",),
    CREDENTIALS: ("admin-token", "webhook-secret"),
}
SERVICES = ("gateway", "order-worker", "timeout-worker", "keeper", "ledger-api", "storefront", "operator")
LOADED_SECONDS = 60
ROLLOUT_TIMEOUT_SECONDS = 480

Values = dict[str, dict[str, str]]
"""Secret -> key -> value"""


def read(shop: Namespace) -> Values:
    return {name: {key: shop.secret(name, key) for key in keys} for name, keys in KEYS.items()}


def other(values: Values) -> Values:
    """A new value for each."""
    return {name: {key: _like(value) for key, value in keys.items()} for name, keys in values.items()}


def _like(value: str) -> str:
    # Base64 of 30 bytes.
    return f"whsec_{token_hex(20)}" if value.startswith("whsec_") else token_hex(16)


def patch(shop: Namespace, name: str, values: Mapping[str, str | None]) -> None:
    """Write these keys of a Secret; None removes one."""
    removed = {key: None for key, value in values.items() if value is None}
    written = {key: value for key, value in values.items() if value is not None}
    shop.kubectl("patch", "secret", name, "--type=merge", "-p", json.dumps({"stringData": written, "data": removed}))


def load(shop: Namespace, *servers: str) -> float:
    """Wait until the servers' pods have loaded the Secrets that were changed; returns the seconds it took."""
    pods = [f"flashsale-{server}-0" for server in servers]
    before = {pod: _loads(shop, pod) for pod in pods}
    for pod in pods:
        # A change of its pod lets the kubelet look at the Secret at once.
        shop.kubectl("annotate", "pod", pod, f"reload={time.time():.0f}", "--overwrite")
    return until(lambda: all(_loads(shop, pod) > before[pod] for pod in pods), LOADED_SECONDS, f"{pods} have loaded the Secrets", 0.5)


def _loads(shop: Namespace, pod: str) -> int:
    return shop.kubectl("logs", pod, "-c", "reload", "--tail=-1").count("loaded the ")


def restart(shop: Namespace, services: Iterable[str] = SERVICES) -> None:
    names = [f"deployment/flashsale-{name}" for name in services]
    shop.kubectl("rollout", "restart", *names)
    for name in names:
        shop.kubectl("rollout", "status", name, f"--timeout={ROLLOUT_TIMEOUT_SECONDS}s", timeout_seconds=ROLLOUT_TIMEOUT_SECONDS + 10)
