"""The state that the stack keeps between commands in `<home>/state.json`: ports, secrets and started processes."""

import base64
import os
import random
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from itertools import islice
from os.path import samestat
from pathlib import Path
from typing import TextIO

import msgspec

from flashsale_local_stack.errors import StackError
from flashsale_local_stack.processes import ProcessId, wait_until

LOCK_TIMEOUT_SECONDS = 180.0
HOST = "127.0.0.1"
PORTS = (20_000, 32_000)
GATEWAY_PORT = 8000


class Ports(msgspec.Struct):
    redis: int
    amqp: int
    epmd: int
    dist: int
    postgres: int
    gateway: int
    order_worker: int
    timeout_worker: int
    keeper: int
    ledger_api: int = 0
    """0 in the file of an earlier release, as every port below: `load` chooses one."""
    ledger_api_probes: int = 0
    console: int = 0
    console_probes: int = 0
    storefront: int = 0
    storefront_probes: int = 0


class RedisNode(msgspec.Struct):
    port: int
    bus_port: int


class Secrets(msgspec.Struct):
    redis: str
    amqp: str
    postgres: str
    order_id_key: str
    admin_token: str
    webhook: str
    cookie: str
    service_key: str = msgspec.field(default_factory=lambda: secrets.token_hex(24))
    """A stack that an older release created gets it, and the next one, when it is started again."""
    buyer_token_key: str = msgspec.field(default_factory=lambda: secrets.token_hex(32))
    console_key: str = msgspec.field(default_factory=lambda: secrets.token_hex(24))
    """The console's admin key."""
    console_session: str = msgspec.field(default_factory=lambda: secrets.token_hex(32))
    console_password: str = msgspec.field(default_factory=lambda: secrets.token_hex(8))
    """The password of both people who may log in to the console: merchant and viewer."""


class State(msgspec.Struct):
    ports: Ports
    secrets: Secrets
    redis_server: str = ""
    redis_nodes: list[RedisNode] = msgspec.field(default_factory=list)
    """The masters of a Redis Cluster. Empty for a single server, whose port is `ports.redis`."""
    postgres_data: str = ""
    processes: dict[str, ProcessId] = msgspec.field(default_factory=dict)
    extra_env: dict[str, str] = msgspec.field(default_factory=dict)
    optional: list[str] = msgspec.field(default_factory=list)
    """The optional services that belong to this stack."""
    console_users_file: str = ""


def new_state(gateway_port: int, redis_masters: int = 1) -> State:
    more = 2 * redis_masters if redis_masters > 1 else 0
    redis, amqp, epmd, dist, postgres, free, order_worker, timeout_worker, keeper, *more_ports = free_ports(15 + more)
    others, nodes = more_ports[:6], more_ports[6:]
    ports = Ports(redis, amqp, epmd, dist, postgres, gateway_port or free, order_worker, timeout_worker, keeper, *others)
    return State(ports, new_secrets(), redis_nodes=[RedisNode(*pair) for pair in zip(nodes[::2], nodes[1::2], strict=True)])


def gateway_port_of(kept: int, wanted: int | None) -> int:
    """The gateway's port: `wanted`, or `kept` if that is None. 0 keeps the port if it is free and chooses a free one otherwise."""
    if wanted is None:
        return kept
    if wanted == 0:
        return kept if not port_taken(kept) else free_ports(1)[0]
    return wanted


def new_secrets() -> Secrets:
    token = secrets.token_hex
    webhook = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    return Secrets(token(16), token(16), token(16), token(32), token(24), webhook, token(16))


def free_ports(count: int) -> list[int]:
    """Ports that are free now, below the range from which the kernel takes the ports of clients.

    In that range, a client that retries while its server is down may get the server's port as its own and connect to itself.
    """
    return list(islice((port for port in random.sample(range(*PORTS), PORTS[1] - PORTS[0]) if not port_taken(port)), count))


def port_taken(port: int) -> bool:
    """Whether a process listens on the port. Sockets of closed connections do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
        return False


def load(home: Path) -> State | None:
    """None if the home has no stack. Raises StackError if the file cannot be decoded."""
    try:
        return _completed(msgspec.json.decode((home / "state.json").read_bytes(), type=State))
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise StackError(f"{home / 'state.json'} cannot be read ({error}); end the processes of this folder and delete it") from error


def _completed(state: State) -> State:
    if not state.ports.ledger_api:
        state.ports.ledger_api, state.ports.ledger_api_probes = free_ports(2)
    if not state.ports.console:
        state.ports.console, state.ports.console_probes = free_ports(2)
    if not state.ports.storefront:
        state.ports.storefront, state.ports.storefront_probes = free_ports(2)
    return state


def save(home: Path, state: State) -> None:
    draft = home / "state.json.new"
    draft.touch(mode=0o600)
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
    draft.replace(home / "state.json")


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Allows one command at a time per home. Raises StackError if another command holds the lock too long."""
    with ExitStack() as held:

        def try_lock() -> bool:
            handle = _try_lock(home)
            if handle is not None:
                held.enter_context(handle)
            return handle is not None

        if not wait_until(try_lock, LOCK_TIMEOUT_SECONDS):
            raise StackError(f"another flashsale stack command has held {home / 'lock'} for {LOCK_TIMEOUT_SECONDS:.0f} s")
        yield


def _try_lock(home: Path) -> TextIO | None:
    home.mkdir(parents=True, exist_ok=True)
    handle = (home / "lock").open("w")
    try:
        flock(handle, LOCK_EX | LOCK_NB)
        # The `down` that held the lock may have removed the folder: a lock on a deleted file excludes nobody.
        if samestat(os.fstat(handle.fileno()), (home / "lock").stat()):
            return handle
    except OSError:
        pass
    handle.close()
    return None
