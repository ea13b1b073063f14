"""`python -m flashsale_chaos.watchdog HOME`: cleans up after a run that was killed, so that no process and no mount of it is left.

The run holds the other end of stdin. Processes of the stack have sessions of their own, so nothing else ends them with the run.
"""

import contextlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flashsale_chaos.machine import redis_data, unmount
from flashsale_local_stack import Stack
from flashsale_local_stack.leftovers import marked_below
from flashsale_local_stack.processes import end_all

ENDED = b"ended"
END_TIMEOUT_SECONDS = 30.0


@contextmanager
def watched(home: Path, *, keep: bool) -> Iterator[None]:
    """While the block runs, the death of this process ends everything in the folder `home`. Otherwise the block itself must do that."""
    command = [sys.executable, "-m", "flashsale_chaos.watchdog", str(home), *(["--keep"] if keep else [])]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as watchdog:
        try:
            yield
        finally:
            with contextlib.suppress(BrokenPipeError, subprocess.TimeoutExpired):
                watchdog.communicate(ENDED, timeout=END_TIMEOUT_SECONDS)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    home, keep = Path(sys.argv[1]), "--keep" in sys.argv
    if sys.stdin.buffer.read() != ENDED:
        clean_up(home, keep=keep)


def clean_up(home: Path, *, keep: bool) -> None:
    """End the processes of the folder with SIGKILL, unmount what is below it, and remove it unless it is kept."""
    end_all(marked_below(home), END_TIMEOUT_SECONDS)
    stack = Stack(home)
    for status in stack.status():
        stack.kill(status.name)
    unmount(redis_data(home), keep=keep)
    stack.down(keep_data=keep)
    if not keep:
        shutil.rmtree(home, ignore_errors=True)
        # The folder that the command line made for it, if it is empty now.
        with contextlib.suppress(OSError):
            home.parent.rmdir()


if __name__ == "__main__":
    main()
