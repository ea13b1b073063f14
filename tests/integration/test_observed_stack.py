"""A stack with tracing and a short outbox limit: one connected trace per order, logs as JSON lines, and no new orders while
none can be published."""

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aio_pika
import pytest

from flashsale_core import topology
from flashsale_local_stack import SERVICES, Stack, private_stack, wait_until
from tests.integration.client import Answer, Client
from tests.integration.collector import Collector, Span, collecting
from tests.semconv import CONVENTIONS

CLIENT_SPAN = "b7ad6b7169203331"
LAG_LIMIT_MS = 1_500
ORDERS, TIMEOUT = topology.ORDERS_QUEUE, topology.TIMEOUT_QUEUE
RESERVED, EXPIRED, PAID = "flashsale.events:order.reserved.5", "flashsale.events:order.expired", "flashsale.events:payment.recorded"
WRITE = "INSERT orders INSERT order_events"
CLICK_TO_LEDGER = [
    ("POST /order", "EVALSHA reserve"),
    ("POST /order", f"send {RESERVED}"),
    ("client", "POST /order"),
    (f"process {RESERVED}:{ORDERS}", WRITE),
    (f"send {RESERVED}", f"process {RESERVED}:{ORDERS}"),
]
EXPIRY_TO_LEDGER = [
    ("POST /order", f"send {EXPIRED}"),
    (f"process {EXPIRED}:{ORDERS}", WRITE),
    (f"send {EXPIRED}", f"process {EXPIRED}:{ORDERS}"),
]
WAIT, WAITED = "wait payment.wait.5", f"process flashsale.timeouts:order.reserved.5:{TIMEOUT}"
WAIT_TO_RELEASE = [(WAITED, "EVALSHA expire"), (f"send {RESERVED}", WAITED), (f"send {RESERVED}", WAIT)]
PAYMENT_TO_LEDGER = [
    ("POST /payments/webhook", "EVALSHA settle"),
    ("POST /payments/webhook", f"send {PAID}"),
    ("client", "POST /payments/webhook"),
    (f"process {PAID}:{ORDERS}", f"{WRITE} INSERT payments"),
    (f"send {PAID}", f"process {PAID}:{ORDERS}"),
]
REQUIRED = {
    "SERVER": {"http.request.method", "http.route", "http.response.status_code", "url.path", "url.scheme"},
    "PRODUCER": {"messaging.system", "messaging.operation.name", "messaging.operation.type", "messaging.destination.name",
                 "messaging.rabbitmq.destination.routing_key", "messaging.message.id", "server.address", "server.port"},
    "CONSUMER": {"messaging.system", "messaging.operation.name", "messaging.operation.type", "messaging.destination.name",
                 "messaging.rabbitmq.destination.routing_key", "messaging.rabbitmq.message.delivery_tag", "messaging.message.id",
                 "server.address", "server.port"},
    "redis": {"db.system.name", "db.operation.name", "db.stored_procedure.name", "db.namespace", "server.address", "server.port"},
    "postgresql": {"db.system.name", "db.query.summary", "db.namespace", "server.address", "server.port"},
    "INTERNAL": set(),
}  # fmt: skip
"""Attributes that the conventions require of a kind of span, or recommend where we have the value."""
RFC_3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def telemetry(collector: Collector) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "FLASHSALE_OUTBOX_LAG_LIMIT_MS": str(LAG_LIMIT_MS),
        # Only the queue expires holds, unless a test turns the sweep on.
        "FLASHSALE_TIMEOUT_WORKER_SWEEP": "false",
    }


@pytest.fixture(scope="module")
def observed(telemetry: dict[str, str]) -> Iterator[Stack]:
    with private_stack(extra_env=telemetry) as stack:
        yield stack


@pytest.fixture(scope="module")
def client(observed: Stack) -> Client:
    return Client(observed.env())


def wait_for(condition: Callable[[], bool], seconds: float, failure: Callable[[], object] | str) -> None:
    assert wait_until(condition, seconds), failure if isinstance(failure, str) else failure()


def new_trace() -> str:
    return uuid.uuid4().hex


def context(trace_id: str, flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{trace_id}-{CLIENT_SPAN}-{flags}"}


def click(client: Client, sale: str, user: str, headers: dict[str, str]) -> Answer:
    return client.json("POST", "/order", {"userId": user, "productId": sale, "quantity": 1, "requestId": "r1"}, headers)


def edges(collector: Collector, trace_id: str) -> list[tuple[str, str]]:
    """The edges of the trace. Whether a transaction also wrote the sale's definition depends on timing and is left out."""
    return sorted(
        (parent.replace("INSERT sales ", ""), name.replace("INSERT sales ", "")) for parent, name in collector.edges(trace_id, CLIENT_SPAN)
    )


def wait_for_trace(collector: Collector, trace_id: str, expected: list[tuple[str, str]], seconds: float = 60) -> dict[str, Span]:
    """The spans by name, once the trace has exactly the expected edges."""
    wanted = sorted(expected)
    wait_for(lambda: edges(collector, trace_id) == wanted, seconds, lambda: f"{edges(collector, trace_id)} instead of {wanted}")
    return {span.name: span for span in collector.of_trace(trace_id)}


def test_one_trace_runs_from_the_click_to_the_ledger_and_the_release(client: Client, collector: Collector) -> None:
    sale, trace_id = client.new_sale(5, paymentWindowSeconds=5), new_trace()
    answer = click(client, sale, "ann", context(trace_id))
    assert answer.status == 200
    spans = wait_for_trace(collector, trace_id, [*CLICK_TO_LEDGER, *WAIT_TO_RELEASE, *EXPIRY_TO_LEDGER])
    wait_for(lambda: client.stock(sale) == (5, 5, 0, 0), 60, "the unit was not released")
    orders = {span.attributes["flashsale.order_id"] for span in spans.values() if span.kind != "CLIENT"}
    assert orders == {answer.body["orderId"]}
    wait, waited = spans[WAIT], spans[WAITED]
    assert (waited.attributes["flashsale.expired"], waited.attributes["flashsale.units_returned"]) == (True, 1)
    # Five seconds, some ms less by the clocks or more on a slow machine: from the send until its message is processed.
    assert 4_900 < wait.milliseconds < 60_000
    assert abs(wait.milliseconds - float(waited.attributes["flashsale.wait_ms"])) < 2
    assert (wait.start_ns <= spans[f"send {RESERVED}"].end_ns, wait.end_ns) == (True, waited.start_ns)


def test_spans_have_their_service_and_kind(client: Client, collector: Collector) -> None:
    sale, trace_id = client.new_sale(5, paymentWindowSeconds=5), new_trace()
    click(client, sale, "ann", context(trace_id))
    wait_for_trace(collector, trace_id, [*CLICK_TO_LEDGER, *WAIT_TO_RELEASE, *EXPIRY_TO_LEDGER])
    assert {(span.service.removeprefix("flashsale-"), span.kind, span.name.split()[0]) for span in collector.of_trace(trace_id)} == {
        ("gateway", "SERVER", "POST"),
        ("gateway", "CLIENT", "EVALSHA"),
        ("gateway", "PRODUCER", "send"),
        ("order-worker", "CONSUMER", "process"),
        ("order-worker", "CLIENT", "INSERT"),
        ("timeout-worker", "INTERNAL", "wait"),
        ("timeout-worker", "CONSUMER", "process"),
        ("timeout-worker", "CLIENT", "EVALSHA"),
    }


def test_one_trace_runs_from_the_webhook_to_the_ledger(client: Client, collector: Collector) -> None:
    sale, trace_id = client.new_sale(5, paymentWindowSeconds=60), new_trace()
    order_id = client.order(sale, "ann").body["orderId"]
    assert client.pay(order_id, "pay-1", headers=context(trace_id)).body["result"] == "paid"
    spans = wait_for_trace(collector, trace_id, PAYMENT_TO_LEDGER)
    assert spans["POST /payments/webhook"].attributes["flashsale.outcome"] == "paid"
    assert spans[f"process {PAID}:{ORDERS}"].attributes["flashsale.order_id"] == order_id


def test_orders_that_share_a_call_and_a_message_have_separate_traces(client: Client, collector: Collector) -> None:
    sale, traces = client.new_sale(100, paymentWindowSeconds=5), [new_trace() for _ in range(40)]
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda trace_id: click(client, sale, trace_id, context(trace_id)), traces))
    assert [answer.status for answer in answers] == [200] * 40
    for trace_id, answer in zip(traces, answers, strict=True):
        spans = wait_for_trace(collector, trace_id, [*CLICK_TO_LEDGER, *WAIT_TO_RELEASE, *EXPIRY_TO_LEDGER], 30)
        assert spans[WAITED].attributes["flashsale.order_id"] == answer.body["orderId"]
    assert (
        len(
            {span.attributes["messaging.message.id"] for trace_id in traces for span in collector.of_trace(trace_id) if span.name == WAITED}
        )
        < 40
    )


def test_expiry_by_the_sweep_is_in_the_trace(observed: Stack, telemetry: dict[str, str], client: Client, collector: Collector) -> None:
    sale, trace_id = client.new_sale(5, paymentWindowSeconds=5), new_trace()
    observed.stop("timeout-worker")
    sweeps = {"FLASHSALE_TIMEOUT_WORKER_SWEEP": "true", "FLASHSALE_TIMEOUT_WORKER_CONSUME": "false"}
    observed.up(extra_env=telemetry | sweeps)
    try:
        click(client, sale, "ann", context(trace_id))
        expected = [*CLICK_TO_LEDGER, ("POST /order", "sweep"), ("sweep", "EVALSHA expire"), *EXPIRY_TO_LEDGER]
        spans = wait_for_trace(collector, trace_id, expected)
        assert (spans["sweep"].service, spans["sweep"].attributes["flashsale.units_returned"]) == ("flashsale-timeout-worker", 1)
    finally:
        observed.stop("timeout-worker")
        observed.up(extra_env=telemetry)


def test_unsampled_click_leaves_no_span_and_no_context(client: Client, collector: Collector) -> None:
    sale, other = client.new_sale(5), new_trace()
    assert click(client, sale, "ann", context(other, "00")).status == 200
    time.sleep(1)
    assert collector.of_trace(other) == []


def test_a_click_without_a_caller_begins_a_trace(client: Client, collector: Collector) -> None:
    order_id = client.order(client.new_sale(5, paymentWindowSeconds=60), "ann").body["orderId"]

    def clicks() -> list[Span]:
        return [span for span in collector.spans if (span.kind, span.attributes.get("flashsale.order_id")) == ("SERVER", order_id)]

    wait_for(lambda: bool(clicks()), 30, "the click has no span")
    assert [span.parent_id for span in clicks()] == [""]


def test_every_span_follows_the_conventions(collector: Collector) -> None:
    """Checks all spans of the tests above."""
    assert {span.kind for span in collector.spans} == {"SERVER", "CLIENT", "PRODUCER", "CONSUMER", "INTERNAL"}
    for span in collector.spans:
        kind = str(span.attributes["db.system.name"]) if span.kind == "CLIENT" else span.kind
        assert REQUIRED[kind] - set(span.attributes) == set(), span
        assert {name for name in span.attributes if not name.startswith("flashsale.")} - CONVENTIONS == set(), span
        assert span.name == expected_name(span)


def expected_name(span: Span) -> str:
    """The name that the conventions derive from the attributes."""
    attributes = span.attributes
    match span.kind:
        case "SERVER":
            return f"{attributes['http.request.method']} {attributes['http.route']}"
        case "CLIENT" if attributes["db.system.name"] == "redis":
            return f"{attributes['db.operation.name']} {attributes['db.stored_procedure.name']}"
        case "CLIENT":
            return str(attributes["db.query.summary"])
        case "PRODUCER" | "CONSUMER":
            return f"{attributes['messaging.operation.name']} {attributes['messaging.destination.name']}"
        case _:
            return span.name


def test_no_new_orders_once_the_outbox_lags_past_its_limit(observed: Stack, client: Client) -> None:
    sale = client.new_sale(1000)
    first = client.order(sale, "ann")
    observed.kill("rabbitmq")
    client.order(sale, "bob")
    wait_for(lambda: client.order(sale, "late").status == 503, 30, "orders are accepted for ever")
    refused = client.order(sale, "never")
    assert (refused.code, refused.headers["retry-after"]) == ("outbox_lag", "5")
    # Requests that do not add to the backlog still succeed.
    assert client.get(f"/orders/{first.body['orderId']}").body["state"] == "reserved"
    observed.start("rabbitmq")
    wait_for(lambda: client.order(sale, "never").status == 200, 60, "orders stay refused after the broker is back")


async def test_logs_are_json_lines_with_trace_ids_and_skip_accepted_orders(observed: Stack, client: Client) -> None:
    """Runs after the tests above, so that the logs contain a lost broker and restarts."""
    sale, trace_id = client.new_sale(100, paymentWindowSeconds=5), new_trace()
    orders = [click(client, sale, f"quiet-{number}", context(new_trace())).body["orderId"] for number in range(50)]
    for order_id in orders[:10]:
        assert client.pay(order_id, f"pay-{order_id}").status == 200
    await publish(client.env["AMQP_URL"], b"no message", context(trace_id))
    wait_for(lambda: client.stock(sale) == (100, 90, 0, 10), 60, "the units were not released")
    wait_for(lambda: b"message.parked" in log_of(observed, "order-worker").read_bytes(), 30, "nothing was parked")
    for name in SERVICES:
        observed.restart(name)
    lines = {name: [json.loads(line) for line in log_of(observed, name).read_text().splitlines()] for name in SERVICES}
    for name, logged in lines.items():
        assert [line for line in logged if not is_complete(line)] == []
        assert any(line["level"] == "info" for line in logged), f"{name} logs at its default level"
        text = log_of(observed, name).read_text()
        assert [word for word in (*orders, "quiet-") if word in text] == []
    assert {"uvicorn.error", "flashsale_gateway.outbox.relay"} <= {line["logger"] for line in lines["gateway"]}
    (parked,) = [line for line in lines["order-worker"] if line["event"] == "message.parked"]
    assert (parked["message_id"], parked["trace_id"], parked["span_id"]) == ("poison-1", trace_id, CLIENT_SPAN)


def log_of(stack: Stack, name: str) -> Path:
    return stack.home / "log" / f"{name}.log"


def is_complete(line: dict[str, Any]) -> bool:
    return bool(RFC_3339_UTC.fullmatch(line["at"]) and line["level"] in {"info", "warning", "error", "critical"} and line["event"])


async def publish(amqp_url: str, body: bytes, headers: dict[str, str]) -> None:
    """Publish directly to the ledger's queue."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        message = aio_pika.Message(body, message_id="poison-1", headers=dict(headers))
        await channel.default_exchange.publish(message, ORDERS)
