"""Starts and ends the processes of the stack, and distinguishes them from other processes."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.05
REAP_TIMEOUT_SECONDS = 5.0
# Names the component and its home, in the environment of every process that `spawn` starts and of their children.
MARK = "FLASHSALE_STACK_COMPONENT"


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, by pid and start time, because another process may have the pid by now."""

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        return start_mark(self.pid) == self.started


def start_mark(pid: int) -> str | None:
    """The start time in the kernel's own units. None if there is no such process or only a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None if Path("/proc/self").exists() else _start_mark_by_ps(pid)
    return start_mark_in(stat)


def start_mark_in(stat: str) -> str | None:
    """The start time in a /proc/<pid>/stat line; None for a zombie. A process of which only the first thread has ended is alive."""
    # proc(5): the name in parentheses may contain anything, so fields are counted after it: state is 3, threads 20, start time 22.
    fields = stat.rpartition(")")[2].split()
    state, threads, started = fields[0], int(fields[17]), fields[19]
    return None if state == "X" or (state == "Z" and threads <= 1) else started


def _start_mark_by_ps(pid: int) -> str | None:
    listed = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listed.stdout.strip() or None


def spawn(command: Sequence[str], env: Mapping[str, str], log: Path, cwd: Path) -> ProcessId:
    """Start `command` in its own session, so that it outlives this process, with a mark of the component that logs to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    reap_ended()
    with log.open("ab") as out:
        process = subprocess.Popen(  # not waited for: it outlives this process
            command, env={**env, MARK: str(log)}, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd, start_new_session=True
        )
    _children[process.pid] = process
    return ProcessId(process.pid, start_mark(process.pid) or "gone")


def run(command: Sequence[str], env: Mapping[str, str], cwd: Path, timeout_seconds: float) -> "subprocess.CompletedProcess[str]":
    """Run `command` to its end. A timeout is a failure like any other, with the reason in stderr."""
    try:
        return subprocess.run(
            command, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=timeout_seconds
        )
    except subprocess.TimeoutExpired as expired:
        return subprocess.CompletedProcess(command, -signal.SIGKILL, "", f"not done after {expired.timeout:.0f} s")


def last_lines(log: Path, lines: int = 15) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"


# The children of this process: one that ends stays a zombie until it is waited for.
_children: dict[int, "subprocess.Popen[bytes]"] = {}
# How those ended that were reaped. One number for each start of a component.
_statuses: dict[int, int] = {}


def exit_status(pid: int) -> int | None:
    """How a process that `spawn` started ended: negative is the signal that ended it. None while it runs, and for others."""
    reap_ended()
    return _statuses.get(pid)


def reap_ended() -> None:
    """Reap the children that have ended, whoever ended them. Does not wait."""
    for pid, child in list(_children.items()):
        if (status := child.poll()) is not None:
            _statuses[pid] = status
            _children.pop(pid, None)


def _reap(pid: int) -> None:
    """Wait until a child has ended with all its threads. Processes that are not children are left alone."""
    child = _children.pop(pid, None)
    if child is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            _statuses[pid] = child.wait(REAP_TIMEOUT_SECONDS)


def end(process: ProcessId, timeout_seconds: float, first: signal.Signals = signal.SIGTERM) -> None:
    """End the process with the signal `first`, after the timeout with SIGKILL; then end its remaining descendants with SIGKILL."""
    end_together({process: first}, timeout_seconds)


def end_together(processes: Mapping[ProcessId, signal.Signals], timeout_seconds: float) -> None:
    """The same for several at once, each with its own first signal."""
    alive = {process: first for process, first in processes.items() if process.alive}
    # Looked up while they live, because afterwards nothing links a family to its process: Postgres' backends have their own sessions.
    families = {process: descendants(process.pid) for process in alive}
    for process, first in alive.items():
        _send([process, *families[process]] if first is signal.SIGKILL else [process], first)
    if not wait_until(lambda: not any(process.alive for process in alive), timeout_seconds):
        end_all(list(alive), timeout_seconds)
    for family in families.values():
        _send(family, signal.SIGKILL)
    for process in processes:
        _reap(process.pid)


def end_all(processes: Sequence[ProcessId], timeout_seconds: float) -> None:
    """Send SIGKILL to each: nothing is left that could end them in order."""
    _send(processes, signal.SIGKILL)
    wait_until(lambda: not any(process.alive for process in processes), timeout_seconds)


def wait_until(condition: Callable[[], bool], timeout_seconds: float) -> bool:
    """Whether `condition` became true within the timeout."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _send(processes: Sequence[ProcessId], number: signal.Signals) -> None:
    for process in processes:
        if process.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, number)


def descendants(pid: int) -> list[ProcessId]:
    """All children of the process `pid`, and their children."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    family, unvisited = [], [pid]
    while unvisited:
        for child in children.get(unvisited.pop(), []):
            unvisited.append(child)
            family.append(ProcessId(child, start_mark(child) or "gone"))
    return family


def _parents() -> Iterator[tuple[int, int]]:
    """(pid, parent's pid) of every process."""
    if not Path("/proc/self").exists():
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False).stdout.split()
        yield from zip(map(int, listed[::2]), map(int, listed[1::2]), strict=True)
        return
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                yield int(folder.name), int((folder / "stat").read_text().rpartition(")")[2].split()[1])
