"""Names of spans and attributes, compared with the package of OpenTelemetry's semantic conventions in the lock."""

import re
from pathlib import Path

import pytest

from flashsale_core import semconv
from tests.semconv import CONVENTIONS

ROOT = Path(__file__).parents[3]
REDIS, AMQP, POSTGRES = "redis://u:secret@r:6380/2", "amqp://u:secret@b:5673/", "postgresql://u:secret@p:5433/ledger"
# Events of ASGI and faults of chaos look like attributes.
OTHERS = {"http.disconnect", "http.request", "http.response.start", "http.response.body", "server.kill"}
NAMESPACES = "|".join(["http", "url", "db", "server", "error", "messaging", "network"])


def used_names() -> set[str]:
    files = [path for folder in ("libs", "services") for path in (ROOT / folder).rglob("src/**/*.py")]
    return {name for path in files for name in re.findall(rf'"((?:{NAMESPACES})\.[a-z_]+(?:\.[a-z_]+)*)"', path.read_text())}


def test_package_of_conventions_is_read() -> None:
    assert {"db.system.name", "http.route", "messaging.operation.type"} <= CONVENTIONS
    assert "messaging.operation" not in CONVENTIONS


def test_every_attribute_in_the_code_is_in_the_conventions() -> None:
    used = used_names()
    assert {"db.stored_procedure.name", "messaging.message.id", "error.type", "http.response.status_code"} <= used
    assert used - CONVENTIONS - OTHERS == set()


@pytest.mark.parametrize(
    ("named", "name", "attributes"),
    [
        (
            semconv.request("POST", "/order"),
            "POST /order",
            {"http.request.method": "POST", "http.route": "/order", "url.path": "/order", "url.scheme": "http"},
        ),
        (
            semconv.script_call("reserve", REDIS),
            "EVALSHA reserve",
            {
                "db.system.name": "redis",
                "db.operation.name": "EVALSHA",
                "db.stored_procedure.name": "reserve",
                "db.namespace": "2",
                "server.address": "r",
                "server.port": 6380,
            },
        ),
        (
            semconv.script_call("settle", "redis+sentinel://:p@s:26379/sales?sentinel_password=q"),
            "EVALSHA settle",
            {
                "db.system.name": "redis",
                "db.operation.name": "EVALSHA",
                "db.stored_procedure.name": "settle",
                "db.namespace": "0",
            },
        ),
        (
            semconv.ledger_write(("orders", "order_events"), POSTGRES),
            "INSERT orders INSERT order_events",
            {
                "db.system.name": "postgresql",
                "db.query.summary": "INSERT orders INSERT order_events",
                "db.namespace": "ledger",
                "server.address": "p",
                "server.port": 5433,
            },
        ),
        (
            semconv.send("flashsale.events", "order.reserved.300", AMQP),
            "send flashsale.events:order.reserved.300",
            {
                "messaging.system": "rabbitmq",
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                "messaging.destination.name": "flashsale.events:order.reserved.300",
                "messaging.rabbitmq.destination.routing_key": "order.reserved.300",
                "server.address": "b",
                "server.port": 5673,
            },
        ),
        (
            semconv.process("flashsale.events", "order.expired", "orders", "amqp://b"),
            "process flashsale.events:order.expired:orders",
            {
                "messaging.system": "rabbitmq",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": "flashsale.events:order.expired:orders",
                "messaging.rabbitmq.destination.routing_key": "order.expired",
                "server.address": "b",
            },
        ),
        (
            semconv.wait("payment.wait.300"),
            "wait payment.wait.300",
            {"messaging.system": "rabbitmq", "messaging.destination.name": "payment.wait.300"},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_span_has_its_name_and_attributes(named: semconv.SpanTemplate, name: str, attributes: dict[str, object]) -> None:
    assert (named.name, dict(named.attributes)) == (name, attributes)


def test_queue_that_is_also_the_routing_key_is_named_once() -> None:
    assert semconv.process("", "orders", "orders", "").name == "process orders"


@pytest.mark.parametrize("url", ["", "postgresql://a:5432,b:5432/ledger", "/no/url"])
def test_server_is_left_out_when_the_url_names_several(url: str) -> None:
    assert not {"server.address", "server.port"} & set(semconv.ledger_write(("orders",), url).attributes)


def test_page_about_tracing_names_every_attribute() -> None:
    files = [path for path in (ROOT / "services").rglob("src/**/*.py") if path.name in {"spans.py", "sends.py", "orders.py", "routes.py"}]
    used = {name for path in files for name in re.findall(r'"(flashsale\.[a-z_]+)"', path.read_text())}
    assert {"flashsale.order_id", "flashsale.wait_ms"} <= used
    assert set(re.findall(r"^\| `(flashsale\.[a-z_]+)` \|", (ROOT / "docs" / "tracing.md").read_text(), re.MULTILINE)) == used


@pytest.mark.parametrize(
    "named",
    [
        semconv.request("POST", "/order"),
        semconv.request("POST", "/payments/webhook"),
        semconv.script_call("reserve", ""),
        semconv.script_call("settle", ""),
        semconv.script_call("expire", ""),
        semconv.ledger_write(("orders", "order_events"), ""),
        semconv.send("flashsale.events", "order.reserved.300", ""),
        semconv.process("flashsale.events", "order.reserved.300", "orders", ""),
        semconv.process("flashsale.timeouts", "order.reserved.300", "payment.timeout", ""),
        semconv.wait("payment.wait.300"),
    ],
    ids=lambda named: named.name,
)
def test_page_about_tracing_shows_the_span(named: semconv.SpanTemplate) -> None:
    assert re.search(rf"(^|─ ){re.escape(named.name)}( |$)", (ROOT / "docs" / "tracing.md").read_text(), re.MULTILINE)
