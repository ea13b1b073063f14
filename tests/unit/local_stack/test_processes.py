"""Leftover processes of the stack are found and ended; other processes are not."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flashsale_local_stack.leftovers import is_starting, marked, postgres_of
from flashsale_local_stack.processes import ProcessId, end_all, exit_status, reap_ended, run, spawn, start_mark_in, wait_until
from flashsale_local_stack.state import gateway_port_of, locked

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="leftovers are found through /proc")
SLEEP = shutil.which("sleep") or "sleep"


@contextmanager
def sleeping(command: str, folder: Path) -> Iterator[ProcessId]:
    with subprocess.Popen([command, "60"], cwd=folder) as child:
        mark = start_mark_in(Path(f"/proc/{child.pid}/stat").read_text())
        assert mark is not None
        # Popen returns when the program runs, so its name and folder can be read.
        yield ProcessId(child.pid, mark)
        child.kill()


@pytest.mark.parametrize(
    ("state", "threads", "mark"),
    [("S", 4, "777"), ("T", 1, "777"), ("Z", 3, "777"), ("Z", 1, None), ("X", 1, None)],
)
def test_process_lives_until_its_last_thread_ends(state: str, threads: int, mark: str | None) -> None:
    line = f"12 (odd ) name (x) {state} " + "0 " * 16 + f"{threads} 0 777 0 0\n"
    assert start_mark_in(line) == mark


@pytest.mark.parametrize(
    ("memory_bytes", "environment_end", "starting"),
    [(4096, 0, True), (4096, 140_000, False), (0, 0, False)],
    ids=["execve", "program", "kernel thread"],
)
def test_process_starts_until_its_variables_can_be_read(memory_bytes: int, environment_end: int, starting: bool) -> None:
    line = "12 (odd ) name (x) S " + "0 " * 19 + f"{memory_bytes} " + "0 " * 27 + f"{environment_end} 0\n"
    assert is_starting(line) == starting


def test_child_of_an_ended_launcher_is_found_by_its_mark(tmp_path: Path) -> None:
    log = tmp_path / "log" / "broker.log"
    launcher = spawn(["sh", "-c", f"{SLEEP} 60 & exit 0"], os.environ, log, tmp_path)
    assert wait_until(lambda: not launcher.alive, 5)
    (left,) = marked(log)
    assert (marked(tmp_path / "log" / "broker.lo"), marked(tmp_path / "log" / "other.log")) == ([], [])
    end_all([left], 5)
    assert (left.alive, marked(log)) == (False, [])
    # Else Python warns at its end that the launcher was never waited for.
    reap_ended()


def test_only_postgres_in_the_data_folder_is_a_leftover(tmp_path: Path) -> None:
    data, elsewhere, postgres = tmp_path / "data", tmp_path / "elsewhere", str(tmp_path / "postgres")
    data.mkdir()
    elsewhere.mkdir()
    shutil.copy(SLEEP, postgres)
    with sleeping(postgres, data) as ours, sleeping(postgres, elsewhere), sleeping(SLEEP, data):
        assert postgres_of(data) == [ours]


def test_reused_pid_among_leftovers_is_not_ended(tmp_path: Path) -> None:
    with sleeping(SLEEP, tmp_path) as stranger:
        end_all([ProcessId(stranger.pid, "some other time")], 0)
        assert stranger.alive


def test_command_that_hangs_fails_with_the_reason(tmp_path: Path) -> None:
    done = run([SLEEP, "60"], os.environ, tmp_path, 0.1)
    assert (done.returncode != 0, done.stderr) == (True, "not done after 0 s")


def test_lock_of_a_removed_home_excludes_nobody(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with locked(home):
        shutil.rmtree(home)
        with locked(home):
            assert (home / "lock").exists()


@pytest.mark.parametrize(("wanted", "taken", "chosen"), [(None, True, 8000), (9000, False, 9000), (0, False, 8000), (0, True, 20001)])
def test_gateway_keeps_its_port_unless_another_is_wanted(
    monkeypatch: pytest.MonkeyPatch, wanted: int | None, taken: bool, chosen: int
) -> None:
    monkeypatch.setattr("flashsale_local_stack.state.port_taken", lambda _: taken)
    monkeypatch.setattr("flashsale_local_stack.state.free_ports", lambda _: [20001])
    assert gateway_port_of(8000, wanted) == chosen


def test_exit_status_of_an_ended_child_is_kept(tmp_path: Path) -> None:
    process = spawn([sys.executable, "-c", "raise SystemExit(7)"], os.environ, tmp_path / "log", tmp_path)
    assert wait_until(lambda: exit_status(process.pid) is not None, 20)
    assert exit_status(process.pid) == 7
    assert exit_status(os.getpid()) is None
