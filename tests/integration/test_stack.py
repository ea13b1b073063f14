"""The local stack when things fail: each failure has a clear outcome, and other processes are never harmed."""

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aio_pika
import asyncpg
import pytest
import redis
import redis.asyncio

from flashsale_core import topology
from flashsale_local_stack import INFRASTRUCTURE, Stack, StackError, binaries, configs, private_stack, processes
from flashsale_local_stack import stack as stack_module
from flashsale_local_stack.processes import ProcessId, wait_until
from flashsale_local_stack.servers import RabbitServer
from flashsale_local_stack.state import load, save


@pytest.fixture(scope="module")
def servers() -> Iterator[Stack]:
    """The servers of a private stack, without services."""
    with private_stack(services=False) as stack:
        yield stack


def running(stack: Stack) -> set[str]:
    return {status.name for status in stack.status() if status.running}


def store(stack: Stack) -> redis.Redis:
    return redis.Redis.from_url(stack.env()["REDIS_URL"])


def test_second_up_starts_nothing(servers: Stack) -> None:
    before = [status.pid for status in servers.status()]
    assert (servers.up(services=False), [status.pid for status in servers.status()]) == (False, before)


def test_env_file_is_private_and_has_all_variables(servers: Stack) -> None:
    path = servers.home / "env"
    names = {line.partition("=")[0] for line in path.read_text().splitlines()}
    expected = {"FLASHSALE_URL", "FLASHSALE_ADMIN_TOKEN", "FLASHSALE_WEBHOOK_SECRET", "REDIS_URL", "AMQP_URL", "DATABASE_URL"}
    assert (names >= expected, stat.S_IMODE(path.stat().st_mode)) == (True, 0o600)


async def write(servers: Stack, name: str, word: str) -> None:
    await WRITERS[name](servers.env(), word)


async def read(servers: Stack, name: str) -> str:
    return await READERS[name](servers.env())


async def write_redis(env: Mapping[str, str], word: str) -> None:
    async with redis.asyncio.from_url(env["REDIS_URL"]) as client:
        await client.set("kept", word)


async def read_redis(env: Mapping[str, str]) -> str:
    async with redis.asyncio.from_url(env["REDIS_URL"], decode_responses=True) as client:
        return str(await client.get("kept"))


async def write_rabbitmq(env: Mapping[str, str], word: str) -> None:
    async with await aio_pika.connect(env["AMQP_URL"]) as connection:
        channel = await connection.channel(publisher_confirms=True)
        message = aio_pika.Message(word.encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, topology.UNROUTED_QUEUE)


async def read_rabbitmq(env: Mapping[str, str]) -> str:
    async with await aio_pika.connect(env["AMQP_URL"]) as connection:
        queue = await (await connection.channel()).get_queue(topology.UNROUTED_QUEUE)
        message = await queue.get()
        assert message is not None
        await message.ack()
        return message.body.decode()


async def write_postgres(env: Mapping[str, str], word: str) -> None:
    connection = await asyncpg.connect(env["DATABASE_URL"])
    await connection.execute("create table if not exists kept (word text)")
    await connection.execute("insert into kept values ($1)", word)
    await connection.close()


async def read_postgres(env: Mapping[str, str]) -> str:
    connection = await asyncpg.connect(env["DATABASE_URL"])
    word = await connection.fetchval("select word from kept")
    await connection.execute("drop table kept")
    await connection.close()
    return str(word)


WRITERS = {"redis": write_redis, "rabbitmq": write_rabbitmq, "postgres": write_postgres}
READERS = {"redis": read_redis, "rabbitmq": read_rabbitmq, "postgres": read_postgres}


@pytest.mark.parametrize("name", INFRASTRUCTURE)
async def test_killed_server_restarts_with_its_port_and_data(servers: Stack, name: str) -> None:
    before = servers.env()
    await write(servers, name, "still here")
    servers.kill(name)
    assert running(servers) == set(INFRASTRUCTURE) - {name}
    assert servers.up(services=False)
    assert (running(servers), servers.env(), await read(servers, name)) == (set(INFRASTRUCTURE), before, "still here")


def test_launched_server_answers_later_and_is_not_launched_twice(servers: Stack) -> None:
    servers.kill("redis")
    servers.launch("redis")
    launched = {status.name: status.pid for status in servers.status()}
    servers.launch("redis")
    assert {status.name: status.pid for status in servers.status()} == launched
    assert wait_until(lambda: servers._answers(servers._state(), "redis"), 60)


def test_servers_listen_on_this_machine_only(servers: Stack) -> None:
    state = load(servers.home)
    assert state is not None
    ports = {state.ports.redis, state.ports.amqp, state.ports.epmd, state.ports.dist, state.ports.postgres}
    listens = [(port, address) for address, port in listeners() if port in ports]
    assert ({port for port, _ in listens}, {address for _, address in listens} - LOOPBACK) == (ports, set())


# proc(5), net/tcp: addresses in hexadecimal, each 32-bit word in the machine's byte order.
LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
LISTEN = "0A"


def listeners() -> list[tuple[str, int]]:
    tables = [path.read_text() for name in ("tcp", "tcp6") if (path := Path("/proc/net") / name).exists()]
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    pairs = [row[1].split(":") for row in rows if row[3] == LISTEN]
    return [(address, int(port, 16)) for address, port in pairs]


def test_process_with_a_reused_pid_is_not_ended(servers: Stack) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        servers.kill("redis")
        state = load(servers.home)
        assert state is not None
        state.processes["redis"] = ProcessId(stranger.pid, "some other time")
        save(servers.home, state)
        assert "redis" not in running(servers)
        servers.stop("redis")
        servers.up(services=False)
        assert (stranger.poll(), running(servers)) == (None, set(INFRASTRUCTURE))
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("name", ["rabbitmq", "postgres"])
async def test_server_that_hangs_is_restarted(servers: Stack, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "STOP_TIMEOUT_SECONDS", 0.5)
    lines: list[str] = []
    stack = Stack(servers.home, say=lines.append)
    await write(servers, name, "still here")
    (pid,) = [status.pid for status in stack.status() if status.name == name]
    assert pid is not None
    os.killpg(pid, signal.SIGSTOP)
    assert stack.up(services=False)
    assert (f"{name} runs but does not answer: restarting it" in lines, await read(servers, name)) == (True, "still here")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_busy_session_ends_with_its_postgres(servers: Stack, end: str) -> None:
    busy = "set application_name = 'busy'; do $$ begin loop end loop; end $$"
    session = subprocess.Popen([binaries.postgres("psql"), servers.env()["DATABASE_URL"], "-c", busy], stderr=subprocess.DEVNULL)
    (pid,) = [status.pid for status in servers.status() if status.name == "postgres"]
    assert wait_until(lambda: any(parent == pid and runs_long(child) for child, parent in processes._parents()), 60)
    children = [child for child, parent in processes._parents() if parent == pid]
    getattr(servers, end)("postgres")
    assert session.wait(10) != 0
    assert wait_until(lambda: not any(processes.start_mark(child) for child in children), 60)
    servers.start("postgres")


def runs_long(pid: int) -> bool:
    """Whether the session is executing: Postgres sets DO as the title of its process."""
    return b" DO" in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_broker_without_its_launcher_is_ended_before_a_new_one_starts(servers: Stack) -> None:
    os.kill(pid_of(servers, "rabbitmq"), signal.SIGKILL)
    (orphan,) = brokers_of(servers)
    assert servers.up(services=False)
    (new,) = brokers_of(servers)
    assert (running(servers), new != orphan) == (set(INFRASTRUCTURE), True)


def brokers_of(stack: Stack) -> list[str]:
    """The process ids of the Erlang machines in this home."""
    commands = (line.split("\0")[0].split() for line in processes_of(stack.home / "rabbitmq"))
    return [pid for pid, program in commands if program.endswith("beam.smp")]


def test_interrupted_up_leaves_nothing_running(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = [sys.executable, "-m", "flashsale_cli", "stack", "up", "--no-services", "--home", str(home)]
    # A test run in the background ignores SIGINT and its children inherit that, so this child restores the default.
    with subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=restore_interrupts) as up:
        # The broker starts right after this line and takes seconds to be ready.
        assert up.stderr is not None
        assert any(b"starting rabbitmq" in line for line in up.stderr)
        assert wait_until(lambda: bool([line for line in processes_of(home / "rabbitmq") if "rabbitmq-server" in line]), 60)
        up.send_signal(signal.SIGINT)
        assert up.wait(15) != 0
    assert wait_until(lambda: processes_of(home) == [], 60), processes_of(home)


PROGRAM = """
import sys
from flashsale_local_stack import private_stack
with private_stack(services=False) as stack:
    print(stack.home, *(status.pid for status in stack.status() if status.pid), flush=True)
    sys.stdin.read()
"""


def test_servers_end_with_a_program_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        home, *pids = program.stdout.readline().split()
        program.kill()
    assert len(pids) == len(INFRASTRUCTURE)
    assert wait_until(lambda: not Path(home).parent.exists(), 60)
    assert [pid for pid in pids if processes.start_mark(int(pid))] == []
    assert wait_until(lambda: processes_of(Path(home)) == [], 60), processes_of(Path(home))


def restore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def pid_of(stack: Stack, name: str) -> int:
    (pid,) = [status.pid for status in stack.status() if status.name == name]
    assert pid is not None
    return pid


def test_concurrent_ups_run_one_after_the_other(servers: Stack) -> None:
    servers.kill("redis")
    with ThreadPoolExecutor(2) as pool:
        started = list(pool.map(lambda _: Stack(servers.home).up(services=False), range(2)))
    assert sorted(started) == [False, True]


def test_used_gateway_port_is_reported_before_anything_starts(servers: Stack, tmp_path: Path) -> None:
    before = running(servers)
    fresh = Stack(tmp_path / "home")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(StackError, match=f"{port} is in use.*--gateway-port"):
            servers.up(gateway_port=port)
        with pytest.raises(StackError, match=f"{port} is in use"):
            fresh.up(gateway_port=port)
    assert (running(servers), running(fresh), processes_of(fresh.home)) == (before, set(), [])


def test_broker_that_is_not_ready_in_time_is_reported_and_all_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(stack_module.START_TIMEOUT_SECONDS, "rabbitmq", 0.5)
    # It has longer than that, because Postgres starts meanwhile.
    monkeypatch.setattr(RabbitServer, "ready", lambda _: False)
    stack = Stack(tmp_path / "home")
    with pytest.raises(StackError, match=r"rabbitmq is not ready after 0 s; its log .*/log/rabbitmq\.log ends"):
        stack.up(services=False)
    assert running(stack) == set()
    assert wait_until(lambda: processes_of(stack.home) == [], 60), processes_of(stack.home)
    assert not stack.down()


def test_broker_that_ends_while_it_starts_is_reported_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flashsale_local_stack.servers.configs.rabbitmq_conf", lambda *_: "listeners.tcp.1 = nonsense\n")
    stack = Stack(tmp_path / "home")
    with pytest.raises(
        StackError, match=r"(?s)rabbitmq ended while it started; its log .*/log/rabbitmq\.log ends:.*failed_to_prepare_configuration"
    ):
        stack.up(services=False)
    assert running(stack) == set()
    assert wait_until(lambda: processes_of(stack.home) == [], 60), processes_of(stack.home)


def test_broker_that_ends_once_while_it_starts_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, texts, said = configs.rabbitmq_conf, ["listeners.tcp.1 = nonsense\n"], list[str]()
    monkeypatch.setattr(configs, "rabbitmq_conf", lambda *of: texts.pop() if texts else real(*of))
    stack = Stack(tmp_path / "home", said.append)
    assert stack.up(services=False)
    try:
        assert (texts, said.count("rabbitmq ended while it started: trying once more")) == ([], 1)
    finally:
        stack.down()


def processes_of(home: Path) -> list[str]:
    """The processes with the home in their command line or environment."""
    return [text for folder in Path("/proc").glob("[0-9]*") if str(home) in (text := describe(folder))]


def describe(process: Path) -> str:
    try:
        return f"{process.name} {(process / 'cmdline').read_text(errors='replace')} {(process / 'environ').read_text(errors='replace')}"
    except OSError:
        return ""


def test_service_that_ends_at_once_is_reported_with_its_log(servers: Stack) -> None:
    with pytest.raises(StackError, match="FLASHSALE_BATCH_MAX must be a whole number"):
        servers.up(gateway_port=0, extra_env={"FLASHSALE_BATCH_MAX": "many"})
    assert running(servers) == set(INFRASTRUCTURE)
    servers.up(services=False, extra_env={})


def test_error_about_a_missing_server_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match=r"Redis.*is not installed.*install"):
        Stack(tmp_path / "home").up(services=False)
    assert running(Stack(tmp_path / "home")) == set()


def test_down_keeps_data_on_request_and_otherwise_leaves_nothing(servers: Stack) -> None:
    store(servers).set("kept", "1")
    env = servers.env()
    assert servers.down(keep_data=True)
    assert (running(servers), servers.down(keep_data=True)) == (set(), False)
    servers.up(services=False)
    assert (store(servers).get("kept"), servers.env()) == (b"1", env)
    state = load(servers.home)
    assert state is not None
    servers.down()
    outside = Path(state.postgres_data).parent
    assert (servers.home.exists(), outside.exists(), servers.down()) == (False, False, False)
