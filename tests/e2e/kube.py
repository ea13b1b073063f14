"""A cluster and a release of the chart in it, used through kubectl and helm as people do."""

import base64
import hashlib
import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flashsale_local_stack import free_ports

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "flashsale"
VALUES = Path(os.environ.get("FLASHSALE_E2E_VALUES", ROOT / "deploy" / "kind" / "values.yaml"))
FLASH_SALES = "flashsales.flashsale.dev"
"""The full name: another group may have a resource of the same name."""
SECRETS = ("FLASHSALE_ADMIN_TOKEN", "FLASHSALE_WEBHOOK_SECRET", "FLASHSALE_SERVICE_KEYS", "FLASHSALE_BUYER_TOKEN_KEY")
COMMAND_TIMEOUT_SECONDS = 600
JOB_TIMEOUT_SECONDS = 600
POD_READY_SECONDS = 240
STOP_TIMEOUT_SECONDS = 10
HELM_TIMEOUT_SECONDS = 60
"""What helm needs in addition to the time that it may wait."""
SLOWER = 4
"""A slow machine may need four times as long as a quick one."""
WAIT_FOR_THE_END = "while true; do sleep 3600; done"


class CommandError(AssertionError):
    pass


def run(*command: object, stdin: str | None = None, check: bool = True, timeout_seconds: float = COMMAND_TIMEOUT_SECONDS) -> str:
    """Run a command; returns its output. Raises CommandError with all its output when it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=timeout_seconds, check=False)
    if check and done.returncode:
        raise CommandError(f"{shlex.join(words)} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout if done.returncode == 0 else done.stdout + done.stderr


def report(what: str, **figures: object) -> None:
    """Print a measurement."""
    print(f"e2e: {what}: " + ", ".join(f"{name} {value}" for name, value in figures.items()), flush=True)


def until(condition: Callable[[], Any], quick_seconds: float, what: str, every_seconds: float = 0.2) -> float:
    """Wait until `condition` is true, which takes at most `quick_seconds` on a quick machine; returns the seconds it took.

    A slow machine gets `SLOWER` times as long, because no time decides these tests: each measured one is printed with
    its bar. Raises AssertionError with `what` and the last answer.
    """
    timeout_seconds = quick_seconds * SLOWER
    started = time.monotonic()
    answer: Any = None
    while time.monotonic() - started < timeout_seconds:
        answer = condition()
        if answer:
            return time.monotonic() - started
        time.sleep(every_seconds)
    raise AssertionError(f"not within {timeout_seconds} s: {what}; the last answer was {answer!r}")


@dataclass(frozen=True)
class Job:
    logs: str
    succeeded: bool


class Namespace:
    """A namespace, and a release named `flashsale` in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._command_pod = ""
        """The pod in which commands run, and whose name depends on all that it was given; empty if there is none yet."""

    def create(self) -> None:
        run("kubectl", "create", "namespace", self.name)
        run("kubectl", "label", "namespace", self.name, "pod-security.kubernetes.io/enforce=restricted")

    def delete(self) -> None:
        """Delete the namespace with its contents and wait for its end. It may have FlashSales whose finalizer no operator removes."""
        if run("kubectl", "get", "namespace", self.name, "--ignore-not-found") == "":
            return
        self._drop_finalizers()
        run("kubectl", "delete", "namespace", self.name, "--ignore-not-found", "--timeout=480s")

    def uninstall(self) -> float:
        """Delete all FlashSales and uninstall; returns the seconds it took."""
        started = time.monotonic()
        self._drop_command_pod()
        self._delete_flash_sales()
        self.helm("uninstall", "--wait", "--timeout", "480s")
        return time.monotonic() - started

    def abandon(self) -> None:
        """Remove the release, if it is there, and its namespace, without waiting for their end: `delete` of the next run does that."""
        if "flashsale" in run("helm", "list", "--short", "--namespace", self.name):
            self._delete_flash_sales()
            self.helm("uninstall", "--no-hooks")
        self._drop_finalizers()
        run("kubectl", "delete", "namespace", self.name, "--ignore-not-found", "--wait=false")

    def _drop_finalizers(self) -> None:
        answer = self.kubectl("get", FLASH_SALES, "-o", "name", check=False).split()
        if names := [name for name in answer if name.startswith("flashsale.")]:
            self.kubectl("patch", *names, "--type=merge", "-p", '{"metadata":{"finalizers":null}}', check=False)

    def _delete_flash_sales(self) -> None:
        """With Retain, so that no hold delays it."""
        if names := self.kubectl("get", FLASH_SALES, "-o", "name").split():
            self.kubectl("patch", *names, "--type=merge", "-p", '{"spec":{"deletionPolicy":"Retain"}}')
        self.kubectl("delete", FLASH_SALES, "--all", "--timeout=240s")

    def kubectl(
        self, *words: object, stdin: str | None = None, check: bool = True, timeout_seconds: float = COMMAND_TIMEOUT_SECONDS
    ) -> str:
        return run("kubectl", "-n", self.name, *words, stdin=stdin, check=check, timeout_seconds=timeout_seconds)

    def helm(self, command: str, *words: object, check: bool = True) -> str:
        return run("helm", command, "flashsale", *words, "--namespace", self.name, check=check)

    def helm_get(self, what: str) -> str:
        return run("helm", "get", what, "flashsale", "--namespace", self.name)

    def install(
        self, *words: object, release_command: str = "install", chart: Path = CHART, values: Path = VALUES, timeout_seconds: int = 600
    ) -> float:
        """Install and wait until all is Ready; returns the seconds it took."""
        started = time.monotonic()
        tag = ("--set", f"image.tag={image_tag()}")
        run("helm", release_command, "flashsale", chart, "--namespace", self.name, "--values", values, *tag, "--wait", *words,
            "--timeout", f"{timeout_seconds}s", timeout_seconds=timeout_seconds + HELM_TIMEOUT_SECONDS)  # fmt: skip
        return time.monotonic() - started

    def get(self, *words: object) -> Any:
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def apply(self, *documents: Mapping[str, Any], check: bool = True) -> str:
        return self.kubectl("apply", "--server-side", "-f", "-", stdin="\n---\n".join(map(json.dumps, documents)), check=check)

    def patch(self, name: str, **spec: Any) -> None:
        self.kubectl("patch", FLASH_SALES, name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def sale(self, name: str) -> dict[str, Any]:
        return dict(self.get(FLASH_SALES, name))

    def phases(self) -> dict[str, str]:
        """The phases of all FlashSales that have one, by name."""
        listed = {sale["metadata"]["name"]: sale.get("status", {}).get("phase", "") for sale in self.get(FLASH_SALES)["items"]}
        return {name: phase for name, phase in listed.items() if phase}

    def ready(self, name: str) -> bool:
        """Whether the resource is Ready in its current generation."""
        sale = self.sale(name)
        generation = sale["metadata"]["generation"]
        status = sale.get("status", {})
        return status.get("observedGeneration") == generation and condition(sale, "Ready").get("status") == "True"

    def delete_pod(self, pod: str, grace_seconds: int | None = 0) -> None:
        how = [f"--grace-period={grace_seconds}", "--force"] if grace_seconds == 0 else []
        self.kubectl("delete", "pod", pod, "--wait=false", *how)

    def pods(self, component: str) -> list[dict[str, Any]]:
        pods = self.get("pods", "-l", f"app.kubernetes.io/component={component}")["items"]
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    @contextmanager
    def forwarded(self, pod: str, port: int) -> Iterator[str]:
        """An address on this machine that is forwarded to a pod's port; it takes a moment to work."""
        (own,) = free_ports(1)
        # Its stdout names every connection; errors are on stderr.
        process = subprocess.Popen(["kubectl", "-n", self.name, "port-forward", f"pod/{pod}", f"{own}:{port}"], stdout=subprocess.DEVNULL)
        try:
            yield f"127.0.0.1:{own}"
        finally:
            process.terminate()
            process.wait(STOP_TIMEOUT_SECONDS)

    def pods_ready(self, component: str, count: int) -> bool:
        return sum(map(is_ready, self.pods(component))) >= count

    def redis(self, *words: str, user: str = "operator") -> str:
        """Run a Redis command as the user of a service, in the server's pod; returns its output."""
        return self.execute("redis", *self._redis_client(user), *words)

    def redis_answers(self, commands: Sequence[str], user: str) -> dict[str, str]:
        """The answers of Redis to commands in the words of a shell, in one call of kubectl."""
        client = shlex.join(self._redis_client(user))
        # Each answer is one line that is not empty, because `execute` strips those at the end.
        script = "".join(f"echo \"answer: $({client} {command} 2>&1 | tr '\\n' ' ')\"\n" for command in commands)
        answers = [line.removeprefix("answer:").strip() for line in self.execute("redis", "sh", "-c", script).splitlines()]
        return dict(zip(commands, answers, strict=True))

    def _redis_client(self, user: str) -> list[str]:
        return redis_client(user, self.secret("flashsale-redis-storefront" if user == "storefront" else "flashsale-redis", user))

    def execute(self, server: str, *words: str) -> str:
        """Run a command in the pod of a bundled server, which may fail; returns its output."""
        return self.kubectl("exec", f"flashsale-{server}-0", "-c", server, "--", *words, check=False).strip()

    def hash(self, key: str) -> dict[str, str]:
        """A hash by field, as redis-cli prints it on a terminal: a sale's packed terms are binary. Redis changes the order at a restart."""
        printed = [line.partition(") ")[2] for line in self.redis("--no-raw", "HGETALL", key).splitlines()]
        return dict(zip(printed[::2], printed[1::2], strict=True))

    def secret(self, name: str, key: str) -> str:
        return base64.b64decode(self.get("secret", name)["data"][key]).decode()

    def postgres(self, statement: str, role: str = "flashsale", key: str = "password") -> str:
        """Run a statement as a role, in the server's pod; returns its rows with `|` between columns. `key` is the role's in its Secret."""
        secret = {"password": "flashsale-postgresql", "ledger_api": "flashsale-postgresql-ledger-api"}.get(
            key, "flashsale-postgresql-roles"
        )
        words = psql(role, self.secret(secret, key.replace("_", "-")))
        return self.kubectl("exec", "flashsale-postgresql-0", "-c", "postgresql", "--", *words, statement).strip()

    def start_cli(self, name: str, script: str) -> None:
        """Start a Job that runs a shell script with the flashsale command and with access to the release."""
        pod = cli_pod(script, *self._cli_template())
        job = {"backoffLimit": 0, "template": {"spec": pod}}
        self.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": job})

    def _cli_template(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """(the pod of the release's audit, the variables of a gateway that its clients need as well).

        The chart decides the image, the servers and the placement.
        """
        audit, gateway = self.get("cronjob/flashsale-audit", "deployment/flashsale-gateway")["items"]
        variables = gateway["spec"]["template"]["spec"]["containers"][0]["env"]
        return audit["spec"]["jobTemplate"]["spec"]["template"]["spec"], [held for held in variables if held["name"] in SECRETS]

    def finish_cli(self, name: str, timeout_seconds: float = JOB_TIMEOUT_SECONDS) -> Job:
        def ended() -> str | None:
            status = self.get("job", name).get("status", {})
            kinds = {held["type"] for held in status.get("conditions", ()) if held["status"] == "True"}
            return "Complete" if "Complete" in kinds else "Failed" if "Failed" in kinds else None

        until(ended, timeout_seconds, f"the end of job {name}", every_seconds=0.5)
        succeeded = ended() == "Complete"
        logs = self.kubectl("logs", f"job/{name}", "--tail=-1", check=False)
        self.kubectl("delete", "job", name, "--wait=false")
        return Job(logs, succeeded)

    def cli(self, script: str, timeout_seconds: float = JOB_TIMEOUT_SECONDS) -> Job:
        """Run a shell script as `start_cli` does, in a pod that stays for the next ones: a Job would need seconds to start and to end."""
        # A file of an earlier script must not be taken for this one's. The logs of a Job contain both streams as well.
        words = ("sh", "-c", f"rm -rf /tmp/*\n({script}\n) 2>&1")
        try:
            return Job(self.kubectl("exec", self._ready_command_pod(), "--", *words, timeout_seconds=timeout_seconds), succeeded=True)
        except CommandError as error:
            return Job(str(error), succeeded=False)

    def _ready_command_pod(self) -> str:
        """The name of the pod for commands. It is another one after a change of what a Job that starts now would get, such as a Secret."""
        spec = cli_pod(WAIT_FOR_THE_END, *self._cli_template()) | {"terminationGracePeriodSeconds": 1}
        given = json.dumps(spec, sort_keys=True)
        secrets = {secret["metadata"]["name"]: secret.get("data") for secret in self.get("secrets")["items"]}
        given += json.dumps({name: data for name, data in secrets.items() if f'"{name}"' in given}, sort_keys=True)
        name = f"command-{hashlib.sha256(given.encode()).hexdigest()[:10]}"
        if name != self._command_pod:
            self._drop_command_pod()
            self.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
            self.kubectl("wait", "--for=condition=Ready", f"pod/{name}", f"--timeout={POD_READY_SECONDS}s")
            self._command_pod = name
        return name

    def _drop_command_pod(self) -> None:
        if self._command_pod:
            self.kubectl("delete", "pod", self._command_pod, "--ignore-not-found", "--wait=false")
        self._command_pod = ""


def redis_client(user: str, password: str) -> list[str]:
    """The words of a Redis client in the server's pod that logs in as a user."""
    return ["env", f"REDISCLI_AUTH={password}", "valkey-cli", "--user", user, "--no-auth-warning"]


def psql(role: str, password: str) -> list[str]:
    """The words of a Postgres client in the server's pod that logs in as a role; a statement follows."""
    return ["env", f"PGPASSWORD={password}", "psql", "-h", "127.0.0.1", "-U", role, "-At", "flashsale", "-c"]


def settings(values: Mapping[str, Any]) -> list[str]:
    """Words for helm."""
    return [word for name, value in values.items() for word in ("--set-json", f"{name}={json.dumps(value)}")]


def image_tag() -> str:
    return os.environ.get("FLASHSALE_E2E_TAG", "dev")


def flash_sale(name: str, stock: int, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "flashsale.dev/v1alpha1",
        "kind": "FlashSale",
        "metadata": {"name": name},
        "spec": {"stock": stock, **spec},
    }


def condition(sale: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """A condition by type; empty when there is none."""
    conditions: Sequence[Any] = sale.get("status", {}).get("conditions", ())
    return next((dict(listed) for listed in conditions if listed["type"] == kind), {})


def numbers(sale: Mapping[str, Any]) -> tuple[int, ...]:
    """(total, available, reserved, sold) of the status"""
    stock = sale.get("status", {}).get("stock", {})
    return tuple(stock.get(name, -1) for name in ("total", "available", "reserved", "sold"))


def last_json(logs: str) -> Any:
    """The last JSON document that a command printed; it starts at a line with only an opening brace."""
    start = logs.rindex("\n{\n") + 1 if "\n{\n" in logs else logs.index("{")
    return json.JSONDecoder().raw_decode(logs[start:])[0]


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod is Ready."""
    return any(listed["type"] == "Ready" and listed["status"] == "True" for listed in pod["status"].get("conditions", ()))


def cli_pod(script: str, like: Mapping[str, Any], secrets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A pod that runs a shell script; `secrets` are variables in addition to those of `like`."""
    container = {
        "name": "cli",
        "image": like["containers"][0]["image"],
        "imagePullPolicy": like["containers"][0]["imagePullPolicy"],
        "command": ["sh", "-c", script],
        "env": [
            {"name": "FLASHSALE_URL", "value": "http://flashsale-gateway"},
            {"name": "FLASHSALE_ADMIN_URL", "value": "http://flashsale-gateway-admin:8001"},
            *secrets,
            # The addresses of Redis and of the ledger.
            *like["containers"][0]["env"],
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        # The folder /tmp, and certificates if the release has them.
        "volumeMounts": like["containers"][0]["volumeMounts"],
    }
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True},
        "imagePullSecrets": like.get("imagePullSecrets", []),
        "nodeSelector": like.get("nodeSelector", {}),
        "containers": [container],
        "volumes": like["volumes"],
    }
