"""`python -m flashsale_local_stack.watchdog HOME`: ends the stack of a program that was killed, so that no process of it is left.

Processes of a stack have sessions of their own, so nothing else ends them with the program that started them.
"""

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flashsale_local_stack.leftovers import marked_below
from flashsale_local_stack.processes import end_all
from flashsale_local_stack.stack import Stack

ENDED = b"ended\n"
END_TIMEOUT_SECONDS = 30.0
# The program holds the other end of stdin. A shell waits for it, because it takes less memory and starts faster than Python.
WAIT = 'trap "" INT TERM; read -r word; test "$word" = ended || exec "$@"'
Unmount = Callable[[Path, bool], None]
"""Unmounts what is below the home, after its processes have ended; the second argument is whether data is kept."""


@contextmanager
def watched(home: Path, *, keep: bool, module: str = __name__) -> Iterator[None]:
    """While the block runs, the death of this process ends everything of the stack in `home`. Otherwise the block itself must do that.

    `keep`: whether the data of the stack is kept then. `module` is what runs instead of this one, and calls `main`.
    """
    command = ["sh", "-c", WAIT, "sh", sys.executable, "-m", module, str(home), *(["--keep"] if keep else [])]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as watchdog:
        try:
            yield
        finally:
            with contextlib.suppress(BrokenPipeError, subprocess.TimeoutExpired):
                watchdog.communicate(ENDED, timeout=END_TIMEOUT_SECONDS)


def main(unmount: Unmount = lambda _home, _keep: None) -> None:
    """Clean up the folder that the command line names."""
    clean_up(Path(sys.argv[1]), unmount, keep="--keep" in sys.argv)


def clean_up(home: Path, unmount: Unmount, *, keep: bool) -> None:
    """End the processes of the folder with SIGKILL, as a crash would, and remove it unless it is kept."""
    end_all(marked_below(home), END_TIMEOUT_SECONDS)
    stack = Stack(home)
    for status in stack.status():
        stack.kill(status.name)
    unmount(home, keep)
    stack.down(keep_data=keep)
    if not keep:
        shutil.rmtree(home, ignore_errors=True)
        # The temporary folder that was made for it, if it is empty now.
        with contextlib.suppress(OSError):
            home.parent.rmdir()


if __name__ == "__main__":
    main()
