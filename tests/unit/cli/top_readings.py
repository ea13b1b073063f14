"""Readings for the tests of `flashsale top`, as services would have answered."""

from collections.abc import Mapping
from typing import Any

from flashsale_cli.top.reading import Reading, Scrape, Target, parse_samples

GATEWAY = Target("gateway", "http://127.0.0.1:8000/metrics")
ORDER_WORKER = Target("order-worker", "http://127.0.0.1:9101/metrics")
TIMEOUT_WORKER = Target("timeout-worker", "")


def gateway_text(accepted: int = 0, out_of_stock: int = 0, started: float = 1.0) -> str:
    """The metrics of a gateway that answered these orders of `tele` in batches of ten, nine in ten of them within 10 ms."""
    orders = accepted + out_of_stock
    return f"""
# TYPE process_start_time_seconds gauge
process_start_time_seconds {started}
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total {orders / 1000}
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 8e+07
# TYPE flashsale_orders_total counter
flashsale_orders_total{{outcome="accepted"}} {accepted}
flashsale_orders_total{{outcome="out_of_stock"}} {out_of_stock}
# TYPE flashsale_sale_orders_total counter
flashsale_sale_orders_total{{sale="tele",outcome="accepted"}} {accepted}
flashsale_sale_orders_total{{sale="tele",outcome="out_of_stock"}} {out_of_stock}
# TYPE flashsale_order_seconds histogram
flashsale_order_seconds_bucket{{le="0.01"}} {orders * 0.9}
flashsale_order_seconds_bucket{{le="0.02"}} {orders}
flashsale_order_seconds_bucket{{le="+Inf"}} {orders}
flashsale_order_seconds_count {orders}
flashsale_order_seconds_sum {orders * 0.008}
# TYPE flashsale_batch_orders histogram
flashsale_batch_orders_bucket{{le="+Inf"}} {orders / 10}
flashsale_batch_orders_count {orders / 10}
flashsale_batch_orders_sum {orders}
# TYPE flashsale_publish_failures_total counter
# TYPE flashsale_waiting_requests gauge
flashsale_waiting_requests 3
# TYPE flashsale_broker_up gauge
flashsale_broker_up 1
"""


WORKER_TEXT = """
# TYPE flashsale_ledger_lag_seconds gauge
flashsale_ledger_lag_seconds 0.25
# TYPE flashsale_consumed_total counter
flashsale_consumed_total{queue="orders"} 7
# TYPE flashsale_parked_total counter
flashsale_parked_total{queue="orders",reason="rejected"} 2
# TYPE flashsale_database_up gauge
flashsale_database_up 0
"""


def sale(product_id: str = "tele", stock: int = 1000, available: int = 1000, sold: int = 0, state: str = "open") -> dict[str, Any]:
    taken = {"available": available, "reserved": stock - available - sold, "sold": sold}
    return {"productId": product_id, "state": state, "stock": stock} | taken


def scrape(target: Target, at_seconds: float, text: str | None, reason: str = "") -> Scrape:
    return Scrape(target, at_seconds, None if text is None else parse_samples(text), reason)


def reading(at_seconds: float, texts: Mapping[Target, str], *sales: Mapping[str, Any], **more: Any) -> Reading:
    """A target without text did not answer."""
    targets = (GATEWAY, ORDER_WORKER, TIMEOUT_WORKER)
    scrapes = [scrape(target, at_seconds, texts.get(target), "" if target in texts else "connection refused") for target in targets]
    return Reading(at_seconds, 1_700_000_000 + at_seconds, {item["productId"]: item for item in sales}, scrapes, **more)


FIRST = reading(10.0, {GATEWAY: gateway_text(100), ORDER_WORKER: WORKER_TEXT}, sale(available=900), sale("lamp", 50, 50))
SECOND = reading(
    12.0,
    {GATEWAY: gateway_text(500, 600), ORDER_WORKER: WORKER_TEXT.replace("} 7", "} 47")},
    sale(available=500, sold=20),
    sale("lamp", 50, 50, state="paused"),
)
"""Two seconds later: 400 orders of `tele` accepted, 600 refused."""
