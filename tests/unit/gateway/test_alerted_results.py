"""Prometheus counts no increase for what a series begins with: what an alert counts must be there before the first of it."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from prometheus_client import Counter

from flashsale_core.settings import Environment
from flashsale_core.tracing import Tracing
from flashsale_gateway import metrics
from flashsale_gateway.batching import Admission, Batcher
from flashsale_gateway.identity.identities import Identities
from flashsale_gateway.orders import Orders
from flashsale_gateway.outbox.monitor import Lag
from flashsale_gateway.payments import Payments
from flashsale_gateway.refund_reports import RefundReports
from flashsale_gateway.settings import read_settings
from tools.repository import RULES


def shown(counter: Counter) -> set[str]:
    (family,) = counter.collect()
    return {value for sample in family.samples if sample.name.endswith("_total") for value in sample.labels.values()}


def test_what_could_not_be_asked_yet_is_unknown() -> None:
    program = "from flashsale_gateway.metrics import REDIS_DURABLE, UNROUTED_KEPT as KEPT; print(KEPT.collect(), REDIS_DURABLE.collect())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert re.findall(r"value=([^,]+)", done.stdout) == ["nan", "nan"]


async def test_results_that_an_alert_counts_are_shown_as_0_before_the_first(tmp_path: Path) -> None:
    variables = {
        "REDIS_URL": "redis://r", "AMQP_URL": "amqp://a", "FLASHSALE_LUA_DIR": str(tmp_path), "FLASHSALE_ORDER_ID_KEY": "k" * 32,
        "FLASHSALE_ADMIN_TOKEN": "t" * 16, "FLASHSALE_IDENTITY": "body", "FLASHSALE_WEBHOOK_SECRET": "whsec_" + "QUFB" * 8,
    }  # fmt: skip
    settings, tracing = read_settings(Environment(variables)), Tracing(None)

    async def call(_: object) -> Sequence[Exception]:
        return []

    counters = {"flashsale_orders_total": metrics.ORDERS, "flashsale_payments_total": metrics.PAYMENTS}
    for counter in counters.values():
        counter.clear()
    Orders(Batcher(call, 256, Admission(10), lambda _: 0), Lag(1000), settings, tracing, Identities(settings.identity))
    Payments(Batcher(call, 256, Admission(10), lambda _: 0), (), settings, tracing, cast("RefundReports", None))
    counted = re.findall(r'(\w+_total)\{[^}]*, (?:outcome|result)=~?"([^"]+)"', RULES.read_text())
    assert {metric for metric, _ in counted} == counters.keys()
    for metric, results in counted:
        assert set(results.split("|")) <= shown(counters[metric])
