"""TLS for a release: certificates of a private authority, in Secrets as cert-manager writes them, and the values that name them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.certificates import Authority, Certificate
from tests.e2e.kube import Namespace

AUTHORITY, CLIENT = "authority", "client-tls"


def secured(shop: Namespace, folder: Path, redis_pods: int) -> dict[str, Any]:
    """Values with which the three servers accept only TLS, and only from clients of the authority. Creates the Secrets."""
    authority = Authority(folder)
    # Pods of Redis have names of their own, because Sentinels name them to the services.
    pods = [f"flashsale-redis-{number}.{shop.name}.svc" for number in range(redis_pods)]
    hosts = {"redis": ["flashsale-redis", *pods], "rabbitmq": ["flashsale-rabbitmq"], "postgresql": ["flashsale-postgresql"]}
    _create(shop, AUTHORITY, {"ca.crt": authority.cert})
    _create(shop, CLIENT, _files(authority.issue("client")))
    values: dict[str, Any] = {"tls.caSecret": AUTHORITY, "tls.clientCertSecret": CLIENT, "tls.verifyClients": True}
    for server, names in hosts.items():
        _create(shop, f"{server}-tls", _files(authority.issue(server, *names)))
        values |= {f"{server}.tls.enabled": True, f"{server}.tls.existingSecret": f"{server}-tls"}
    return values


def _files(made: Certificate) -> dict[str, Path]:
    return {"tls.crt": made.cert, "tls.key": made.key}


def _create(shop: Namespace, name: str, files: Mapping[str, Path]) -> None:
    shop.kubectl("create", "secret", "generic", name, *(f"--from-file={key}={path}" for key, path in files.items()))
