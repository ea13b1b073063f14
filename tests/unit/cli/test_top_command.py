"""`flashsale top` against a small test server: options, targets and how it ends."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flashsale_cli.console import EXIT_UNREACHABLE, EXIT_USAGE
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.main import app
from flashsale_cli.top.read import targets
from flashsale_cli.top.reading import Target
from flashsale_core.errors import SettingsError
from tests.unit.cli.top_readings import gateway_text, sale

GATEWAY = "http://127.0.0.1:8000"
NOWHERE = "http://127.0.0.1:1"


class Gateway(BaseHTTPRequestHandler):
    """Sells `tele`. `/metrics` counts a hundred orders between two scrapes, and unknown paths are answered with 404."""

    scrapes = 0

    def do_GET(self) -> None:
        type(self).scrapes += self.path == "/metrics"
        answers = {
            "/sales?limit=100": json.dumps({"sales": [sale()]}),
            "/sales/tele": json.dumps(sale()),
            "/metrics": gateway_text(100 * self.scrapes),
            "/page/metrics": "<html>",
        }
        body = answers.get(self.path, "").encode()
        self.send_response(200 if body else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (
        "FLASHSALE_URL",
        "FLASHSALE_ADMIN_URL",
        "FLASHSALE_PROBE_HOST",
        "FLASHSALE_ORDER_WORKER_PROBE_PORT",
        "FLASHSALE_TIMEOUT_WORKER_PROBE_PORT",
    ):
        monkeypatch.delenv(name, raising=False)


def top(*arguments: str) -> Result:
    return CliRunner().invoke(app, ("top", "--every", "0.1", *arguments))


def test_each_screen_is_one_line_of_json(url: str) -> None:
    result = top("--url", url, "--json", "--count", "2")
    frames = [json.loads(line) for line in result.stdout.splitlines()]
    orders = [frame["pipeline"]["admission"]["orders_per_second"]["accepted"] * frame["seconds"] for frame in frames]
    assert (result.exit_code, orders) == (0, [pytest.approx(100, rel=0.3)] * 2)


def test_output_to_a_file_has_no_control_codes(url: str) -> None:
    result = top("--url", url, "--count", "1", "--product", "tele")
    assert (result.exit_code, "\x1b" in result.stdout, result.stdout.count("flashsale top")) == (0, False, 1)


def test_target_that_does_not_answer_is_shown_with_the_reason(url: str) -> None:
    result = top("--url", url, "--count", "1", "--metrics", NOWHERE, "--metrics", f"{url}/nothing", "--metrics", f"{url}/page/metrics")
    address = url.removeprefix("http://")
    expected = (
        "127.0.0.1:1 does not answer: connection refused",
        f"{address} does not answer: it answered 404",
        f"{address} does not answer: its answer is not in Prometheus' text format",
    )
    assert (result.exit_code, [words in result.stdout for words in expected]) == (0, [True] * 3)


def test_worker_without_an_address_is_shown(url: str) -> None:
    assert "order-worker does not answer: its address is not known" in top("--url", url, "--count", "1").stdout


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--url", NOWHERE), EXIT_UNREACHABLE, NOWHERE),
        (("--url", "URL", "--product", "nope"), EXIT_UNREACHABLE, "there is no sale nope"),
        (("--metrics", "127.0.0.1:9101"), EXIT_USAGE, "--metrics 127.0.0.1:9101 is not a URL"),
        (("--every", "0"), EXIT_USAGE, "--every"),
    ],
)
def test_impossible_request_fails_at_once(url: str, arguments: tuple[str, ...], status: int, words: str) -> None:
    result = top(*(url if argument == "URL" else argument for argument in arguments))
    assert (result.exit_code, words in result.output) == (status, True)


def test_targets_come_from_the_settings() -> None:
    environment = CliEnvironment({"FLASHSALE_ORDER_WORKER_PROBE_PORT": "9101", "FLASHSALE_TIMEOUT_WORKER_PROBE_PORT": "9102"})
    assert targets(environment, GATEWAY) == [
        Target("gateway", f"{GATEWAY}/metrics"),
        Target("order-worker", "http://127.0.0.1:9101/metrics"),
        Target("timeout-worker", "http://127.0.0.1:9102/metrics"),
    ]


@pytest.mark.parametrize(
    ("host", "reached"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("fd00::7", "[fd00::7]"), ("worker", "worker")],  # noqa: S104 - where workers listen
)
def test_worker_is_read_at_the_host_it_listens_on(host: str, reached: str) -> None:
    environment = CliEnvironment({"FLASHSALE_PROBE_HOST": host, "FLASHSALE_ORDER_WORKER_PROBE_PORT": "1"})
    assert targets(environment, GATEWAY)[1].url == f"http://{reached}:1/metrics"


def test_named_targets_replace_those_of_the_settings_without_doubles() -> None:
    named = ["http://127.0.0.1:9101", "http://127.0.0.1:9201/pod/metrics", GATEWAY]
    assert targets(CliEnvironment({"FLASHSALE_ORDER_WORKER_PROBE_PORT": "1"}), GATEWAY, named) == [
        Target("gateway", f"{GATEWAY}/metrics"),
        Target("", "http://127.0.0.1:9101/metrics"),
        Target("", "http://127.0.0.1:9201/pod/metrics"),
    ]
    with pytest.raises(SettingsError):
        targets(CliEnvironment({}), GATEWAY, ["ftp://127.0.0.1"])
