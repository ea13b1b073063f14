"""Runs wrk and reads what it counted."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).parent / "orders.lua"
GRACE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Shot:
    """One run of wrk. `refused` are answers of 400 and more; `broken` are connections and timeouts."""

    requests: int
    seconds: float
    refused: int
    broken: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @property
    def accepted(self) -> int:
        return self.requests - self.refused

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


async def shoot(url: str, product_id: str, prefix: str, connections: int, seconds: int) -> Shot:
    """One wrk thread, `connections` connections, `seconds` long. Raises RuntimeError with wrk's words when it fails."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(SCRIPT), url, "--", product_id, prefix]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(seconds + GRACE_SECONDS):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    if process.returncode != 0:
        raise RuntimeError(f"wrk failed: {err.decode() or out.decode()}")
    return read(out.decode())


def read(output: str) -> Shot:
    return Shot(**json.loads(output.strip().splitlines()[-1]))
