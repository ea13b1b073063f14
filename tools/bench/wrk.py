"""Runs wrk and reads what it counted."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

SCRIPT = Path(__file__).parent / "load.lua"
GRACE_SECONDS = 30
MANY = 100_000_000


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked. The defaults make every request an order of another buyer."""

    product_id: str
    products: int = 1
    """More than one: the orders go round `product_id`-0, -1 and so on."""
    users: int = MANY
    requests: int = MANY
    """How many request ids the orders go round: fewer than orders means replays."""
    secret: str = ""
    """Of webhooks, in base64; with it every accepted order is paid."""


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


async def shoot(url: str, load: Load, connections: int, seconds: int, prefix: str = "") -> Shot:
    """One wrk thread, `connections` connections, `seconds` long. Raises RuntimeError with wrk's words when it fails.

    `prefix` of the ids is a new one unless given: the same one again repeats the requests.
    """
    asked = [load.product_id, prefix or uuid4().hex[:12], str(load.products), str(load.users), str(load.requests)]
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(SCRIPT)]
    command = ["wrk", *options, url, "--", *asked, *([load.secret] if load.secret else [])]
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
