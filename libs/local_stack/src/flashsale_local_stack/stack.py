"""The stack: which components run, and the order in which they start and stop."""

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals

from msgspec.structs import replace

from flashsale_local_stack import configs, fences, redis_cluster
from flashsale_local_stack.components import SERVICES, components_of, expand, refuse_other_masters, servers_of
from flashsale_local_stack.console_users import write_users
from flashsale_local_stack.env_file import write_env_file
from flashsale_local_stack.errors import StackError
from flashsale_local_stack.processes import end_all, end_together, last_lines, reap_ended, run, wait_until
from flashsale_local_stack.servers import PostgresServer, RabbitServer, RedisServer, end_epmd
from flashsale_local_stack.services import OPTIONAL, Service
from flashsale_local_stack.state import GATEWAY_PORT, HOST, State, gateway_port_of, load, locked, new_state, port_taken, save

DEFAULT_HOME = Path(".flashsale")
START_TIMEOUT_SECONDS = {"rabbitmq": 120.0}
START_TIMEOUT_SECONDS_DEFAULT = 120.0
# Erlang's logger gives up when its file is not open after 5 s, which a busy disk may need, and RabbitMQ ends then.
STARTED_TWICE = ("rabbitmq",)
STOP_TIMEOUT_SECONDS = 30.0
# Postgres waits for all sessions to end on SIGTERM and ends them on SIGINT (its manual, "Shutting Down the Server").
STOP_SIGNALS = {"postgres": SIGINT}
MIGRATE_TIMEOUT_SECONDS = 120
REJOIN_TIMEOUT_SECONDS = 10.0
REOPEN_TIMEOUT_SECONDS = 20.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Status:
    name: str
    running: bool
    pid: int | None
    address: str
    log: Path


def repository_root() -> Path:
    """The folder that contains lua/ and db/: FLASHSALE_ROOT, or the checkout from which this package was installed. Raises StackError."""
    named = os.environ.get("FLASHSALE_ROOT")
    root = Path(named) if named else Path(__file__).resolve().parents[4]
    if not (root / "lua" / "reserve.lua").is_file():
        raise StackError(f"{root} has no lua/ folder; set FLASHSALE_ROOT to a checkout of flashsale")
    return root


class Stack:
    """The stack of one home folder. Every method raises StackError with the reason and what to do."""

    def __init__(self, home: Path, say: Say = lambda _: None) -> None:
        self.home = home.resolve()
        self._say = say
        self._root = repository_root()

    def up(
        self,
        *,
        services: bool = True,
        gateway_port: int | None = None,
        redis_server: str = "",
        redis_masters: int | None = None,
        extra_env: Mapping[str, str] | None = None,
        optional: Sequence[str] | None = None,
    ) -> bool:
        """Start what is not running and wait until everything is ready. Returns whether anything was started.

        `gateway_port`: None keeps the previous port, at first 8000; 0 chooses a free one.
        `redis_masters`: None keeps the previous number, at first 1; more than one form a Redis Cluster.
        `extra_env`: variables added to the environment file and to the services; None keeps the previous ones.
        `optional`: services of OPTIONAL that run as well; None keeps the previous ones, at first none.

        All servers start at once, and then all services: most of a start is waiting, or uses one core.
        If anything fails or is interrupted, the components that this call started are stopped again.
        """
        with locked(self.home):
            state = load(self.home) or new_state(GATEWAY_PORT if gateway_port is None else gateway_port, redis_masters or 1)
            refuse_other_masters(state, redis_masters)
            self._apply_options(state, gateway_port, redis_server, extra_env)
            self._choose_optional(state, optional)
            servers = servers_of(state)
            names = (*servers, *SERVICES, *state.optional) if services else servers
            started: list[str] = []
            try:
                self._refuse_taken_port(state, names)
                launched = self._launch_missing(state, servers, started)
                # The broker takes longest. Meanwhile the database gets its schema.
                self._wait_all_ready(state, [name for name in launched if name != "rabbitmq"])
                self._prepare(state, started)
                self._wait_all_ready(state, launched)
                self._wait_all_ready(state, self._launch_missing(state, names[len(servers) :], started))
            except BaseException:
                # A component that never answered has nothing to finish, and a broker that is starting ignores SIGTERM.
                for name in reversed(started):
                    self._end(state, name, first=None if self._answers(state, name) else SIGKILL)
                # The port mapper must live as long as the broker does.
                if not _alive(state, "rabbitmq"):
                    end_epmd(state)
                save(self.home, state)
                raise
            self._write_env(state)
            return bool(started)

    def down(self, *, keep_data: bool = False) -> bool:
        """Stop what the stack started: all services at once, then all servers. Returns whether anything was running."""
        if not self.home.exists():
            return False
        with locked(self.home):
            state = load(self.home)
            if state is None:
                return False
            names = components_of(state)
            running = [name for name in names if _alive(state, name)]
            servers = servers_of(state)
            # Services first, because they finish what they have begun with the help of the servers.
            for group in ([name for name in names if name not in servers], servers):
                for name in running:
                    if name in group:
                        self._say(f"stopping {name}")
                self._end(state, *group)
            end_epmd(state)
            reap_ended()
            if keep_data:
                save(self.home, state)
            else:
                self._remove(state)
            return bool(running)

    def start(self, name: str) -> None:
        """Start one component with its previous ports and data. In a cluster, `redis` means all masters, here and below."""
        with locked(self.home):
            state = self._state()
            names = expand(state, name)
            for component in names:
                if not self._answers(state, component):
                    self._start(state, component)
            self._wait_in_cluster(state, names)
            if name == "redis" and _alive(state, "keeper"):
                # Redis sells again once the keeper has accepted its history. It may have to wait for servers that do not run.
                wait_until(lambda: fences.are_open(state), REOPEN_TIMEOUT_SECONDS)

    def launch(self, name: str, more_env: Mapping[str, str] | None = None) -> None:
        """Start one component that does not run, without waiting until it is ready: other commands go on meanwhile.

        `more_env`: variables for this start of a service only.
        """
        with locked(self.home):
            state = self._state()
            starting = replace(state, extra_env={**state.extra_env, **(more_env or {})})
            for component in expand(state, name):
                if not _alive(state, component):
                    self._end(state, component)
                    state.processes[component] = self._component(starting, component).start(self._log(component))
            save(self.home, state)

    def stop(self, name: str) -> None:
        with locked(self.home):
            state = self._state()
            self._end(state, *expand(state, name))
            save(self.home, state)

    def kill(self, name: str) -> None:
        """End one component as a crash would: with SIGKILL, so that it cannot clean up."""
        with locked(self.home):
            state = self._state()
            self._end(state, *expand(state, name), first=SIGKILL)
            save(self.home, state)

    def restart(self, name: str) -> None:
        self.stop(name)
        self.start(name)

    @property
    def is_open(self) -> bool:
        """Whether the keeper has opened Redis for its present history."""
        return fences.are_open(self._state())

    def pages(self, sale_id: str = "") -> list[str]:
        """Where the pages of the optional services are, those of one sale if it is named, and how to log in."""
        return configs.page_addresses(self._state(), sale_id)

    def env(self) -> dict[str, str]:
        """The variables of `<home>/env`."""
        return configs.public_env(self._state(), str(self._root))

    def status(self) -> list[Status]:
        state = load(self.home)
        if state is None:
            return []
        return [self._status(state, name) for name in components_of(state)]

    @property
    def running(self) -> bool:
        """Whether every component runs."""
        states = self.status()
        return bool(states) and all(status.running for status in states)

    def _apply_options(self, state: State, wanted_port: int | None, redis_server: str, extra_env: Mapping[str, str] | None) -> None:
        if not _alive(state, "gateway"):
            state.ports.gateway = gateway_port_of(state.ports.gateway, wanted_port)
        if redis_server and not any(_alive(state, name) for name in expand(state, "redis")):
            state.redis_server = redis_server
        if extra_env is not None:
            state.extra_env = dict(extra_env)

    def _choose_optional(self, state: State, wanted: Sequence[str] | None) -> None:
        if wanted is None:
            return
        if unknown := sorted(set(wanted) - OPTIONAL.keys()):
            raise StackError(f"there is no optional service {unknown[0]!r}; choose from {', '.join(OPTIONAL)}")
        for name in set(state.optional) - set(wanted):
            self._end(state, name)
        if "console" in wanted and not state.console_users_file:
            state.console_users_file = str(write_users(self.home / "console-users", state.secrets.console_password))
            # Both learn the console's key when they start.
            self._end(state, "gateway", "ledger-api")
        state.optional = [name for name in OPTIONAL if name in wanted]

    def _refuse_taken_port(self, state: State, names: Sequence[str]) -> None:
        """Checked before anything starts, so that a port in use is reported at once and not after half a minute."""
        if "gateway" in names and not _alive(state, "gateway") and port_taken(state.ports.gateway):
            port = state.ports.gateway
            raise StackError(f"{HOST}:{port} is in use: end its process, or choose another port with --gateway-port (0: a free one)")

    def _answers(self, state: State, name: str) -> bool:
        return _alive(state, name) and self._component(state, name).ready()

    def _launch_missing(self, state: State, names: Sequence[str], started: list[str]) -> Sequence[str]:
        """Start those that do not answer, without waiting for them. They are in `started` as well, also if one cannot be started."""
        missing = [name for name in names if not self._answers(state, name)]
        for name in missing:
            started.append(name)
            self._launch(state, name)
        return missing

    def _start(self, state: State, name: str) -> None:
        self._launch(state, name)
        self._wait_ready(state, name)

    def _launch(self, state: State, name: str) -> None:
        component = self._component(state, name)
        if _alive(state, name):
            self._say(f"{name} runs but does not answer: restarting it")
        self._end(state, name)
        self._say(f"starting {name} on {component.address()}")
        state.processes[name] = component.start(self._log(name))
        save(self.home, state)

    def _wait_all_ready(self, state: State, names: Sequence[str]) -> None:
        for name in names:
            self._wait_ready(state, name)

    def _wait_ready(self, state: State, name: str) -> None:
        log, timeout_seconds = self._log(name), START_TIMEOUT_SECONDS.get(name, START_TIMEOUT_SECONDS_DEFAULT)
        ready = self._becomes_ready(state, name, timeout_seconds)
        if not ready and name in STARTED_TWICE and not _alive(state, name):
            self._say(f"{name} ended while it started: trying once more")
            self._launch(state, name)
            ready = self._becomes_ready(state, name, timeout_seconds)
        if ready:
            return
        why = f"is not ready after {timeout_seconds:.0f} s" if _alive(state, name) else "ended while it started"
        self._end(state, name, first=SIGKILL)
        save(self.home, state)
        raise StackError(f"{name} {why}; its log {log} ends:\n{last_lines(log)}")

    def _becomes_ready(self, state: State, name: str, timeout_seconds: float) -> bool:
        component = self._component(state, name)
        return wait_until(lambda: component.ready() or not _alive(state, name), timeout_seconds) and _alive(state, name)

    def _prepare(self, state: State, started: Sequence[str]) -> None:
        """Create the Redis Cluster, the database and its schema. The broker loads its topology itself."""
        if state.redis_nodes:
            redis_cluster.join(state.redis_nodes, state.secrets.redis)
        PostgresServer(self.home, state).create_database()
        env = Service("gateway", self._root, state).env()
        done = run([sys.executable, "-m", "flashsale_cli", "migrate", "--initialise"], env, self._root, MIGRATE_TIMEOUT_SECONDS)
        if done.returncode != 0:
            raise StackError(f"flashsale migrate failed:\n{(done.stdout + done.stderr).strip()}")
        if "postgres" in started:
            self._say("ledger schema is up to date")

    def _wait_in_cluster(self, state: State, names: Sequence[str]) -> None:
        """Wait until the masters in `names` accept commands. The wait is limited, because they cannot while most other masters are down."""
        password = state.secrets.redis
        for name, node in zip(expand(state, "redis"), state.redis_nodes, strict=False):
            if name in names:
                wait_until(lambda node=node: redis_cluster.takes_orders(node, password), REJOIN_TIMEOUT_SECONDS)  # type: ignore[misc]

    def _end(self, state: State, *names: str, first: Signals | None = None) -> None:
        """End components at the same time, with the signal `first` or with that of an orderly end."""
        running = {state.processes.pop(name): first or STOP_SIGNALS.get(name, SIGTERM) for name in names if name in state.processes}
        end_together(running, STOP_TIMEOUT_SECONDS)
        for name in names:
            # If something else ended its first process, the children of that process still run.
            end_all(self._component(state, name).leftovers(self._log(name)), STOP_TIMEOUT_SECONDS)

    def _component(self, state: State, name: str) -> "Component":
        match name:
            case "rabbitmq":
                return RabbitServer(self.home, state)
            case "postgres":
                return PostgresServer(self.home, state)
            case _ if name in expand(state, "redis"):
                return RedisServer(self.home, state, name)
            case _:
                return Service(name, self._root, state)

    def _status(self, state: State, name: str) -> Status:
        process = state.processes.get(name)
        alive = process is not None and process.alive
        return Status(name, alive, process.pid if process and alive else None, self._component(state, name).address(), self._log(name))

    def _state(self) -> State:
        state = load(self.home)
        if state is None:
            raise StackError(f"there is no stack in {self.home}; start one with `flashsale stack up`")
        return state

    def _log(self, name: str) -> Path:
        return self.home / "log" / f"{name}.log"

    def _write_env(self, state: State) -> None:
        write_env_file(self.home / "env", configs.public_env(state, str(self._root)))
        save(self.home, state)

    def _remove(self, state: State) -> None:
        PostgresServer(self.home, state).remove()
        shutil.rmtree(self.home, ignore_errors=True)


Component = RedisServer | RabbitServer | PostgresServer | Service


def _alive(state: State, name: str) -> bool:
    process = state.processes.get(name)
    return process is not None and process.alive
