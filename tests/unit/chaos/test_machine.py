"""What chaos does to clocks and data folders, without servers."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flashsale_chaos.machine import redis_data
from flashsale_chaos.machine.clock import Clock
from flashsale_chaos.servers import volume

HOUR_MS = 3_600_000


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_clock_of_the_started_program_is_shifted_and_no_other(tmp_path: Path) -> None:
    clock = Clock(tmp_path, sys.executable)
    clock.shift(2 * HOUR_MS)
    clock.shift(-HOUR_MS)
    command = [clock.redis_server, "-c", "import time; print(time.time() - time.monotonic())"]
    shown = float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout)
    assert shown - (time.time() - time.monotonic()) == pytest.approx(HOUR_MS / 1000, abs=5)
    clock.reset()
    shown = float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout)
    assert shown - (time.time() - time.monotonic()) == pytest.approx(0, abs=5)


def test_old_volume_replaces_all_that_is_newer(tmp_path: Path) -> None:
    data, copy = redis_data(tmp_path), tmp_path / "copy"
    (data / "appendonlydir").mkdir(parents=True)
    (data / "appendonlydir" / "a.aof").write_text("old")
    volume.copy(data, copy)
    (data / "appendonlydir" / "a.aof").write_text("new")
    (data / "appendonlydir" / "b.aof").write_text("new")
    inode = os.stat(data).st_ino
    volume.replace(data, copy)
    assert [(path.name, path.read_text()) for path in data.rglob("*.aof")] == [("a.aof", "old")]
    # The folder may be a file system of its own, so it stays.
    assert (os.stat(data).st_ino, copy.exists()) == (inode, False)


def test_copy_fails_when_files_come_and_go_during_each_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(range(1000))

    def rewrite(source: Path, target: Path) -> None:
        (source / str(next(names))).touch()

    monkeypatch.setattr(shutil, "copytree", rewrite)
    with pytest.raises(OSError, match="was rewritten"):
        volume.copy(tmp_path, tmp_path.with_name("copy"))
