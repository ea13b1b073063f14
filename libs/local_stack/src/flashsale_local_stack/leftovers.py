"""Finds processes that outlived the first process of their component: a broker without its launcher, a Postgres backend in a long query.

They hold ports and data, so the component must not start while they live. They are recognized by what only
processes of the stack have, which is readable only on systems with /proc.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from flashsale_local_stack.processes import MARK, ProcessId, start_mark

PROC = Path("/proc")


def marked(log: Path) -> list[ProcessId]:
    """The processes with the mark that `spawn` gave to the component that logs to `log`."""
    mark = f"{MARK}={log}".encode()
    return _matching(lambda folder: mark in (folder / "environ").read_bytes().split(b"\0"))


def marked_below(folder: Path) -> list[ProcessId]:
    """The processes with a mark of a component that logs to somewhere in the folder, and their children."""
    mark = f"{MARK}={folder}/".encode()
    return _matching(lambda process: any(word.startswith(mark) for word in (process / "environ").read_bytes().split(b"\0")))


def postgres_of(data: Path) -> list[ProcessId]:
    """The Postgres processes that run in the folder `data`. Postgres overwrites the environment, so its processes have no mark."""
    return _matching(lambda folder: (folder / "cwd").readlink() == data and (folder / "exe").readlink().name == "postgres")


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
