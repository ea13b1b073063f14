"""A stack of its own with tracing on and a short outbox limit: one trace per order, and no new orders when none can be handed on."""

import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from flashsale_cli.stack import Stack
from tests.integration.client import Client

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
LAG_LIMIT_MS = 1_500


class Collector:
    """A real OTLP/HTTP receiver that keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, str, str]] = []
        """(service, span name, trace id)"""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.keep(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def keep(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            for scope in resource.scope_spans:
                self.spans += [(service, span.name, span.trace_id.hex()) for span in scope.spans]

    def of_trace(self, trace_id: str) -> set[tuple[str, str]]:
        return {(service, name) for service, name, trace in self.spans if trace == trace_id}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever, daemon=True)
    thread.start()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()


@pytest.fixture(scope="module")
def observed(collector: Collector) -> Iterator[Stack]:
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server.server_port}",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "FLASHSALE_OUTBOX_LAG_LIMIT_MS": str(LAG_LIMIT_MS),
    }
    with tempfile.TemporaryDirectory(prefix="flashsale-test-", ignore_cleanup_errors=True) as folder:
        stack = Stack(Path(folder) / "home")
        stack.up(gateway_port=0, extra_env=env)
        try:
            yield stack
        finally:
            stack.down()


@pytest.fixture(scope="module")
def client(observed: Stack) -> Client:
    return Client(observed.env())


def wait_for(condition: object, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_one_trace_runs_from_the_click_to_the_ledger_and_to_the_expiry(client: Client, collector: Collector) -> None:
    sale = client.new_sale(5, paymentWindowSeconds=5)
    order = {"userId": "ann", "productId": sale, "quantity": 1, "requestId": "r1"}
    answer = client.json("POST", "/order", order, {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"})
    assert answer.status == 200
    expected = {
        ("flashsale-gateway", "POST /order"),
        ("flashsale-gateway", "send flashsale.events"),
        ("flashsale-order-worker", "process orders"),
        ("flashsale-timeout-worker", "process payment.timeout"),
    }
    wait_for(lambda: collector.of_trace(TRACE_ID) >= expected, 20, f"only {collector.of_trace(TRACE_ID)} arrived")
    wait_for(lambda: client.stock(sale) == (5, 5, 0, 0), 10, "the unit did not come back")


def test_unsampled_click_leaves_no_span_and_no_context(client: Client, collector: Collector) -> None:
    sale = client.new_sale(5)
    other = "1" * 32
    order = {"userId": "ann", "productId": sale, "quantity": 1, "requestId": "r1"}
    assert client.json("POST", "/order", order, {"traceparent": f"00-{other}-b7ad6b7169203331-00"}).status == 200
    time.sleep(1)
    assert collector.of_trace(other) == set()


def test_no_new_orders_once_the_outbox_lags_past_its_limit(observed: Stack, client: Client) -> None:
    sale = client.new_sale(1000)
    first = client.order(sale, "ann")
    observed.kill("rabbitmq")
    client.order(sale, "bob")
    wait_for(lambda: client.order(sale, "late").status == 503, 10, "orders are taken for ever")
    refused = client.order(sale, "never")
    assert (refused.code, refused.headers["retry-after"]) == ("outbox_lag", "5")
    # What does not make the backlog longer goes on.
    assert client.get(f"/orders/{first.body['orderId']}").body["state"] == "reserved"
    observed.start("rabbitmq")
    wait_for(lambda: client.order(sale, "never").status == 200, 30, "orders stay refused after the broker is back")
