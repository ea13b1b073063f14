import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from flashsale_core import probes
from flashsale_core.errors import Retryable
from flashsale_core.probes import serve_probes


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def ask(ready: Callable[[], Awaitable[None]], *paths: str) -> list[tuple[int, str]]:
    async def run() -> list[tuple[int, str]]:
        with serve_probes("127.0.0.1", 0, ready) as port:
            asked = [asyncio.create_task(asyncio.to_thread(get, port, path)) for path in paths]
            return list(await asyncio.gather(*asked))

    return asyncio.run(run())


async def fine() -> None:
    return None


async def waiting() -> None:
    raise Retryable("Redis does not answer")


def test_ready_service_answers_all_probes() -> None:
    health, ready, metrics, unknown = ask(fine, "/healthz", "/readyz", "/metrics", "/nope")
    assert (health, ready, metrics[0], unknown[0]) == ((200, "ok\n"), (200, "ok\n"), 200, 404)
    assert "python_info" in metrics[1]


def test_service_that_is_not_ready_says_why_and_is_alive() -> None:
    assert ask(waiting, "/readyz", "/healthz") == [(503, "Redis does not answer\n"), (200, "ok\n")]


def test_blocked_loop_is_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PROBE_TIMEOUT_SECONDS", 0.1)

    async def run() -> tuple[int, str]:
        with serve_probes("127.0.0.1", 0, fine) as port, ThreadPoolExecutor(1) as pool:
            asked = pool.submit(get, port, "/healthz")
            time.sleep(0.5)  # noqa: ASYNC251 - a blocked loop is the point
            return asked.result()

    assert asyncio.run(run())[0] == 503
