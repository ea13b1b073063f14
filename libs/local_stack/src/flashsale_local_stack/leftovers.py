"""Finds processes that outlived the first process of their component: a broker without its launcher, a Postgres backend in a long query.

They hold ports and data, so the component must not start while they live. They are recognized by what only
processes of the stack have, which is readable only on systems with /proc.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from flashsale_local_stack.processes import MARK, ProcessId, start_mark, wait_until

PROC = Path("/proc")
# A process that is just starting reads its program from disk meanwhile, which takes milliseconds.
START_TIMEOUT_SECONDS = 5.0


def marked(log: Path) -> list[ProcessId]:
    """The processes with the mark that `spawn` gave to the component that logs to `log`."""
    mark = f"{MARK}={log}".encode()
    return _matching(lambda folder: mark in _environment(folder))


def marked_below(folder: Path) -> list[ProcessId]:
    """The processes with a mark of a component that logs to somewhere in the folder, and their children."""
    mark = f"{MARK}={folder}/".encode()
    return _matching(lambda process: any(word.startswith(mark) for word in _environment(process)))


def postgres_of(data: Path) -> list[ProcessId]:
    """The Postgres processes that run in the folder `data`. Postgres overwrites the environment, so its processes have no mark."""
    return _matching(lambda folder: (folder / "cwd").readlink() == data and (folder / "exe").readlink().name == "postgres")


def _environment(process: Path) -> list[bytes]:
    """The variables of a process. One that is just starting is waited for: until its program is loaded, the kernel shows none."""
    # Read before the state of the process, which looks the same for a process whose variables this one must not read.
    variables = (process / "environ").read_bytes()
    if not variables:
        wait_until(lambda: not is_starting((process / "stat").read_text()), START_TIMEOUT_SECONDS)
        variables = (process / "environ").read_bytes()
    return variables.split(b"\0")


def is_starting(stat: str) -> bool:
    """Whether a /proc/<pid>/stat line is of a process between execve and the first instruction of its program."""
    # proc(5): counted after the name in parentheses, memory is field 23, end of the environment 51. Kernel threads have no memory.
    fields = stat.rpartition(")")[2].split()
    memory_bytes, environment_end = int(fields[20]), int(fields[48])
    return memory_bytes > 0 and environment_end == 0


def _matching(is_ours: Callable[[Path], bool]) -> list[ProcessId]:
    return [ProcessId(pid, mark) for pid, folder in _processes() if _matches(is_ours, folder) and (mark := start_mark(pid))]


def _processes() -> Iterator[tuple[int, Path]]:
    if PROC.is_dir():
        yield from ((int(folder.name), folder) for folder in PROC.iterdir() if folder.name.isdecimal())


def _matches(is_ours: Callable[[Path], bool], folder: Path) -> bool:
    try:
        return is_ours(folder)
    except OSError:
        # The process has ended or belongs to another user, so it is not ours.
        return False
