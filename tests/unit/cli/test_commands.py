"""Help, exit codes, and options that are checked before anything is sent."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import typer
from typer.testing import CliRunner, Result

from flashsale_chaos.report import Report
from flashsale_chaos.schedule import Schedule
from flashsale_cli.commands.refunds import amount_text
from flashsale_cli.commands.sale import parse_price, parse_rate
from flashsale_cli.console import EXIT_FAILED, EXIT_UNREACHABLE, EXIT_USAGE
from flashsale_cli.load.outcomes import classify
from flashsale_cli.load.tally import Tally
from flashsale_cli.main import app

WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOWHERE = {"FLASHSALE_URL": "http://127.0.0.1:1", "FLASHSALE_ADMIN_TOKEN": "t" * 8}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without .flashsale/env, and no settings in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "FLASHSALE_URL",
        "FLASHSALE_ADMIN_URL",
        "FLASHSALE_LEDGER_API_URL",
        "FLASHSALE_ADMIN_TOKEN",
        "FLASHSALE_WEBHOOK_SECRET",
        "REDIS_URL",
        "DATABASE_URL",
        "FLASHSALE_AMQP_PASSWORD",
    ):
        monkeypatch.delenv(name, raising=False)


def flashsale(*arguments: str, **env: str) -> Result:
    return CliRunner().invoke(app, arguments, env=env)


@pytest.mark.parametrize("age", ["29d", "400", "1y", "-40d", "", "999999d"])
def test_age_that_is_too_short_or_not_in_days_is_refused(age: str) -> None:
    result = flashsale("ledger", "prune", "--older-than", age, DATABASE_URL="postgresql://ledger/x")
    assert (result.exit_code, "--older-than" in result.stderr) == (EXIT_USAGE, True)


@pytest.mark.parametrize(
    "command", ["", "stack", "migrate", "sale", "load", "pay", "audit", "top", "demo", "topology", "ledger", "ledger prune", "refunds"]
)
def test_every_command_has_a_help_text(command: str) -> None:
    assert flashsale(*command.split(), "--help").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("sale", "set", "tele", "--stock", "1"), "FLASHSALE_ADMIN_TOKEN"),
        (("pay", "tele.a"), "FLASHSALE_WEBHOOK_SECRET"),
        (("audit",), "REDIS_URL"),
        (("topology",), "FLASHSALE_AMQP_PASSWORD"),
        (("migrate",), "DATABASE_URL"),
        (("refunds", "list"), "FLASHSALE_LEDGER_API_URL"),
        (("refunds", "list", "--url", "http://127.0.0.1:1"), "FLASHSALE_ADMIN_TOKEN"),
    ],
)
def test_missing_setting_is_named(arguments: tuple[str, ...], name: str) -> None:
    result = flashsale(*arguments)
    assert (result.exit_code, name in result.output) == (EXIT_USAGE, True)


def test_migrate_and_topology_read_the_file_of_the_stack_as_every_command_does(tmp_path: Path) -> None:
    (tmp_path / ".flashsale").mkdir()
    settings = "DATABASE_URL=postgresql://ledger@127.0.0.1:1/x\nFLASHSALE_DB_DIR=nowhere\nFLASHSALE_SHARDS=0\nFLASHSALE_PAYMENT_WINDOWS=7\n"
    (tmp_path / ".flashsale" / "env").write_text(f"{settings}FLASHSALE_AMQP_PASSWORD=secret\n")
    queues = {queue["name"] for queue in json.loads(flashsale("topology").stdout)["queues"]}
    assert ("payment.wait.7" in queues, "payment.wait.300" in queues) == (True, False)
    shards = flashsale("migrate", "--wait-seconds", "0")
    assert (shards.exit_code, "FLASHSALE_SHARDS" in shards.stderr) == (EXIT_USAGE, True)
    folder = flashsale("migrate", "--wait-seconds", "0", FLASHSALE_SHARDS="2")
    assert (folder.exit_code, "nowhere" in folder.stderr) == (EXIT_FAILED, True)


@pytest.mark.parametrize(
    "command", ["load --product tele --orders-out", "load --product tele --report", "chaos --report", "topology --output"]
)
def test_file_that_cannot_be_written_is_refused_before_the_run(command: str, tmp_path: Path) -> None:
    for file in (tmp_path / "none" / "x", tmp_path):
        result = flashsale(*command.split(), str(file), **NOWHERE, FLASHSALE_AMQP_PASSWORD="secret")
        assert (result.exit_code, command.split()[-1] in result.stderr) == (EXIT_USAGE, True)


@pytest.mark.parametrize(
    "command", ["audit --expect-accepted .", "pay --orders-in .", "webhook replay shop --since 9999-12-31T23:00:00-01:00"]
)
def test_wrong_option_is_no_failed_check(command: str) -> None:
    result = flashsale(*command.split(), DATABASE_URL="postgresql://ledger@127.0.0.1:1/x")
    assert (result.exit_code, command.split()[-2] in result.stderr) == (EXIT_USAGE, True)


def test_amount_that_nobody_knows_is_not_printed_as_nothing() -> None:
    assert [amount_text(0, ""), amount_text(0, "EUR"), amount_text(400, "")] == ["unknown", "0 EUR", "400 "]


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return


def everywhere(url: str) -> dict[str, str]:
    """Settings by which gateway and ledger-api are at the same URL."""
    return {"FLASHSALE_URL": url, "FLASHSALE_ADMIN_URL": url, "FLASHSALE_LEDGER_API_URL": url, "FLASHSALE_ADMIN_TOKEN": "t" * 8}


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The URL of a server that answers by `handler`."""
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        running = Thread(target=server.serve_forever, args=(0.01,))
        running.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            running.join(10)


def test_page_of_something_else_is_no_answer_of_the_gateway() -> None:
    class Page(Handler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<title>Welcome</title>")

    with serving(Page) as url:
        result = flashsale("sale", "list", FLASHSALE_URL=url)
    assert (result.exit_code, "is not the gateway" in result.stderr) == (EXIT_UNREACHABLE, True)


@pytest.mark.parametrize("status", [301, 308])
@pytest.mark.parametrize("command", ["sale list", "sale set shoe --stock 1", "sale close shoe", "refunds list", "pay shoe.1"])
def test_redirect_is_named_and_not_followed(command: str, status: int) -> None:
    """Followed, `sale set` became a GET and answered 405, and a key was not sent on to https, which answered 401."""
    asked: list[str] = []

    class Moved(Handler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_DELETE = do_GET  # noqa: N815 - the names of http.server

    with serving(Moved) as url:
        result = flashsale(*command.split(), **everywhere(url), FLASHSALE_WEBHOOK_SECRET=WEBHOOK_SECRET)
    assert (result.exit_code, len(asked), "/elsewhere" in asked, "'/elsewhere'" in result.stderr) == (EXIT_UNREACHABLE, 1, False, True)


def test_page_of_something_else_pays_nothing() -> None:
    class Page(Handler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<title>Welcome</title>")

    with serving(Page) as url:
        result = flashsale("pay", "shoe.1", "--json", FLASHSALE_URL=url, FLASHSALE_WEBHOOK_SECRET=WEBHOOK_SECRET)
    assert (result.exit_code, json.loads(result.stdout)) == (EXIT_FAILED, {"error (200, and not the gateway's answer)": 1})


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("sale show shoe#2", "/sales/shoe%232"),
        ("sale close shoe#2", "/admin/sales/shoe%232?mode=close"),
        ("sale close shoe?mode=remove", "/admin/sales/shoe%3Fmode=remove?mode=close"),
        ("order return shoe.1#2 --restock", "/admin/orders/shoe.1%232/return"),
        ("refunds show a/b", "/admin/refunds/a%2Fb"),
        ("refunds due a?b --reason x", "/admin/refunds/a%3Fb"),
    ],
)
def test_mistyped_name_is_not_cut_to_another_one(command: str, path: str) -> None:
    """`sale close shoe#2` sent `DELETE /admin/sales/shoe`, which removes the sale `shoe`."""
    asked: list[str] = []

    class Engine(Handler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def do_POST(self) -> None:
            self.do_GET()

        def do_DELETE(self) -> None:
            self.do_GET()

    with serving(Engine) as url:
        result = flashsale(*command.split(), **everywhere(url))
    assert (result.exit_code, asked) == (EXIT_UNREACHABLE, [path])


def test_gateway_that_does_not_answer_is_named() -> None:
    result = flashsale("sale", "list", **NOWHERE)
    assert (result.exit_code, "http://127.0.0.1:1" in result.output) == (EXIT_UNREACHABLE, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("load", "--product", "tele", "--replays", "0.6", "--rubbish", "0.5"),
        ("load", "--product", "tele", "--buyers", "0"),
        ("pay",),
        ("pay", "tele.a", "tele.b", "--payment-id", "one"),
        ("sale", "set", "tele", "--stock", "1", "--rate", "fast"),
        ("sale", "set", "tele", "--stock", "1", "--add", "1"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_sent(arguments: tuple[str, ...]) -> None:
    assert flashsale(*arguments, **NOWHERE).exit_code == EXIT_USAGE


def test_crowd_that_is_refused_for_its_proof_fails_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_: object) -> Tally:
        return Tally(3, Counter({classify(401, "unauthenticated", False): 3}), unproven=3)

    monkeypatch.setattr("flashsale_cli.commands.load._run", refused)
    result = flashsale("load", "--product", "tele", "--buyers", "3", **NOWHERE)
    assert result.exit_code == EXIT_FAILED
    assert "401 unauthenticated" in result.output
    assert "--identity body" in " ".join(result.output.split())


@pytest.mark.parametrize(("ended", "status"), [([], 0), (["keeper ended by itself"], EXIT_FAILED)])
def test_chaos_fails_if_a_service_ended_by_itself(monkeypatch: pytest.MonkeyPatch, ended: list[str], status: int) -> None:
    async def run(schedule: Schedule, *_: object, **__: object) -> Report:
        return Report(schedule, faults=20, orders=900, ended=ended)

    monkeypatch.setattr("flashsale_cli.commands.chaos.run", run)
    assert flashsale("chaos").exit_code == status


def test_rate_is_requests_per_seconds() -> None:
    assert (parse_rate("5/10s"), parse_rate("3/s"), parse_rate("none")) == (
        {"requests": 5, "seconds": 10},
        {"requests": 3, "seconds": 1},
        None,
    )
    with pytest.raises(typer.BadParameter):
        parse_rate("0/1s")


def test_price_is_an_amount_in_the_smallest_unit_and_a_currency() -> None:
    assert (parse_price("1999EUR"), parse_price("5 jpy"), parse_price("none")) == (
        {"amountMinor": 1999, "currency": "EUR"},
        {"amountMinor": 5, "currency": "JPY"},
        None,
    )
    for text in ("19.99EUR", "1999", "0EUR", "-1EUR", "1999EURO"):
        with pytest.raises(typer.BadParameter):
            parse_price(text)


def test_topology_prints_definitions_without_the_password() -> None:
    result = flashsale("topology", "--windows", "5,15", FLASHSALE_AMQP_PASSWORD="open sesame")
    document = json.loads(result.output)
    assert [queue["name"] for queue in document["queues"] if queue["name"].startswith("payment.wait")] == [
        "payment.wait.5",
        "payment.wait.15",
    ]
    assert "open sesame" not in result.output


@pytest.mark.parametrize("words", [("audit", "--expect-accepted"), ("pay", "--orders-in")], ids=["audit", "pay"])
def test_file_that_is_no_text_is_refused(words: tuple[str, str], tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_bytes(b"\xff\xfe\x00")
    result = flashsale(*words, str(file))
    assert (result.exit_code, words[1] in result.stderr, "text;" in result.stderr) == (EXIT_USAGE, True, True), result.stderr


@pytest.mark.parametrize("way", ["--plan", "--run", "--rebuild"])
def test_recovery_of_a_shard_that_does_not_exist_is_refused(way: str) -> None:
    result = flashsale("recover", way, "--shard", "16")
    assert (result.exit_code, "the shards are 0 to 15" in result.stderr) == (EXIT_USAGE, True), result.stderr
