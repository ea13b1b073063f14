"""A program in a process of its own that starts a process of a stack, and is watched meanwhile."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = """
import importlib, os, sys
from pathlib import Path
from flashsale_local_stack.processes import spawn
module, home, keep = sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "keep"
with importlib.import_module(module).watched(home, keep=keep):
    spawn(["sleep", "600"], os.environ, home / "log" / "server.log", home)
    print("ready", flush=True)
    sys.stdin.read()
"""


@contextmanager
def watched_program(module: str, home: Path, *, keep: bool) -> Iterator["subprocess.Popen[str]"]:
    """The program, once its process runs; `module` has the watchdog. It is killed at the end, unless it has ended by then."""
    words = [module, str(home), "keep" if keep else "remove"]
    with subprocess.Popen([sys.executable, "-c", PROGRAM, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        yield program
        program.kill()
