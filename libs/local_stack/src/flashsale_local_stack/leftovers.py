"""Processes a component left behind when its first process died: a broker without its launcher, a Postgres backend in a long query.

They hold ports and data, so nothing may start beside them. They are told from strangers by what only ours
have, and only where /proc says it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from flashsale_local_stack.processes import MARK, ProcessId, start_mark

PROC = Path("/proc")


def marked(log: Path) -> list[ProcessId]:
    """Those that inherited the mark `spawn` gave the component that logs to `log`."""
    mark = f"{MARK}={log}".encode()
    return _found(lambda folder: mark in (folder / "environ").read_bytes().split(b"\0"))


def postgres_of(data: Path) -> list[ProcessId]:
    """Postgres' own processes overwrite their environment, but each runs inside its data folder."""
    return _found(lambda folder: (folder / "cwd").readlink() == data and (folder / "exe").readlink().name == "postgres")


def _found(is_ours: Callable[[Path], bool]) -> list[ProcessId]:
    return [ProcessId(pid, mark) for pid, folder in _processes() if _holds(is_ours, folder) and (mark := start_mark(pid))]


def _processes() -> Iterator[tuple[int, Path]]:
    if PROC.is_dir():
        yield from ((int(folder.name), folder) for folder in PROC.iterdir() if folder.name.isdecimal())


def _holds(is_ours: Callable[[Path], bool], folder: Path) -> bool:
    try:
        return is_ours(folder)
    except OSError:
        # Gone meanwhile, or another user's: not ours.
        return False
