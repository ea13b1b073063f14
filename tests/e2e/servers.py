"""Servers of a merchant's own: the bundled ones, in a namespace without a release."""

from base64 import b64decode
from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from tests.e2e.kube import CHART, VALUES, Namespace, settings, until

READY_SECONDS = 120


def run_servers(namespace: Namespace, *servers: str, values: Mapping[str, Any]) -> None:
    """Run Redis, RabbitMQ or Postgres as the chart renders them with these values, and wait until they are ready."""
    shown = [word for name in (*servers, "secrets") for word in ("--show-only", f"templates/{name}.yaml")]
    rendered = namespace.helm("template", CHART, "--values", VALUES, *shown, *settings({"generatedSecrets.withoutCluster": True, **values}))
    namespace.kubectl("create", "serviceaccount", "flashsale")
    namespace.kubectl("apply", "-f", "-", stdin=rendered)
    for name in servers:
        until(lambda name=name: namespace.pods_ready(name, 1), READY_SECONDS, f"{name} is ready", every_seconds=1)  # type: ignore[misc]


def ledger_urls(namespace: Namespace, keys: set[str], options: str = "") -> Mapping[str, str]:
    """The URLs of a Postgres by the keys of services, and of the owner of its tables by `url`.

    An administrator creates the services' roles, as db/README.md says.
    """
    owner = _ledger_url(namespace, "flashsale", namespace.secret("flashsale-postgresql", "password"), options)
    return {"url": owner} | {key: _add_role(namespace, key, options) for key in keys}


def _add_role(namespace: Namespace, key: str, options: str) -> str:
    """The URL of a new role of a service."""
    role, password = f"flashsale_{key.replace('-', '_')}", token_hex(20)
    namespace.postgres(f"create role {role} login password '{password}'", "postgres", "postgres")
    return _ledger_url(namespace, role, password, options)


def _ledger_url(namespace: Namespace, role: str, password: str, options: str) -> str:
    return f"postgresql://{role}:{password}@{host(namespace, 'postgresql')}/flashsale{options}"


def user_urls(namespace: Namespace, server: str, scheme: str, port: int) -> Mapping[str, str]:
    """The URLs of Redis or RabbitMQ by the users that the chart makes; `url` is the gateways'."""
    held = [each["data"] for each in namespace.get("secrets")["items"] if each["metadata"]["name"].startswith(f"flashsale-{server}")]
    passwords = {user: b64decode(value).decode() for data in held for user, value in data.items()}
    urls = {user: f"{scheme}{user}:{password}@{host(namespace, server)}:{port}" for user, password in passwords.items()}
    return {"url": urls["gateway"], **urls}


def host(namespace: Namespace, server: str) -> str:
    return f"flashsale-{server}.{namespace.name}.svc"
