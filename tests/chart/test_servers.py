"""The bundled servers: who may do what in Postgres, what restarts RabbitMQ, how much memory Redis has, and how passwords are rotated."""

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.chart.rendering import find, pods, rendered

pytestmark = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on PATH: the chart is not rendered")

SHELL_TIMEOUT_SECONDS = 10
ROLES = {
    "Deployment/shop-flashsale-order-worker": "flashsale_writer",
    "Deployment/shop-flashsale-keeper": "flashsale_keeper",
    "Deployment/shop-flashsale-ledger-api": "flashsale_ledger_api",
    "CronJob/shop-flashsale-recover-plan": "flashsale_keeper",
    "CronJob/shop-flashsale-recover-run": "flashsale_keeper",
    "CronJob/shop-flashsale-recover-rebuild": "flashsale_keeper",
    "CronJob/shop-flashsale-audit": "flashsale_reader",
    "CronJob/shop-flashsale-retention": "flashsale_retention",
}


def server(name: str, *words: str) -> dict[str, Any]:
    return find(rendered("", *words), "StatefulSet", f"shop-flashsale-{name}")


def script(server: str, name: str, *words: str) -> str:
    return str(find(rendered("", *words), "ConfigMap", f"shop-flashsale-{server}")["data"][name])


def test_only_the_migration_owns_the_tables_and_nobody_is_superuser() -> None:
    users: dict[str, str] = {}
    for name, pod in pods(rendered("", "--set", "retention.enabled=true")):
        for variable in (variable for container in pod["containers"] for variable in container.get("env", [])):
            if variable["name"] == "DATABASE_URL":
                users[name] = variable["value"].split("//")[1].split(":")[0]
    (migrate,) = [name for name in users if "-migrate-" in name]
    assert users == {**ROLES, migrate: "flashsale"}


def test_passwords_belong_to_no_revision_so_that_a_rollback_brings_none_back() -> None:
    secrets = [document for document in rendered("") if document["kind"] == "Secret"]
    assert len(secrets) == 8
    for secret in secrets:
        assert secret["metadata"]["annotations"] == {
            "helm.sh/hook": "pre-install,pre-upgrade", "helm.sh/hook-weight": "-10", "helm.sh/resource-policy": "keep",
        }  # fmt: skip
    assert not [document for document in rendered("", "--set", "hooks.enabled=false") if "helm.sh/hook" in str(document)]


def test_new_payment_window_does_not_restart_the_broker() -> None:
    words = ("--set", "paymentWindows={30,45}")
    assert server("rabbitmq")["spec"] == server("rabbitmq", *words)["spec"]
    assert '"payment.wait.45"' in script("rabbitmq", "definitions.json", *words)
    assert "import_definitions" in script("rabbitmq", "reload.sh")
    (reload,) = [container for container in server("rabbitmq")["spec"]["template"]["spec"]["containers"] if container["name"] == "reload"]
    assert reload["command"] == ["sh", "/config/reload.sh"]
    changed = ("--set", "rabbitmq.extraConfig.channel_max=100")
    assert server("rabbitmq")["spec"] != server("rabbitmq", *changed)["spec"]


@pytest.mark.parametrize("name", ["redis", "rabbitmq", "postgresql"])
def test_server_is_updated_only_when_its_pods_are_deleted_if_asked(name: str) -> None:
    strategies = [server(name, *words)["spec"]["updateStrategy"] for words in ((), ("--set", f"{name}.updateStrategy=OnDelete"))]
    assert strategies == [{"type": "RollingUpdate"}, {"type": "OnDelete"}]


def test_three_brokers_stop_one_by_one_on_nodes_of_their_own() -> None:
    words = ("--set", "rabbitmq.replicas=3,rabbitmq.preStopTimeoutSeconds=30")
    pod = server("rabbitmq", *words)["spec"]["template"]["spec"]
    (spread,) = pod["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["maxSkew"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", 1, "DoNotSchedule")
    assert pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == ["sh", "/config/drain.sh"]
    assert pod["terminationGracePeriodSeconds"] == 120
    drain = script("rabbitmq", "drain.sh", *words)
    assert drain.index("--timeout 30 await_online_quorum_plus_one") < drain.index("--timeout 30 drain")
    assert "lifecycle" not in server("rabbitmq")["spec"]["template"]["spec"]["containers"][0]


def test_redis_is_promised_twice_its_data() -> None:
    resources = server("redis")["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"] == "1200Mi"
    assert "maxmemory 600mb\n" in script("redis", "valkey.conf")


def test_redis_accepts_every_password_of_a_user(tmp_path: Path) -> None:
    for name, password in {"gateway": "old\n", "gateway.next": "new", "probe": "p"}.items():
        (tmp_path / name).write_text(password)
    rules = tmp_path / "rules"
    rules.write_text("gateway ~fs:* +ping\nprobe +ping\n")
    text = script("redis", "users.sh").replace("/secrets/", f"{tmp_path}/")
    done = subprocess.run(["sh", "-c", text, "users.sh", rules], capture_output=True, text=True, check=True, timeout=SHELL_TIMEOUT_SECONDS)
    old, new, probe = (hashlib.sha256(password.encode()).hexdigest() for password in ("old", "new", "p"))
    assert done.stdout == f"user gateway reset on #{old} #{new} ~fs:* +ping\nuser probe reset on #{probe} +ping\n"


@pytest.mark.parametrize(("values", "name"), [((), "redis"), (("--set", "redis.replicas=3"), "redis"), ((), "rabbitmq"),
                                              (("--set", "rabbitmq.replicas=3"), "rabbitmq"), ((), "postgresql")])  # fmt: skip
def test_scripts_of_the_servers_are_valid_shell(values: tuple[str, ...], name: str) -> None:
    scripts = find(rendered("", *values), "ConfigMap", f"shop-flashsale-{name}")["data"]
    for file, text in scripts.items():
        if file.endswith(".sh"):
            subprocess.run(["sh", "-n"], input=text, text=True, check=True, timeout=SHELL_TIMEOUT_SECONDS)
