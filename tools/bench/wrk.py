"""Runs wrk and reads its counts."""

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

FOLDER = Path(__file__).parent
GRACE_SECONDS = 30
MANY = 100_000_000


@dataclass(frozen=True, slots=True)
class Load:
    """What is ordered. By default, every request is an order of another buyer."""

    product_id: str
    products: int = 1
    """More than one: the orders take turns between `product_id`-0, -1 and so on."""
    users: int = MANY
    requests: int = MANY
    """How many request ids the orders take turns between. Fewer ids than orders means replays."""
    secret: str = ""
    """Webhook secret in base64. With it, every accepted order is paid."""
    token_key: str = ""
    """Key of buyer tokens. With it, every order has a token of its buyer."""


@dataclass(frozen=True, slots=True)
class WrkResult:
    """The counts of one run of wrk."""

    requests: int
    seconds: float
    refused: int
    """Answers with a status of 400 or more."""
    broken: int
    """Broken connections and timeouts."""
    p50_ms: float
    p99_ms: float
    max_ms: float

    @property
    def accepted(self) -> int:
        return self.requests - self.refused

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


async def run_wrk(url: str, load: Load, connections: int, seconds: int, prefix: str = "") -> WrkResult:
    """Run one wrk thread with `connections` connections for `seconds`. Raises RuntimeError with wrk's output when it fails.

    User and request ids begin with `prefix`, a new one by default. A prefix that was used before repeats its requests.
    """
    numbers = [str(number) for number in (load.products, load.users, load.requests)]
    asked = [load.product_id, prefix or uuid4().hex[:12], *numbers, load.secret, load.token_key]
    return await _run("load.lua", url, connections, seconds, *asked)


async def run_polls(url: str, connections: int, seconds: int, *, differing: bool = False) -> WrkResult:
    """GET the same URL again and again, with the same bytes unless `differing`. Raises RuntimeError with wrk's output when it fails."""
    return await _run("polls.lua", url, connections, seconds, *(["differing"] if differing else []))


async def _run(script: str, url: str, connections: int, seconds: int, *words: str) -> WrkResult:
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(FOLDER / script)]
    command = ["wrk", *options, url, "--", *words]
    # The scripts share counts.lua. An empty part is Lua's own path.
    env = os.environ | {"LUA_PATH": f"{FOLDER}/?.lua;;"}
    process = await asyncio.create_subprocess_exec(*command, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(seconds + GRACE_SECONDS):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    if process.returncode != 0:
        raise RuntimeError(f"wrk failed: {err.decode() or out.decode()}")
    return parse_result(out.decode())


def parse_result(output: str) -> WrkResult:
    return WrkResult(**json.loads(output.strip().splitlines()[-1]))
