"""A run that is killed leaves no process, no mount and no folder."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flashsale_chaos.machine import ImpossibleError, redis_data
from flashsale_chaos.machine.small_disk import SmallDisk
from flashsale_local_stack.leftovers import marked_below
from flashsale_local_stack.processes import end_all, wait_until
from tests.unit.watched import watched_program

TIMEOUT_SECONDS = 60.0


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "temporary" / "home"
    folder.mkdir(parents=True)
    yield folder
    end_all(marked_below(folder), TIMEOUT_SECONDS)


@pytest.fixture
def run(home: Path) -> Iterator["subprocess.Popen[str]"]:
    with watched_program("flashsale_chaos.watchdog", home, keep=False) as program:
        yield program


def test_killed_run_leaves_neither_processes_nor_its_folder(run: "subprocess.Popen[str]", home: Path) -> None:
    assert len(marked_below(home)) == 1
    run.kill()
    assert wait_until(lambda: not home.parent.exists(), TIMEOUT_SECONDS)
    assert marked_below(home) == []


def test_killed_run_leaves_no_mount(run: "subprocess.Popen[str]", home: Path) -> None:
    try:
        SmallDisk(redis_data(home))
    except ImpossibleError as error:
        pytest.skip(str(error))
    run.kill()
    assert wait_until(lambda: not home.parent.exists(), TIMEOUT_SECONDS)
    assert str(home) not in Path("/proc/mounts").read_text()


def test_watchdog_leaves_a_run_that_ends_by_itself_alone(run: "subprocess.Popen[str]", home: Path) -> None:
    run.communicate("", timeout=TIMEOUT_SECONDS)
    # What is still there is the run's own to end, and its watchdog has ended with it.
    assert (home.exists(), len(marked_below(home))) == (True, 1)
    assert _watchdogs_of(home) == []


def _watchdogs_of(home: Path) -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [pid for pid in pids if pid != os.getpid() and f"watchdog\0{home}".encode() in _command_of(pid)]


def _command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
