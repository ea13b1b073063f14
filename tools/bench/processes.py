"""Processes of a bench: Python modules that serve on a port of their own, and the CPU and memory that a process uses."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Container, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp

from flashsale_core.errors import Retryable
from tools.repository import ROOT

START_SECONDS = 60.0
POLL_SECONDS = 0.1
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    pid: int


@asynccontextmanager
async def serving(
    session: aiohttp.ClientSession,
    port: int,
    path: str,
    module: str,
    *words: str,
    env: Mapping[str, str] | None = None,
    statuses: Container[int] = range(600),
) -> AsyncIterator[Server]:
    """Run a Python module that serves on `port`, from its first answer on `path` with one of `statuses`.

    Raises Retryable after START_SECONDS without one.
    """
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, *words, cwd=ROOT, env=env)
    try:
        await _wait_for_answer(session, f"http://127.0.0.1:{port}{path}", statuses)
        yield Server(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def serving_gateway(session: aiohttp.ClientSession, env: Mapping[str, str]) -> AsyncIterator[Server]:
    """Run a gateway with these variables, on a port of its own, from its first answer on. Raises Retryable as `serving` does."""
    port = free_port()
    own = {"FLASHSALE_PORT": str(port), "FLASHSALE_LOG_LEVEL": "ERROR"}
    async with serving(session, port, "/readyz", "flashsale_gateway", env={**env, **own}) as server:
        yield server


async def _wait_for_answer(session: aiohttp.ClientSession, url: str, statuses: Container[int]) -> None:
    give_up_at = monotonic() + START_SECONDS
    while True:
        try:
            async with session.get(url) as answer:
                if answer.status in statuses:
                    return
                fault = f"status {answer.status}"
        except aiohttp.ClientError as error:
            fault = f"no answer ({type(error).__name__})"
        if monotonic() >= give_up_at:
            raise Retryable(f"{url} after {START_SECONDS:.0f} s: {fault}")
        await asyncio.sleep(POLL_SECONDS)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cpu_seconds(pid: int) -> float:
    """User and system time so far. Raises OSError when the process has ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def tree_cpu_seconds(pid: int) -> float:
    """User and system time so far of a process and its descendants, with those that have ended. A process that is gone counts as 0."""
    ticks, children = _process_table()
    total, pending = 0, [pid]
    while pending:
        process = pending.pop()
        total += ticks.get(process, 0)
        pending += children.get(process, ())
    return total / TICKS_PER_SECOND


def _process_table() -> tuple[dict[int, int], dict[int, list[int]]]:
    """(pid -> clock ticks, including those of children that were waited for; pid -> pids of its children), see proc(5)."""
    ticks: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        # A process may end while it is read.
        with suppress(OSError):
            if folder.name.isdecimal():
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                ticks[int(folder.name)] = sum(map(int, fields[11:15]))
                children.setdefault(int(fields[1]), []).append(int(folder.name))
    return ticks, children


def memory_mb(pid: int) -> float:
    """The process's share of its pages (PSS): what the machine would have free without it."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


async def redis_cpu_seconds(redis: Any) -> float:
    """CPU time that the server has used, in all its threads."""
    cpu = await redis.info("cpu")
    return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])
