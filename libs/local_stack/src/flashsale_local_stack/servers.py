"""How each server is stored on disk, started and probed, and what it may leave running. All classes have the same methods."""

import hashlib
import os
import pwd
import shutil
import socket
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

from flashsale_core import topology
from flashsale_local_stack import binaries, configs, leftovers
from flashsale_local_stack.errors import StackError
from flashsale_local_stack.processes import ProcessId, end, end_all, run, spawn, wait_until
from flashsale_local_stack.state import HOST, State, port_taken

PROBE_TIMEOUT_SECONDS = 2.0
INITDB_TIMEOUT_SECONDS = 120
INITDB_END_TIMEOUT_SECONDS = 5.0
QUERY_TIMEOUT_SECONDS = 30
WINDOWS = (5, *topology.WINDOWS_DEFAULT)


class RedisServer:
    """The single server `redis`, or a master of the cluster: `redis-1`, `redis-2` and so on."""

    def __init__(self, home: Path, state: State, name: str = "redis") -> None:
        self._home, self._state = home / name, state
        self._node = state.redis_nodes[int(name.partition("-")[2]) - 1] if state.redis_nodes else None
        self._port = self._node.port if self._node else state.ports.redis

    def start(self, log: Path) -> ProcessId:
        data = self._home / "data"
        data.mkdir(parents=True, exist_ok=True)
        conf = _private(self._home / "redis.conf", configs.redis_conf(self._state, str(data), self._node))
        return spawn([binaries.redis_server(self._state.redis_server or None), str(conf)], os.environ, log, self._home)

    def ready(self) -> bool:
        password = self._state.secrets.redis.encode()
        answer = _ask(self._port, b"AUTH %s\r\nPING\r\n" % password, 12)
        # The answer is -LOADING until Redis has loaded its append-only file.
        return answer.startswith(b"+OK\r\n+PONG")

    def address(self) -> str:
        return f"{HOST}:{self._port}"

    def leftovers(self, log: Path) -> list[ProcessId]:
        return leftovers.marked(log)


class RabbitServer:
    name = "rabbitmq"

    def __init__(self, home: Path, state: State) -> None:
        self._home, self._state, self._root = home / "rabbitmq", state, home

    def start(self, log: Path) -> ProcessId:
        if "'" in str(self._home):
            raise StackError(
                f"RabbitMQ's scripts fail if the folder's name contains an apostrophe ({self._home}); choose another folder with --home"
            )
        for folder in (self._home / "data", self._home / "log"):
            folder.mkdir(parents=True, exist_ok=True)
        hashed = topology.password_hash(self._state.secrets.amqp)
        definitions = msgspec.json.encode(topology.definitions([topology.User("flashsale", hashed)], WINDOWS))
        path = _private(self._home / "definitions.json", definitions.decode())
        _private(self._home / "rabbitmq.conf", configs.rabbitmq_conf(self._state, path.name))
        (self._home / "enabled_plugins").write_text("[].\n")
        self._start_epmd(log.with_name("epmd.log"))
        return spawn([binaries.rabbitmq_server()], self._env(), log, self._home)

    def ready(self) -> bool:
        """The broker answers the protocol header with a Connection.Start method frame (AMQP 0-9-1, section 4.2.2).

        The broker opens its listener last, after it has loaded the definitions.
        """
        return _ask(self._state.ports.amqp, b"AMQP\x00\x00\x09\x01", 7)[:1] == b"\x01"

    def address(self) -> str:
        return f"{HOST}:{self._state.ports.amqp}"

    def leftovers(self, log: Path) -> list[ProcessId]:
        return leftovers.marked(log)

    def _start_epmd(self, log: Path) -> None:
        """Start a private Erlang port mapper on its own port, because the system's may belong to another broker."""
        process = self._state.processes.get("epmd")
        if process is None or not process.alive:
            self._state.processes["epmd"] = spawn([binaries.epmd()], self._env(), log, self._home)
            if not wait_until(lambda: port_taken(self._state.ports.epmd), 5):
                raise StackError(f"epmd does not listen on {HOST}:{self._state.ports.epmd}; the reason is in {log}")

    def _env(self) -> dict[str, str]:
        keep = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        return configs.rabbitmq_env(self._state, str(self._root), keep)


class PostgresServer:
    name = "postgres"

    def __init__(self, home: Path, state: State) -> None:
        self._home, self._state = home, state

    def start(self, log: Path) -> ProcessId:
        data = self._data()
        if not (data / "PG_VERSION").exists():
            self._initialise(data)
        # A killed server leaves its pid file, and another process may have that pid by now. The stack has ended all leftovers before.
        (data / "postmaster.pid").unlink(missing_ok=True)
        return spawn([*postgres_user_command(), binaries.postgres("postgres"), "-D", str(data)], _plain_env(), log, data)

    def ready(self) -> bool:
        # SSLRequest (PostgreSQL protocol, section "Message Formats"): a server that accepts connections answers N or S.
        if _ask(self._state.ports.postgres, struct.pack("!ii", 8, 80877103), 1) not in (b"N", b"S"):
            return False
        return self._psql("select 1").returncode == 0

    def address(self) -> str:
        return f"{HOST}:{self._state.ports.postgres}"

    def leftovers(self, _log: Path) -> list[ProcessId]:
        return leftovers.postgres_of(Path(self._state.postgres_data)) if self._state.postgres_data else []

    def create_database(self) -> None:
        exists = self._query("select 1 from pg_database where datname = 'flashsale'")
        if exists.strip() != "1":
            self._query("create database flashsale")

    def remove(self) -> None:
        """Remove the data that is stored outside the home."""
        data = Path(self._state.postgres_data or self._home / "postgres")
        if data.parent != self._home:
            shutil.rmtree(data.parent, ignore_errors=True)

    def _data(self) -> Path:
        if not self._state.postgres_data:
            self._state.postgres_data = str(_data_folder(self._home))
        return Path(self._state.postgres_data)

    def _initialise(self, data: Path) -> None:
        data.mkdir(parents=True, exist_ok=True)
        data.chmod(0o700)
        password = _private(data.parent / f"{data.name}.password", self._state.secrets.postgres)
        user = _server_user()
        if user:
            shutil.chown(data, user)
            shutil.chown(password, user)
        options = ["--username=flashsale", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        command = [*postgres_user_command(), binaries.postgres("initdb"), f"--pgdata={data}", f"--pwfile={password}", *options]
        try:
            done = run(command, _plain_env(), data, INITDB_TIMEOUT_SECONDS)
        except BaseException:
            # It was interrupted, and what it has written so far would look complete to the next start.
            end_all(leftovers.postgres_of(data), INITDB_END_TIMEOUT_SECONDS)
            shutil.rmtree(data, ignore_errors=True)
            raise
        finally:
            password.unlink()
        if done.returncode != 0:
            shutil.rmtree(data, ignore_errors=True)
            raise StackError(f"initdb failed: {done.stderr.strip()}")
        with (data / "postgresql.conf").open("a") as conf:
            conf.write(configs.postgres_conf(self._state))

    def _query(self, sql: str) -> str:
        done = self._psql(sql)
        if done.returncode != 0:
            raise StackError(f"Postgres refused `{sql}`: {done.stderr.strip()}")
        return done.stdout

    def _psql(self, sql: str) -> "subprocess.CompletedProcess[str]":
        options = ["-X", "-q", "-A", "-t", "-h", HOST, "-p", str(self._state.ports.postgres), "-U", "flashsale", "-d", "postgres"]
        env = _plain_env() | {"PGPASSWORD": self._state.secrets.postgres, "PGCONNECT_TIMEOUT": "3"}
        return run([binaries.postgres("psql"), *options, "-c", sql], env, self._home, QUERY_TIMEOUT_SECONDS)


Server = RedisServer | RabbitServer | PostgresServer


def end_epmd(state: State) -> None:
    process = state.processes.pop("epmd", None)
    if process is not None:
        end(process, 5)


def _plain_env() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}


def _server_user() -> str | None:
    """The user of Postgres. As root, which Postgres refuses, it is `postgres` or else `nobody`; otherwise None: the current user."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise StackError("Postgres refuses to run as root, and this machine has no user `postgres` or `nobody` to run it as")


def postgres_user_command() -> Sequence[str]:
    """The words before a command that run it as the user of Postgres; empty if that is the current user."""
    name = _server_user()
    if name is None:
        return ()
    user = pwd.getpwnam(name)
    return ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")


def _data_folder(home: Path) -> Path:
    """`<home>/postgres`, or a private folder in /var/tmp if the user of Postgres cannot reach the home (below /root)."""
    inside = home / "postgres"
    if _server_user() is None or _reachable(home):
        return inside
    outside = Path("/var/tmp") / f"flashsale-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}"  # noqa: S108 - named by our home, mode 700
    outside.mkdir(mode=0o755, exist_ok=True)
    if outside.stat().st_uid != os.geteuid():
        raise StackError(f"{outside} belongs to another user; remove it or choose another folder with --home")
    if not inside.is_symlink():
        inside.symlink_to(outside / "postgres")
    return outside / "postgres"


def _reachable(folder: Path) -> bool:
    command = [*postgres_user_command(), "test", "-x", str(folder)]
    return subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 0


def _private(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)
    return path


def _ask(port: int, question: bytes, size: int) -> bytes:
    """The first `size` bytes of the server's answer; fewer if it does not answer."""
    answer = b""
    try:
        with socket.create_connection((HOST, port), PROBE_TIMEOUT_SECONDS) as connection:
            connection.sendall(question)
            while len(answer) < size:
                part = connection.recv(size - len(answer))
                if not part:
                    break
                answer += part
    except OSError:
        pass
    return answer
