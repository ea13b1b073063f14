"""What values-production.yaml needs of a cluster: Secrets, certificates, a Postgres with TLS and the Prometheus operator's kinds."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import yaml

from tests.certificates import Authority, Certificate
from tests.e2e import servers
from tests.e2e.kube import CHART, ROOT, Namespace, run

VALUES = CHART / "values-production.yaml"
OVERLAY = ROOT / "deploy" / "kind" / "production.yaml"
CREDENTIALS = "shop-credentials"
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEYS = {
    "shop-redis": ("gateway", "timeout-worker", "operator", "audit", "keeper", "storefront", "probe", "replica", "sentinel"),
    "shop-rabbitmq": ("gateway", "order-worker", "timeout-worker", "keeper", "erlang-cookie"),
}
KINDS = {"PodMonitor": "podmonitors", "PrometheusRule": "prometheusrules"}
CLIENT = "shop-client-tls"


class Production:
    """A namespace with everything that the values name, and the namespace of its Postgres, on the node `safe`."""

    def __init__(self, shop: Namespace, ledger: Namespace, folder: Path, safe: str) -> None:
        self.shop, self.ledger = shop, ledger
        self._authority = Authority(folder)
        self._safe = safe

    def prepare(self) -> None:
        for namespace in (self.ledger, self.shop):
            namespace.delete()
            namespace.create()
        self._create_certificates()
        self._run_postgres()
        create_secret(self.shop, CREDENTIALS, credentials())
        for name, keys in KEYS.items():
            create_secret(self.shop, name, dict.fromkeys(keys))

    def renew(self, server: str) -> Certificate:
        """Replace the certificate of Redis, RabbitMQ or Postgres in its Secret."""
        made = self._authority.issue(server, *self._hosts(server))
        text = json.dumps({"stringData": {name: file.read_text() for name, file in files(made).items()}})
        namespace, name = (self.ledger, "postgresql-tls") if server == "postgresql" else (self.shop, f"shop-{server}-tls")
        namespace.kubectl("patch", "secret", name, "--type=merge", "-p", text)
        return made

    def _create_certificates(self) -> None:
        client = self._authority.issue("client")
        for namespace in (self.ledger, self.shop):
            create_files(namespace, "shop-ca", {"ca.crt": self._authority.cert})
            create_files(namespace, CLIENT, files(client))
        for server in ("redis", "rabbitmq"):
            create_files(self.shop, f"shop-{server}-tls", files(self._authority.issue(server, *self._hosts(server))))
        create_files(self.ledger, "postgresql-tls", files(self._authority.issue("postgresql", *self._hosts("postgresql"))))

    def _hosts(self, server: str) -> list[str]:
        """The host names of a server's certificate."""
        return [self.postgres_host] if server == "postgresql" else hosts(self.shop, server)

    @property
    def postgres_host(self) -> str:
        return servers.host(self.ledger, "postgresql")

    def _run_postgres(self) -> None:
        values = {
            "postgresql.tls": {"enabled": True, "existingSecret": "postgresql-tls"},
            "postgresql.nodeSelector": {"kubernetes.io/hostname": self._safe},
            "tls": {"caSecret": "shop-ca", "clientCertSecret": CLIENT, "verifyClients": True},
        }
        servers.run_servers(self.ledger, "postgresql", values=values)
        create_secret(self.shop, "shop-postgresql", servers.ledger_urls(self.ledger, url_keys(), "?sslmode=verify-full"))


def credentials() -> dict[str, str | None]:
    """The values of a Secret for the gateways that accept the keys of backends; None is a random one."""
    return {"admin-token": None, "order-id-key": None, "webhook-secret": WEBHOOK_SECRET, "service-keys": f"shop:{token_hex(20)}"}


def url_keys() -> set[str]:
    """The keys of the services' URLs in the Secret of Postgres."""
    return set(yaml.safe_load(VALUES.read_text())["externalPostgresql"]["urlKeys"].values())


def hosts(shop: Namespace, server: str) -> list[str]:
    """The host names of a server's certificate. Services reach the pods of Redis and RabbitMQ by their own names as well."""
    pods = {
        "redis": [f"flashsale-redis-{number}.{shop.name}.svc" for number in range(3)],
        "rabbitmq": [f"*.flashsale-rabbitmq-nodes.{shop.name}.svc"],
    }
    return [f"flashsale-{server}", *pods.get(server, ())]


def files(made: Certificate) -> dict[str, Path]:
    return {"tls.crt": made.cert, "tls.key": made.key}


def create_secret(shop: Namespace, name: str, values: Mapping[str, str | None]) -> None:
    """Where no value is given, it is random letters and digits."""
    shop.kubectl("create", "secret", "generic", name, *(f"--from-literal={key}={value or token_hex(20)}" for key, value in values.items()))


def create_files(shop: Namespace, name: str, files: Mapping[str, Path]) -> None:
    shop.kubectl("create", "secret", "generic", name, *(f"--from-file={key}={path}" for key, path in files.items()))


@contextmanager
def prometheus_kinds() -> Iterator[None]:
    """The kinds of the Prometheus operator, without their schemas and without the operator."""
    documents = [_kind(kind, plural) for kind, plural in KINDS.items()]
    run("kubectl", "apply", "--server-side", "-f", "-", stdin="\n---\n".join(map(json.dumps, documents)))
    names = [f"crd/{plural}.monitoring.coreos.com" for plural in KINDS.values()]
    run("kubectl", "wait", "--for=condition=Established", "--timeout=240s", *names)
    try:
        yield
    finally:
        run("kubectl", "delete", *names, "--timeout=240s")


def _kind(kind: str, plural: str) -> dict[str, Any]:
    group = "monitoring.coreos.com"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": kind, "plural": plural, "singular": kind.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }
