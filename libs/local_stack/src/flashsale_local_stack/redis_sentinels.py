"""Redis servers, one of them the master, and Sentinels that promote another when it dies: for tests of failovers."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, Signals
from tempfile import TemporaryDirectory

from redis import Redis
from redis.exceptions import RedisError

from flashsale_local_stack import binaries, configs
from flashsale_local_stack.errors import StackError
from flashsale_local_stack.processes import ProcessId, end, end_all, spawn, wait_until
from flashsale_local_stack.state import HOST, free_ports, new_secrets

SERVICE = "flashsale"
SERVERS = SENTINELS = 3
DOWN_AFTER_MS, DESYNC_MS = 2000, 400
PRIORITY = 100
"""That of every replica, unless it is cut off."""
START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 10.0
PROBE_TIMEOUT_SECONDS = 2.0


class Failover:
    """Servers are named by their ports, because roles change."""

    def __init__(self, home: Path, redis_server: str = "") -> None:
        self._home = home
        self._binary = binaries.redis_server(redis_server or None)
        ports = free_ports(SERVERS + SENTINELS)
        self.servers, self.sentinels = tuple(ports[:SERVERS]), tuple(ports[SERVERS:])
        self._password, self._sentinel_password = new_secrets().redis, new_secrets().redis
        self._hidden_password = new_secrets().redis
        self._hidden: set[int] = set()
        self._cut_off: set[int] = set()
        self._processes: dict[int, ProcessId] = {}

    @property
    def url(self) -> str:
        nodes = ",".join(f"{HOST}:{port}" for port in self.sentinels)
        return f"redis+sentinel://:{self._password}@{nodes}/{SERVICE}?sentinel_password={self._sentinel_password}"

    def start(self) -> None:
        """Start everything, and wait until each Sentinel knows the others and all servers. Raises StackError."""
        for port in self.servers:
            self._write_server(port)
            self.start_server(port)
        for port in self.sentinels:
            self._start_sentinel(port)
        self.heal()

    def stop(self) -> None:
        """End everything, also what is paused."""
        end_all(list(self._processes.values()), STOP_TIMEOUT_SECONDS)
        for process in self._processes.values():
            end(process, STOP_TIMEOUT_SECONDS)

    def start_server(self, port: int) -> None:
        """Start a server with its data and its configuration, which a Sentinel may have changed."""
        conf = self._folder(port) / "redis.conf"
        self._processes[port] = spawn([self._binary, str(conf)], os.environ, self._folder(port) / "log", self._folder(port))

    def kill(self, port: int) -> None:
        end(self._processes[port], STOP_TIMEOUT_SECONDS, SIGKILL)

    def pause(self, port: int) -> None:
        """Stop the process without ending it: its connections stay open, and nobody gets an answer."""
        self._signal(port, SIGSTOP)

    def resume(self, port: int) -> None:
        self._signal(port, SIGCONT)

    def hide(self, port: int) -> None:
        """Cut a server off from the Sentinels and its replicas by a new password; its other connections, with the old one, stay."""
        with self.client(port) as client:
            client.config_set("requirepass", self._hidden_password)
            for connection in client.client_list():
                if connection["flags"] == "S" or connection["name"].startswith("sentinel-"):
                    client.client_kill(connection["addr"])
        self._hidden.add(port)

    def cut_off(self, port: int) -> None:
        """Keep a replica from all further writes of its master. It is the one that `promote` makes the master. Raises StackError."""
        with self.client(port) as client:
            client.config_set("replica-priority", 1)
            if not wait_until(lambda: self._is_preferred(port), START_TIMEOUT_SECONDS):
                raise StackError(f"the Sentinel does not see the priority of {HOST}:{port} after {START_TIMEOUT_SECONDS:.0f} s")
            client.config_set("masterauth", self._hidden_password)
            client.client_kill_filter(_type="master")
        self._cut_off.add(port)

    def heal(self) -> None:
        """Start what is dead, show what is hidden or cut off, and wait until all servers follow the master. Raises StackError."""
        for port in self.servers:
            if not self._processes[port].alive:
                self.start_server(port)
        for port in [*self._hidden]:
            with self.client(port, hidden=True) as client:
                client.config_set("requirepass", self._password)
                # A Sentinel keeps a connection on which its login failed.
                client.client_kill_filter(_type="normal", skipme=True)
            self._hidden.discard(port)
        for port in [*self._cut_off]:
            with self.client(port) as client:
                client.config_set("masterauth", self._password)
                client.config_set("replica-priority", PRIORITY)
                # A Sentinel that made it a replica or the master has written the wrong values down.
                client.config_rewrite()
            self._cut_off.discard(port)
        # Sentinel would demote an old master only after some ten seconds.
        for port in {*self.servers} - {self.master()}:
            self._demote(port)
        if not wait_until(lambda: all(self._is_complete(port) for port in self.sentinels), START_TIMEOUT_SECONDS):
            raise StackError(f"the Sentinels do not see all servers after {START_TIMEOUT_SECONDS:.0f} s; their logs are in {self._home}")

    def users(self, port: int) -> int:
        """How many connections a server has, except those of replicas, masters, Sentinels and this one."""
        with self.client(port) as client:
            own = client.client_id()
            others = [connection for connection in client.client_list() if int(connection["id"]) != own]
        return sum(not (set("MS") & set(other["flags"]) or other["name"].startswith("sentinel-")) for other in others)

    def master(self) -> int:
        """The port of the master, as most Sentinels name it."""
        named = [self._named_by(port) for port in self.sentinels]
        return max(set(named), key=named.count)

    def promote(self) -> int:
        """Make a replica the master, while the old master runs on as its replica. Returns the port of the new master."""
        old = self.master()
        with self._sentinel(self.sentinels[0]) as sentinel:
            sentinel.execute_command("SENTINEL FAILOVER", SERVICE)
        self.wait_for_other_master(old)
        return self.master()

    def wait_for_other_master(self, old: int) -> None:
        if not wait_until(lambda: all(self._named_by(port) not in (old, 0) for port in self.sentinels), START_TIMEOUT_SECONDS):
            raise StackError(f"no other server became the master within {START_TIMEOUT_SECONDS:.0f} s; the logs are in {self._home}")

    def client(self, port: int, *, hidden: bool = False) -> "Redis":
        password = self._hidden_password if hidden else self._password
        return Redis(host=HOST, port=port, password=password, socket_timeout=PROBE_TIMEOUT_SECONDS)

    def _demote(self, port: int) -> None:
        """Make a server that believes it is a master a replica of the real one, once it answers."""

        def follows() -> bool:
            try:
                with self.client(port) as client:
                    if client.info("replication")["role"] == "master":
                        client.replicaof(HOST, self.master())
            except RedisError:
                return False
            return True

        if not wait_until(follows, START_TIMEOUT_SECONDS):
            raise StackError(f"the server on {HOST}:{port} does not answer after {START_TIMEOUT_SECONDS:.0f} s")

    def _write_server(self, port: int) -> None:
        master = None if port == self.servers[0] else self.servers[0]
        _write(self._folder(port) / "redis.conf", configs.replicated_redis_conf(port, self._password, str(self._folder(port)), master))

    def _start_sentinel(self, port: int) -> None:
        folder = self._folder(port)
        # Two Sentinels that start a failover at the same moment vote for themselves, and try again only much later.
        down_after_ms = DOWN_AFTER_MS + DESYNC_MS * self.sentinels.index(port)
        text = configs.sentinel_conf(port, self._sentinel_password, str(folder), SERVICE, self.servers[0], self._password, down_after_ms)
        conf = _write(folder / "sentinel.conf", text)
        self._processes[port] = spawn([self._binary, str(conf), "--sentinel"], os.environ, folder / "log", folder)

    def _is_complete(self, port: int) -> bool:
        try:
            with self._sentinel(port) as sentinel:
                state = sentinel.sentinel_master(SERVICE)
                replicas = sentinel.sentinel_slaves(SERVICE)
        except RedisError:
            return False
        links = {int(replica["port"]): replica["master-link-status"] for replica in replicas}
        return state["num-other-sentinels"] == SENTINELS - 1 and links == dict.fromkeys({*self.servers} - {int(state["port"])}, "ok")

    def _is_preferred(self, port: int) -> bool:
        """Whether the Sentinel that `promote` asks prefers this replica. It looks every ten seconds."""
        with self._sentinel(self.sentinels[0]) as sentinel:
            priorities = {int(replica["port"]): replica["slave-priority"] for replica in sentinel.sentinel_slaves(SERVICE)}
        return bool(priorities.get(port, PRIORITY) < PRIORITY)

    def _named_by(self, sentinel_port: int) -> int:
        """0 if the Sentinel does not answer."""
        try:
            with self._sentinel(sentinel_port) as sentinel:
                return int(sentinel.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", SERVICE)[1])
        except RedisError:
            return 0

    def _sentinel(self, port: int) -> "Redis":
        return Redis(host=HOST, port=port, password=self._sentinel_password, socket_timeout=PROBE_TIMEOUT_SECONDS)

    def _signal(self, port: int, number: Signals) -> None:
        os.kill(self._processes[port].pid, number)

    def _folder(self, port: int) -> Path:
        folder = self._home / str(port)
        folder.mkdir(parents=True, exist_ok=True)
        return folder


@contextmanager
def failover() -> Iterator[Failover]:
    """Three servers and three Sentinels in a temporary folder, ended and removed afterwards."""
    with TemporaryDirectory(prefix="flashsale-sentinel-", ignore_cleanup_errors=True) as folder:
        servers = Failover(Path(folder))
        try:
            servers.start()
            yield servers
        finally:
            servers.stop()


def _write(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path
