"""The stack of a program that is killed keeps its data if it had some before."""

import subprocess
import sys
from pathlib import Path

from flashsale_local_stack.leftovers import marked_below
from flashsale_local_stack.processes import end_all, wait_until

TIMEOUT_SECONDS = 60.0
PROGRAM = """
import os, sys
from pathlib import Path
from flashsale_local_stack.processes import spawn
from flashsale_local_stack.watchdog import watched
home = Path(sys.argv[1])
with watched(home, keep=True):
    spawn(["sleep", "600"], os.environ, home / "log" / "server.log", home)
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_killed_program_leaves_the_data_that_existed_before(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        assert len(marked_below(tmp_path)) == 1
        program.kill()
    try:
        assert wait_until(lambda: marked_below(tmp_path) == [], TIMEOUT_SECONDS)
        assert (tmp_path / "data").exists()
    finally:
        end_all(marked_below(tmp_path), TIMEOUT_SECONDS)
