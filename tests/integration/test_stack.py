"""The local stack in bad situations: each has a clear outcome, and no stranger is ever harmed."""

import os
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from flashsale_cli.stack import INFRASTRUCTURE, Stack, StackError, binaries, processes
from flashsale_cli.stack import stack as stack_module
from flashsale_cli.stack.processes import ProcessId, wait_until
from flashsale_cli.stack.state import load, save


@pytest.fixture(scope="module")
def servers() -> Iterator[Stack]:
    """A stack of its own, servers only."""
    with tempfile.TemporaryDirectory(prefix="flashsale-test-", ignore_cleanup_errors=True) as folder:
        stack = Stack(Path(folder) / "home")
        stack.up(services=False)
        try:
            yield stack
        finally:
            stack.down()


def running(stack: Stack) -> set[str]:
    return {status.name for status in stack.status() if status.running}


def store(stack: Stack) -> redis.Redis:
    return redis.Redis.from_url(stack.env()["REDIS_URL"])


def test_second_up_finds_everything_running(servers: Stack) -> None:
    before = [status.pid for status in servers.status()]
    assert (servers.up(services=False), [status.pid for status in servers.status()]) == (False, before)


def test_env_file_has_the_promised_variables_and_is_private(servers: Stack) -> None:
    path = servers.home / "env"
    names = {line.partition("=")[0] for line in path.read_text().splitlines()}
    promised = {"FLASHSALE_URL", "FLASHSALE_ADMIN_TOKEN", "FLASHSALE_WEBHOOK_SECRET", "REDIS_URL", "AMQP_URL", "DATABASE_URL"}
    assert (names >= promised, stat.S_IMODE(path.stat().st_mode)) == (True, 0o600)


@pytest.mark.parametrize("name", INFRASTRUCTURE)
def test_killed_server_comes_back_on_its_port(servers: Stack, name: str) -> None:
    servers.kill(name)
    assert running(servers) == set(INFRASTRUCTURE) - {name}
    before = servers.env()
    assert servers.up(services=False)
    assert (running(servers), servers.env()) == (set(INFRASTRUCTURE), before)


def test_reused_pid_of_a_stranger_is_left_alone(servers: Stack) -> None:
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


def test_server_that_hangs_is_started_again(servers: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "STOP_TIMEOUT_SECONDS", 0.5)
    said: list[str] = []
    stack = Stack(servers.home, say=said.append)
    (pid,) = [status.pid for status in stack.status() if status.name == "redis"]
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    assert stack.up(services=False)
    assert "redis runs but does not answer: starting it again" in said
    assert store(stack).ping()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_busy_session_of_postgres_ends_with_it(servers: Stack, end: str) -> None:
    busy = "set application_name = 'busy'; do $$ begin loop end loop; end $$"
    session = subprocess.Popen([binaries.postgres("psql"), servers.env()["DATABASE_URL"], "-c", busy], stderr=subprocess.DEVNULL)
    (pid,) = [status.pid for status in servers.status() if status.name == "postgres"]
    assert wait_until(lambda: any(parent == pid and runs_long(child) for child, parent in processes._parents()), 10)
    children = [child for child, parent in processes._parents() if parent == pid]
    getattr(servers, end)("postgres")
    assert session.wait(10) != 0
    assert wait_until(lambda: not any(processes.start_mark(child) for child in children), 10)
    servers.start("postgres")


def runs_long(pid: int) -> bool:
    """A session that is at work: the title Postgres gives it says DO."""
    return b" DO" in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_two_ups_at_once_do_not_interleave(servers: Stack) -> None:
    servers.kill("redis")
    with ThreadPoolExecutor(2) as pool:
        started = list(pool.map(lambda _: Stack(servers.home).up(services=False), range(2)))
    assert sorted(started) == [False, True]


def test_taken_gateway_port_is_said_at_once_and_nothing_is_started(servers: Stack) -> None:
    before = running(servers)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=f"{port} is taken.*--gateway-port"):
            servers.up(gateway_port=port)
    assert running(servers) == before


def test_service_that_ends_at_once_is_told_with_its_log(servers: Stack) -> None:
    with pytest.raises(StackError, match="FLASHSALE_BATCH_MAX must be a whole number"):
        servers.up(gateway_port=0, extra_env={"FLASHSALE_BATCH_MAX": "many"})
    assert running(servers) == set(INFRASTRUCTURE)
    servers.up(services=False, extra_env={})


def test_missing_server_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match=r"Redis.*is not installed.*install"):
        Stack(tmp_path / "home").up(services=False)
    assert running(Stack(tmp_path / "home")) == set()


def test_down_keeps_data_when_asked_and_else_leaves_nothing(servers: Stack) -> None:
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
