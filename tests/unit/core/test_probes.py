import asyncio
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from flashsale_core import probes
from flashsale_core.errors import Retryable
from flashsale_core.probes import serve_probes


def get(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def ask(ready: Callable[[], Awaitable[None]], *paths: str) -> list[tuple[int, str]]:
    with serve_probes("127.0.0.1", 0, ready) as port:
        asked = [asyncio.create_task(asyncio.to_thread(get, port, path)) for path in paths]
        return list(await asyncio.gather(*asked))


async def fine() -> None:
    return None


async def waiting() -> None:
    raise Retryable("Redis does not answer")


async def test_ready_service_answers_all_probes() -> None:
    health, ready, metrics, unknown = await ask(fine, "/healthz", "/readyz", "/metrics", "/nope")
    assert (health, ready, metrics[0], unknown[0]) == ((200, "ok\n"), (200, "ok\n"), 200, 404)
    assert "python_info" in metrics[1]


async def test_service_that_is_not_ready_reports_why_and_is_alive() -> None:
    assert await ask(waiting, "/readyz", "/healthz") == [(503, "Redis does not answer\n"), (200, "ok\n")]


async def test_blocked_loop_is_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PROBE_TIMEOUT_SECONDS", 0.1)
    with serve_probes("127.0.0.1", 0, fine) as port, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(get, port, "/healthz")
        time.sleep(0.5)  # noqa: ASYNC251 - a blocked loop is the point
        assert asked.result()[0] == 503


async def test_silent_client_keeps_no_thread(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(probes._Quiet, "timeout", 0.1)

    def closed(port: int) -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"GET /rea")
            return connection.recv(1) == b""

    with serve_probes("127.0.0.1", 0, fine) as port:
        was_closed = await asyncio.to_thread(closed, port)
    assert (was_closed, capsys.readouterr().err) == (True, "")


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize(
    ("host", "family"),
    [
        ("0.0.0.0", socket.AF_INET),  # noqa: S104 - a pod listens on all its addresses
        ("127.0.0.1", socket.AF_INET),
        ("", socket.AF_INET),
        ("::", socket.AF_INET6),
        ("::1", socket.AF_INET6),
        ("fd00::7", socket.AF_INET6),
    ],
)
def test_host_is_listened_on_in_its_address_family(host: str, family: socket.AddressFamily) -> None:
    assert probes.family(host) == family


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize(("host", "reached"), [("::", ("127.0.0.1", "[::1]")), ("::1", ("[::1]",))])
async def test_probes_on_ipv6_answer_and_end(host: str, reached: tuple[str, ...]) -> None:
    with serve_probes(host, 0, fine) as port:
        assert [await asyncio.to_thread(get, port, "/readyz", address) for address in reached] == [(200, "ok\n")] * len(reached)
