"""`flashsale top` on a real stack shows the numbers of the sale."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGINT
from typing import Any

import pytest

from flashsale_local_stack import Stack
from tests.integration.client import Client

WAIT_SECONDS = 30


@contextmanager
def top(stack: Stack, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "flashsale_cli", "top", "--json", *arguments]
    env = {**os.environ, **stack.env()}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def frame(process: "subprocess.Popen[str]") -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def counted(rates: dict[str, float], seconds: float) -> dict[str, int]:
    return {name: round(rate * seconds) for name, rate in rates.items() if rate}


@pytest.mark.timeout(180)
def test_orders_between_two_frames_are_shown_in_the_second(stack: Stack, client: Client) -> None:
    sale = client.new_sale(3, paymentWindowSeconds=300)
    with top(stack, "--product", sale, "--every", "2", "--count", "2") as process:
        before = frame(process)
        orders = [client.order(sale, f"buyer-{number}") for number in range(5)]
        client.pay(orders[0].body["orderId"], f"pay-{sale}")
        after = frame(process)
        assert process.wait(WAIT_SECONDS) == 0
    (row,) = before["sales"]
    assert (row["available"], row["reserved"], row["sold"], row["demand_per_second"]) == (3, 0, 0, {})
    (row,) = after["sales"]
    assert (row["available"], row["reserved"], row["sold"], row["sold_out_share"]) == (0, 2, 1, pytest.approx(0.4))
    # A rate covers the time between two scrapes, and the frame's seconds that between two readings: nearly the same.
    assert counted(row["demand_per_second"], after["seconds"]) == {"accepted": 3, "out_of_stock": 2}
    admission, outbox = after["pipeline"]["admission"], after["pipeline"]["outbox"]
    assert counted(admission["orders_per_second"], after["seconds"]) == {"accepted": 3, "out_of_stock": 2}
    assert (admission["batch_orders_mean"], outbox["broker_up"]) == (1, 1)
    assert 0 < admission["order_p50_seconds"] <= admission["order_p99_seconds"]
    assert set(admission["script_p99_seconds"]) >= {"reserve", "settle"}
    assert outbox["published_per_second"] > 0


@pytest.mark.timeout(180)
def test_every_service_answers_with_its_own_metrics(stack: Stack, client: Client) -> None:
    sale = client.new_sale(1)
    with top(stack, "--product", sale, "--count", "1", "--every", "0.5") as process:
        shown = frame(process)
    assert [(service["name"], service["answers"]) for service in shown["services"]] == [
        ("gateway", True),
        ("order-worker", True),
        ("timeout-worker", True),
    ]
    ledger, expiry = shown["pipeline"]["ledger"], shown["pipeline"]["expiry"]
    assert set(ledger["consumed_per_second"]) == {"orders", "payment.timeout"}
    assert None not in (ledger["lag_seconds"], ledger["retries_per_second"], ledger["refunds_due"], expiry["overdue_orders"])


@pytest.mark.timeout(180)
def test_interrupt_ends_the_command_with_status_0(stack: Stack) -> None:
    with top(stack, "--every", "0.2") as process:
        frame(process)
        process.send_signal(SIGINT)
        assert process.wait(WAIT_SECONDS) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
