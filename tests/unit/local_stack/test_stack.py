"""The parts of the local stack that need no servers: which processes are its own, what it writes, and what it reads back."""

import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from flashsale_local_stack import Stack, StackError, configs, read_env_file
from flashsale_local_stack.processes import ProcessId, end, start_mark
from flashsale_local_stack.servers import RabbitServer, RedisServer
from flashsale_local_stack.state import PORTS, Ports, Secrets, State, free_ports, load, new_secrets, new_state, save

SECRETS = Secrets("redis-word", "amqp-word", "postgres-word", "order-id-word", "admin-word", "webhook-word", "cookie-word")
WORDS = ("redis-word", "amqp-word", "postgres-word", "order-id-word", "admin-word", "webhook-word", "cookie-word")


@pytest.fixture
def state() -> State:
    return State(Ports(20001, 20002, 20003, 20004, 20005, 8000, *range(20006, 20015)), SECRETS)


def myself() -> ProcessId:
    mark = start_mark(os.getpid())
    assert mark is not None
    return ProcessId(os.getpid(), mark)


def test_process_with_another_start_time_is_not_alive() -> None:
    assert (myself().alive, replace(myself(), started="1").alive) == (True, False)


def test_unused_pid_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert (start_mark(child.pid), ProcessId(child.pid, "1").alive) == (None, False)


def test_zombie_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", "print(flush=True)"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child, child.stdout:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert (child.returncode, start_mark(child.pid)) == (None, None)


def test_ending_a_reused_pid_leaves_the_new_process_alone() -> None:
    # Otherwise this test run would end.
    end(replace(myself(), started="1"), timeout_seconds=0)


def test_files_with_secrets_are_private_under_any_umask(state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flashsale_local_stack.servers.spawn", lambda *_: ProcessId(0, "none"))
    monkeypatch.setattr("flashsale_local_stack.servers.wait_until", lambda *_: True)
    monkeypatch.setattr("flashsale_local_stack.servers.binaries.redis_server", lambda _: "redis-server")
    monkeypatch.setattr("flashsale_local_stack.servers.binaries.rabbitmq_server", lambda: "rabbitmq-server")
    monkeypatch.setattr("flashsale_local_stack.servers.binaries.epmd", lambda: "epmd")
    before = os.umask(0)
    try:
        RedisServer(tmp_path, state).start(tmp_path / "log")
        RabbitServer(tmp_path, state).start(tmp_path / "log")
        save(tmp_path, state)
    finally:
        os.umask(before)
    assert files_with_secrets_that_others_can_read(tmp_path) == []
    assert "redis-word" in (tmp_path / "redis" / "redis.conf").read_text()


def files_with_secrets_that_others_can_read(folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    return [path for path in files if any(word in path.read_text() for word in WORDS)]


def test_configurations_of_rabbitmq_and_postgres_contain_no_secret(state: State) -> None:
    text = configs.rabbitmq_conf(state, "/definitions.json") + configs.postgres_conf(state)
    assert [word for word in WORDS if word in text] == []


def test_servers_listen_on_loopback_only(state: State) -> None:
    listens = (
        configs.redis_conf(state, "/data").splitlines()[0],
        configs.rabbitmq_conf(state, "/definitions.json").splitlines()[0],
        configs.postgres_conf(state).splitlines()[1],
        configs.rabbitmq_env(state, "/home", {})["ERL_EPMD_ADDRESS"],
        configs.rabbitmq_env(state, "/home", {})["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"].partition("-kernel ")[2],
    )
    assert listens == (
        "bind 127.0.0.1",
        "listeners.tcp.1 = 127.0.0.1:20002",
        "listen_addresses = '127.0.0.1'",
        "127.0.0.1",
        "inet_dist_use_interface {127,0,0,1}",
    )


def test_redis_writes_to_disk_before_it_answers(state: State) -> None:
    lines = configs.redis_conf(state, "/data").splitlines()
    assert {"appendonly yes", "appendfsync always", "no-appendfsync-on-rewrite no", "maxmemory-policy noeviction"} <= set(lines)


def test_broker_uses_no_path_of_another_broker(state: State) -> None:
    env = configs.rabbitmq_env(state, "/home", {"PATH": "/bin"})
    assert {name: value for name, value in env.items() if "/etc/" in value or "/var/" in value} == {}
    assert (env["PATH"], env["RABBITMQ_NODENAME"], env["ERL_EPMD_PORT"]) == ("/bin", "flashsale20002@localhost", "20003")


def test_state_is_loaded_as_it_was_saved(state: State, tmp_path: Path) -> None:
    state.processes["redis"] = myself()
    state.extra_env["FLASHSALE_SHARDS"] = "2"
    save(tmp_path, state)
    assert (load(tmp_path), stat.S_IMODE((tmp_path / "state.json").stat().st_mode)) == (state, 0o600)


def test_state_of_a_release_without_ledger_api_gets_ports_for_it(state: State, tmp_path: Path) -> None:
    save(tmp_path, state)
    document = msgspec.json.decode((tmp_path / "state.json").read_bytes())
    del document["ports"]["ledger_api"], document["ports"]["ledger_api_probes"]
    (tmp_path / "state.json").write_bytes(msgspec.json.encode(document))
    loaded = load(tmp_path)
    assert loaded is not None
    assert len({loaded.ports.ledger_api, loaded.ports.ledger_api_probes, 0}) == 3
    assert (loaded.ports.keeper, loaded.secrets) == (state.ports.keeper, state.secrets)


def test_home_without_state_is_loaded_as_none(tmp_path: Path) -> None:
    assert (load(tmp_path), load(tmp_path / "nowhere")) == (None, None)


def test_error_about_unreadable_state_contains_its_path(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"ports": {}}')
    with pytest.raises(StackError, match=r"state\.json cannot be read"):
        load(tmp_path)


def test_env_file_is_read_as_it_was_written(state: State, tmp_path: Path) -> None:
    state.extra_env["FLASHSALE_ODD"] = 'two words, a "double", $HOME, `date`, # and \\'
    Stack(tmp_path)._write_env(state)
    assert read_env_file(tmp_path / "env") == configs.public_env(state, str(Path(__file__).parents[3]))


def test_env_file_may_have_comments_exports_and_quotes(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# stack\nA=1\n\nexport B='two words'\nC=\"x=y\"\nno pair\n")
    assert (read_env_file(file), read_env_file(tmp_path / "none")) == ({"A": "1", "B": "two words", "C": "x=y"}, {})


def test_shell_reads_the_same_values_from_the_env_file(state: State, tmp_path: Path) -> None:
    state.extra_env["FLASHSALE_ODD"] = "two words, a 'quote', $HOME and `date`"
    Stack(tmp_path)._write_env(state)
    command = ["sh", "-c", f'set -a; . {tmp_path}/env; printf "%s" "$FLASHSALE_ODD"']
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == state.extra_env["FLASHSALE_ODD"]


def test_every_secret_is_new_and_different() -> None:
    first, second = new_secrets(), new_secrets()
    values = [getattr(secrets, name) for secrets in (first, second) for name in Secrets.__struct_fields__]
    assert len(set(values)) == 2 * len(Secrets.__struct_fields__)


def test_free_ports_differ_and_are_below_client_ports() -> None:
    ports = free_ports(8)
    assert (len(set(ports)), [port for port in ports if port not in range(*PORTS)]) == (8, [])


def test_gateway_gets_the_wanted_port_and_a_free_one_for_zero() -> None:
    assert new_state(8000).ports.gateway == 8000
    assert new_state(0).ports.gateway in range(*PORTS)
