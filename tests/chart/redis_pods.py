"""The chart's three Redis pods without Kubernetes: its own scripts and configurations, run by this machine's shell and Valkey."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from signal import SIGKILL
from tempfile import TemporaryDirectory
from typing import Any

from redis import Redis
from redis.exceptions import AuthenticationError, RedisError

from flashsale_local_stack import StackError, free_ports, wait_until
from flashsale_local_stack.processes import ProcessId, end, end_all, run, spawn
from tests.chart.rendering import find, rendered
from tools.repository import ROOT

PODS = range(3)
REPLICATED = 2
ADDRESSES = "127.0.0.1"
"""The pods have 127.0.0.10 and the next two: Linux accepts them without any set-up."""
USERS = ("gateway", "timeout-worker", "operator", "audit", "keeper", "storefront", "probe", "replica", "sentinel")
START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 10.0
SCRIPT_TIMEOUT_SECONDS = 10.0
COMMAND_TIMEOUT_SECONDS = 5.0
RELOAD_EVERY_SECONDS = 0.2
"""How often a pod looks at its Secret here. In the chart it is 5 s, because the kubelet needs longer than that."""
PATH = f"{os.environ.get('PATH', os.defpath)}:{ROOT}/.bootstrap/valkey/usr/bin"
VALKEY_MIN = (8, 0, 3)
"""An earlier Valkey crashes when a replica loads its users (valkey-io/valkey#1832), and Redis 7.0 closes every connection then."""


def missing() -> str | None:
    """Why the pods cannot run on this machine; None if they can."""
    if not Path("/proc/self").exists():
        return "only Linux has further loopback addresses"
    absent = [name for name in ("helm", "valkey-server", "valkey-cli") if shutil.which(name, path=PATH) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    text = run(["valkey-server", "--version"], {"PATH": PATH}, ROOT, SCRIPT_TIMEOUT_SECONDS).stdout
    version = re.search(r" v=(\d+)\.(\d+)\.(\d+)", text)
    old = version is None or tuple(map(int, version.groups())) < VALKEY_MIN
    return f"{text.strip()} is older than {'.'.join(map(str, VALKEY_MIN))}" if old else None


class RedisPods:
    """Pods are numbered as in the chart. The first one begins as the master."""

    def __init__(self, home: Path) -> None:
        self.secret = {user: token_hex(16) for user in USERS}
        self._home = home
        self._redis_port, self._sentinel_port = free_ports(2)
        self._processes: dict[tuple[int, str], ProcessId] = {}
        self._written = 0
        files = find(rendered("ha.yaml", "--set", "redis.sentinel.downAfterMilliseconds=2000"), "ConfigMap", "shop-flashsale-redis")["data"]
        for number in PODS:
            self._prepare(number, files)

    def start(self) -> None:
        """Raises StackError if the pods do not follow one master."""
        for number in PODS:
            self.give_secret(number)
            done = run(["sh", "config/start-acl.sh"], self._env(number), self._folder(number), SCRIPT_TIMEOUT_SECONDS)
            if done.returncode:
                raise StackError(f"start-acl.sh of pod {number} failed: {done.stderr}")
            for container in ("redis", "sentinel", "reload"):
                self.start_container(number, container)
        self.wait_until_complete()

    def stop(self) -> None:
        processes = list(self._processes.values())
        end_all(processes, STOP_TIMEOUT_SECONDS)
        for process in processes:
            end(process, STOP_TIMEOUT_SECONDS)

    def start_container(self, number: int, name: str) -> None:
        script = "config/reload.sh" if name == "reload" else f"config/start-{name}.sh"
        self._processes[number, name] = spawn(["sh", script], self._env(number), self._log(number, name), self._folder(number))

    def kill_container(self, number: int, name: str) -> None:
        end(self._processes[number, name], STOP_TIMEOUT_SECONDS, SIGKILL)

    def give_secret(self, number: int) -> None:
        """Replace the mounted Secret of a pod by `secret` at once, as the kubelet does."""
        self._written += 1
        folder = self._folder(number) / f"secrets.{self._written}"
        folder.mkdir()
        for key, value in self.secret.items():
            (folder / key).write_text(value)
        link = self._folder(number) / "secrets.new"
        link.symlink_to(folder.name)
        link.rename(self._folder(number) / "secrets")

    def load_secret(self, number: int, line: str) -> None:
        """Mount the changed Secret in a pod, and wait until its container `reload` prints the line again. Raises StackError."""
        log = self._log(number, "reload")
        before = log.read_text().count(line)
        self.give_secret(number)
        if not wait_until(lambda: log.read_text().count(line) > before, START_TIMEOUT_SECONDS):
            raise StackError(f"pod {number} did not load its Secret within {START_TIMEOUT_SECONDS:.0f} s: {log.read_text()}")

    def server(self, number: int, user: str = "gateway", password: str | None = None) -> Any:
        return self._client(number, self._redis_port, user, password)

    def sentinel(self, number: int, user: str = "gateway", password: str | None = None) -> Any:
        return self._client(number, self._sentinel_port, user, password)

    def accepts(self, user: str, password: str) -> list[bool]:
        """Whether each server and then each Sentinel accepts the password; Redis has both users, and Sentinels only `sentinel`."""
        ports = [self._redis_port, *([self._sentinel_port] if user == "sentinel" else [])]
        return [self._logs_in(number, port, user, password) for port in ports for number in PODS]

    def newest_failover(self) -> tuple[int, int]:
        """(its epoch, the number of the pod that became the master)"""
        return max((state["config-epoch"], _number(state["ip"])) for state in map(self._state, PODS) if state)

    def refused_logins(self) -> int:
        """How many logins all servers and Sentinels have refused since they started."""
        clients = [make(number, "sentinel") for make in (self.server, self.sentinel) for number in PODS]
        return sum(_ask(client, lambda client: int(client.info("stats")["acl_access_denied_auth"])) for client in clients)

    def syncs(self, master: int) -> tuple[int, int]:
        """How often replicas have connected to the master: copies of all data, and of what they lacked."""
        stats = _ask(self.server(master), lambda client: client.info("stats"))
        return stats["sync_full"], stats["sync_partial_ok"]

    def wait_until_complete(self) -> None:
        """Wait until the Sentinels agree on a master with two replicas that keep up. Raises StackError."""
        if not wait_until(self._is_complete, START_TIMEOUT_SECONDS):
            logs = "\n".join(f"{path}:\n{path.read_text()[-2000:]}" for path in sorted(self._home.glob("*/*.log")))
            raise StackError(f"the pods do not follow one master within {START_TIMEOUT_SECONDS:.0f} s:\n{logs}")

    def _is_complete(self) -> bool:
        states = [self._state(number) for number in PODS]
        if len({(state.get("ip"), state.get("config-epoch")) for state in states}) != 1 or not states[0]:
            return False
        well = all((state["flags"], state["num-slaves"], state["num-other-sentinels"]) == ("master", 2, 2) for state in states)
        return well and self._replicas(_number(states[0]["ip"])) == REPLICATED

    def _replicas(self, master: int) -> int:
        """How many replicas keep up with the master; 0 if it does not answer."""
        try:
            state = _ask(self.server(master), lambda client: client.info("replication"))
        except RedisError:
            return 0
        return int(state.get("min_slaves_good_slaves", 0)) if state["role"] == "master" else 0

    def _state(self, number: int) -> dict[str, Any]:
        """What a Sentinel thinks of the master; empty if it does not answer."""
        try:
            answer = _ask(self.sentinel(number), lambda client: client.execute_command("SENTINEL MASTER", "flashsale"))
        except RedisError:
            return {}
        return dict(answer)

    def _logs_in(self, number: int, port: int, user: str, password: str) -> bool:
        try:
            return bool(_ask(self._client(number, port, user, password), lambda client: client.ping()))
        except AuthenticationError:
            return False

    def _client(self, number: int, port: int, user: str, password: str | None) -> Any:
        return Redis(
            host=_address(number),
            port=port,
            username=user,
            password=password or self.secret[user],
            socket_timeout=COMMAND_TIMEOUT_SECONDS,
            decode_responses=True,
        )

    def _prepare(self, number: int, files: Mapping[str, str]) -> None:
        folder = self._folder(number)
        for name in ("config", "run/acl", "data", "bin"):
            (folder / name).mkdir(parents=True)
        for name, text in files.items():
            bound = f"bind {_address(number)}\n" if name in ("valkey.conf", "sentinel.conf") else ""
            (folder / "config" / name).write_text(bound + self._localized(text, folder))
        # Inside the pod, it reaches the pod's own servers.
        client = folder / "bin" / "valkey-cli"
        client.write_text(f'#!/bin/sh\nexec {shutil.which("valkey-cli", path=PATH)} -h {_address(number)} -p {self._redis_port} "$@"\n')
        client.chmod(0o755)

    def _localized(self, text: str, folder: Path) -> str:
        """A file of the chart with folders, addresses, ports and the pause of this machine."""
        text = re.sub(r"(?<![\w/])/(config|secrets|run/acl|data)\b", rf"{folder}/\1", text)
        text = text.replace("$POD_NAME.shop.svc", ADDRESSES + "${POD_NAME##*-}").replace(
            "shop-flashsale-redis-$number.shop.svc", f"{ADDRESSES}$number"
        )
        text = text.replace("shop-flashsale-redis-0.shop.svc", f"{ADDRESSES}0")
        text = re.sub(r"\b26379\b", str(self._sentinel_port), text)
        text = re.sub(r"\b6379\b", str(self._redis_port), text)
        return text.replace("sleep 5 &", f"sleep {RELOAD_EVERY_SECONDS} &")

    def _env(self, number: int) -> dict[str, str]:
        return {
            "PATH": f"{self._folder(number)}/bin:{PATH}",
            "POD_NAME": f"shop-flashsale-redis-{number}",
            "REDISCLI_AUTH": self.secret["probe"],
        }

    def _folder(self, number: int) -> Path:
        return self._home / str(number)

    def _log(self, number: int, container: str) -> Path:
        return self._folder(number) / f"{container}.log"


def _ask(client: Any, what: Any) -> Any:
    with client:
        return what(client)


def _address(number: int) -> str:
    return f"{ADDRESSES}{number}"


def _number(address: str) -> int:
    return int(address.removeprefix(ADDRESSES))


@contextmanager
def redis_pods() -> Iterator[RedisPods]:
    """Three pods in a temporary folder, ended and removed afterwards."""
    with TemporaryDirectory(prefix="flashsale-redis-pods-", ignore_cleanup_errors=True) as folder:
        pods = RedisPods(Path(folder))
        try:
            pods.start()
            yield pods
        finally:
            pods.stop()
