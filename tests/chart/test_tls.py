"""TLS on the bundled servers: no port without it, every client uses it, and each certificate names the hosts by which clients come."""

import json
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from flashsale_core import topology
from tests.chart.rendering import containers, find, pods, rendered

pytestmark = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on PATH: the chart is not rendered")
SCHEMES = {"REDIS_URL": "rediss+sentinel", "AMQP_URL": "amqps", "DATABASE_URL": "postgresql"}


def config(server: str, values: str = "tls.yaml", *words: str) -> dict[str, str]:
    return dict(find(rendered(values, *words), "ConfigMap", f"shop-flashsale-{server}")["data"])


def urls(values: str, *words: str) -> set[tuple[str, str]]:
    """(variable, URL) of every container."""
    variables = [
        variable for _, pod in pods(rendered(values, *words)) for container in containers(pod) for variable in container.get("env", [])
    ]
    return {(variable["name"], variable["value"]) for variable in variables if variable["name"] in SCHEMES and "value" in variable}


def nodes_of_rabbitmq(values: str, *words: str) -> set[str]:
    """FLASHSALE_AMQP_HOSTS of the containers that have AMQP_URL; empty for those without it."""
    lists = set()
    for _, pod in pods(rendered(values, *words)):
        for container in containers(pod):
            variables = {variable["name"]: variable.get("value", "") for variable in container.get("env", ())}
            if "AMQP_URL" in variables:
                lists.add(variables.get("FLASHSALE_AMQP_HOSTS", ""))
    return lists


def test_clients_of_three_brokers_have_the_address_of_each() -> None:
    """RabbitMQ's Service leads to a dead node until Kubernetes notices, so they do not rely on it."""
    names = [f"shop-flashsale-rabbitmq-{number}.shop-flashsale-rabbitmq-nodes.shop.svc:5671" for number in range(3)]
    assert nodes_of_rabbitmq("tls.yaml", "--set", "rabbitmq.replicas=3") == {",".join(names)}
    assert nodes_of_rabbitmq("tls.yaml", "--set", "rabbitmq.replicas=1") == {""}


def test_every_url_asks_for_tls() -> None:
    used = urls("tls.yaml")
    assert {(name, urlsplit(url).scheme) for name, url in used} == set(SCHEMES.items())
    assert {urlsplit(url).query for name, url in used if name == "DATABASE_URL"} == {"sslmode=verify-full"}
    assert {urlsplit(url).path for name, url in used if name == "AMQP_URL"} == {"/shop"}
    assert {urlsplit(url).port for name, url in used if name == "AMQP_URL"} == {5671}


def test_certificates_name_the_hosts_of_every_url() -> None:
    made = {document["metadata"]["name"]: document["spec"] for document in rendered("tls.yaml") if document["kind"] == "Certificate"}
    # A server with a Secret of its own needs no Certificate.
    assert set(made) == {"shop-flashsale-client", "shop-flashsale-redis", "shop-flashsale-rabbitmq"}
    listed = [urlsplit(url).netloc.rpartition("@")[2] for _, url in urls("tls.yaml")]
    hosts = {re.sub(r":\d+$", "", host) for hosts in (*listed, *nodes_of_rabbitmq("tls.yaml")) for host in hosts.split(",") if host}
    certified = {name for spec in made.values() for name in spec["dnsNames"]}
    assert {host for host in hosts if host not in certified and f"*.{host.partition('.')[2]}" not in certified} == {
        "shop-flashsale-postgresql"
    }
    assert {spec["secretName"] for spec in made.values()} <= {
        volume["secret"]["secretName"] for _, pod in pods(rendered("tls.yaml")) for volume in pod["volumes"] if "secret" in volume
    }


def test_servers_listen_only_with_tls() -> None:
    redis, sentinel = config("redis")["valkey.conf"], config("redis")["sentinel.conf"]
    for text, port in ((redis, 6379), (sentinel, 26379)):
        assert re.findall(r"(?m)^(?:tls-)?port .*$", text) == ["port 0", f"tls-port {port}"]
        assert {"tls-auth-clients yes", "tls-replication yes", "tls-client-key-file /tls/client/tls.key"} <= set(text.splitlines())
    rabbitmq = config("rabbitmq")["rabbitmq.conf"]
    assert re.findall(r"(?m)^\S*(?:listeners|port)\S* = .*$", rabbitmq) == [
        "listeners.tcp = none", "listeners.ssl.default = 5671", "management.ssl.port = 15672",
    ]  # fmt: skip
    assert "ssl_options.fail_if_no_peer_cert = true" in rabbitmq
    rules = [line.split() for line in config("postgresql")["pg_hba.conf"].splitlines() if not line.startswith("#")]
    assert [rule for rule in rules if rule[0] != "hostssl" and rule[3] not in ("127.0.0.1/32", "::1/128")] == []
    assert rules[-1][-1] == "clientcert=verify-ca"


def test_probes_and_scripts_of_redis_use_tls() -> None:
    pod = find(rendered("tls.yaml"), "StatefulSet", "shop-flashsale-redis")["spec"]["template"]["spec"]
    probes = [
        container[kind]["exec"]["command"]
        for container in pod["containers"]
        if container["name"] != "reload"
        for kind in ("readinessProbe", "livenessProbe")
    ]
    calls = re.findall(r"valkey-cli.*", "\n".join([*(command[-1] for command in probes), *config("redis").values()]))
    assert len(calls) == 9
    assert all(call.startswith("valkey-cli --tls --cacert /tls/ca/ca.crt --cert /tls/client/tls.crt --key") for call in calls)


@pytest.mark.parametrize("words", [(), ("--set", "tls.verifyClients=false"), ("--set", "redis.replicas=1")])
def test_redis_reads_every_renewed_file_without_a_restart(words: tuple[str, ...]) -> None:
    files = config("redis", "tls.yaml", *words)
    options = re.findall(r"(?m)^(tls-\S+-file) (/tls/\S+)$", files["valkey.conf"])
    assert len(options) >= 3
    (renewal,) = re.findall(r"config set (tls-.*)\)\" = OK", files["reload.sh"])
    assert renewal.split() == [word for option in options for word in option]
    # Its password is made in the pod, and the user can do nothing else.
    assert ("resetkeys resetchannels -@all $*" in files["reloader.sh"], "reloader.sh +config\\|set\n" in files["acl.sh"]) == (True, True)
    assert ("start again one after the other" in files.get("start-sentinel.sh", "")) == (words != ("--set", "redis.replicas=1"))


def test_postgres_reads_every_renewed_file_without_a_restart() -> None:
    files = config("postgresql")
    folders = {str(Path(file).parent) for file in re.findall(r"(?m)^ssl_\S+_file = '(\S+)'$", files["postgresql.conf"])}
    (watched,) = re.findall(r"certificates\(\) \{ cat (.*) \| sha256sum; \}", files["start.sh"])
    assert {str(Path(file).parent) for file in watched.split()} == folders == {"/tls/server", "/tls/ca"}
    assert command_of_postgres("tls.yaml") == ["sh", "/config/start.sh"]
    # Without TLS nothing is watched.
    assert "start.sh" not in config("postgresql", "")
    assert command_of_postgres("")[0] == "postgres"


def command_of_postgres(values: str) -> list[str]:
    (container,) = find(rendered(values), "StatefulSet", "shop-flashsale-postgresql")["spec"]["template"]["spec"]["containers"]
    return list(container["command"])


def test_single_redis_without_tls_has_nobody_who_may_change_its_configuration() -> None:
    assert "config\\|set" not in "".join(config("redis", "").values())
    # What replicas and Sentinels log in with.
    assert "config\\|set" in config("redis", "ha.yaml")["acl.sh"]


@pytest.mark.parametrize("server", ["redis", "rabbitmq", "postgresql"])
def test_key_of_a_server_is_readable_by_its_group_only(server: str) -> None:
    pod = find(rendered("tls.yaml"), "StatefulSet", f"shop-flashsale-{server}")["spec"]["template"]["spec"]
    (volume,) = [volume["secret"] for volume in pod["volumes"] if volume["name"] == "tls-server"]
    secret = "my-postgresql-tls" if server == "postgresql" else f"shop-flashsale-{server}-tls"
    assert (volume["secretName"], volume["defaultMode"]) == (secret, 0o640)
    assert all("tls-server" in {mount["name"] for mount in container["volumeMounts"]} for container in pod["containers"])


def test_clients_are_not_asked_for_certificates_by_default() -> None:
    words = ("--set", "tls.verifyClients=false")
    assert "tls-auth-clients no" in config("redis", "tls.yaml", *words)["valkey.conf"]
    assert "ssl_options.verify = verify_none" in config("rabbitmq", "tls.yaml", *words)["rabbitmq.conf"]
    assert "clientcert" not in config("postgresql", "tls.yaml", *words)["pg_hba.conf"]


def test_single_redis_with_tls_is_reached_by_its_service() -> None:
    assert {url.rpartition("@")[2] for name, url in urls("tls.yaml", "--set", "redis.replicas=1") if name == "REDIS_URL"} == {
        "shop-flashsale-redis:6379/0"
    }


def test_policies_open_the_port_with_tls() -> None:
    policies = [document for document in rendered("tls.yaml") if document["kind"] == "NetworkPolicy"]
    rules = [rule for policy in policies for way in ("ingress", "egress") for rule in policy["spec"].get(way) or ()]
    ports = {json.dumps(rule["ports"]) for rule in rules}
    assert '[{"port": 5671}]' in ports
    assert '[{"port": 5672}]' not in ports


def test_vhost_is_that_of_the_engines_definitions() -> None:
    document = json.loads(config("rabbitmq")["definitions.json"])
    users = topology.service_users({user["name"]: "" for user in document["users"]})
    wanted = topology.definitions(users, [15, 60, 120, 300, 600, 900, 1800], "shop")
    for section in ("vhosts", "permissions", "exchanges", "queues", "bindings", "policies"):
        assert sorted(map(_plain, document[section])) == sorted(map(_plain, wanted[section])), section
    assert "default_vhost = shop" in config("rabbitmq")["rabbitmq.conf"]


def test_topology_operator_gets_the_vhost_and_services_reach_its_cluster_with_tls() -> None:
    words = ("--set", "rabbitmqTopology.vhost=shop,rabbitmqTopology.cluster.tls=true")
    objects = [document for document in rendered("topology-operator.yaml", *words) if document["apiVersion"] == "rabbitmq.com/v1beta1"]
    assert {document["spec"]["vhost"] for document in objects if document["kind"] not in ("Vhost", "User")} == {"shop"}
    assert [document["spec"]["name"] for document in objects if document["kind"] == "Vhost"] == ["shop"]
    amqp = {url.rpartition("@")[2] for name, url in urls("topology-operator.yaml", *words) if name == "AMQP_URL"}
    assert amqp == {"events.messaging.svc:5671/shop"}


def _plain(entry: dict[str, Any]) -> str:
    return json.dumps(entry, sort_keys=True)
