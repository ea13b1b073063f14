"""A disk that takes its time: strace delays each fdatasync of a running process."""

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from flashsale_chaos.machine.impossible import ImpossibleError

TRIAL_TIMEOUT_SECONDS = 10.0
DETACH_TIMEOUT_SECONDS = 5.0
YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")


def check_strace() -> None:
    """Raises ImpossibleError if strace is not installed, cannot delay system calls, or may not attach to other processes."""
    if shutil.which("strace") is None:
        raise ImpossibleError("strace is not installed")
    if os.geteuid() != 0 and YAMA.exists() and YAMA.read_text().strip() != "0":
        raise ImpossibleError("only root may trace a process that runs (kernel.yama.ptrace_scope)")
    command = ["strace", "-o", "/dev/null", *_delay(1), "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TRIAL_TIMEOUT_SECONDS)
    if done.returncode != 0:
        raise ImpossibleError(f"strace fails: {done.stderr.strip()}")


@asynccontextmanager
async def slowed(pid: int, delay_ms: int) -> AsyncIterator[None]:
    """Each fdatasync of the process, and of its threads, takes `delay_ms` longer while the block runs."""
    command = ["strace", "-f", "-q", "-o", "/dev/null", *_delay(delay_ms), "-p", str(pid)]
    tracer = await asyncio.create_subprocess_exec(*command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        # It ends by itself when the process dies. A tracer that is killed detaches like one that ends.
        with contextlib.suppress(ProcessLookupError):
            tracer.terminate()
        try:
            await asyncio.wait_for(tracer.wait(), DETACH_TIMEOUT_SECONDS)
        except TimeoutError:
            tracer.kill()
            await tracer.wait()


def _delay(delay_ms: int) -> list[str]:
    return ["-e", "trace=fdatasync", "-e", f"inject=fdatasync:delay_enter={delay_ms * 1000}"]
