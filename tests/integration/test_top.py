"""`flashsale top` on a real stack shows the numbers of the sale."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from signal import SIGINT
from time import monotonic
from typing import Any

import pytest

from flashsale_local_stack import Stack
from tests.integration.client import Client

WAIT_SECONDS = 30
FRAMES_SECONDS = 60


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


def counted(rates: dict[str, float] | None, seconds: float | None) -> Counter[str]:
    return Counter({name: round(rate * seconds) for name, rate in (rates or {}).items() if seconds and rate})


def frames_until(process: "subprocess.Popen[str]", is_last: Callable[[list[Any]], object]) -> list[Any]:
    """All frames up to the last one: a slow machine needs several for what a quick one shows in one."""
    frames = [frame(process)]
    give_up_at = monotonic() + FRAMES_SECONDS
    while not is_last(frames) and monotonic() < give_up_at:
        frames.append(frame(process))
    return frames


def admitted(shown: Any) -> Counter[str]:
    """The orders of all sales."""
    return counted(shown["pipeline"]["admission"]["orders_per_second"], shown["services"][0]["seconds"])


def total(frames: list[Any]) -> Counter[str]:
    return sum(map(admitted, frames), Counter())


def test_frames_show_each_order_once(stack: Stack, client: Client) -> None:
    sale = client.new_sale(3, paymentWindowSeconds=300)
    with top(stack, "--product", sale, "--every", "0.5") as process:
        # There are no rates before the gateway has answered twice.
        before = frames_until(process, lambda frames: frames[-1]["sales"] and frames[-1]["services"][0]["seconds"])
        orders = [client.order(sale, f"buyer-{number}") for number in range(5)]
        client.pay(orders[0].body["orderId"], f"pay-{sale}")
        after = frames_until(process, all_is_shown)
        after += frames_until(process, lambda frames: frames[-1]["sales"])
    assert all_is_shown(after)
    (row,) = before[-1]["sales"]
    assert (row["available"], row["reserved"], row["sold"], row["demand_per_second"]) == (3, 0, 0, {})
    (row,) = after[-1]["sales"]
    assert (row["available"], row["reserved"], row["sold"]) == (0, 2, 1)
    assert total(after) == {"accepted": 3, "out_of_stock": 2}
    # A frame whose reading of the sale failed has no row.
    rows = [(shown["sales"][0], admitted(shown), shown["services"][0]["seconds"]) for shown in after if shown["sales"]]
    assert [counted(row["demand_per_second"], seconds) for row, _, seconds in rows] == [orders for _, orders, _ in rows]
    shares = [(row["sold_out_share"], orders["out_of_stock"] / orders.total()) for row, orders, _ in rows if orders]
    assert [share for share, _ in shares] == pytest.approx([expected for _, expected in shares])
    admissions = [shown["pipeline"]["admission"] for shown in after if admitted(shown)]
    assert {(each["batch_orders_mean"], 0 < each["order_p50_seconds"] <= each["order_p99_seconds"]) for each in admissions} == {(1, True)}
    assert {shown["pipeline"]["outbox"]["broker_up"] for shown in after} - {None} == {1}


def all_is_shown(frames: list[Any]) -> bool:
    """The orders, the payment and what both published, each of which may be in a frame of its own."""
    scripts = {script for shown in frames for script in shown["pipeline"]["admission"]["script_p99_seconds"]}
    is_published = any(shown["pipeline"]["outbox"]["published_per_second"] for shown in frames)
    is_paid = [row["sold"] for row in frames[-1]["sales"]] == [1]
    return total(frames).total() >= 5 and scripts >= {"reserve", "settle"} and is_published and is_paid


def test_every_service_answers_with_its_own_metrics(stack: Stack, client: Client) -> None:
    sale = client.new_sale(1)
    with top(stack, "--product", sale, "--every", "0.5") as process:
        shown = frames_until(process, lambda frames: all(service["seconds"] for service in frames[-1]["services"]))[-1]
    assert [(service["name"], service["answers"]) for service in shown["services"]] == [
        ("gateway", True),
        ("order-worker", True),
        ("timeout-worker", True),
    ]
    ledger, expiry = shown["pipeline"]["ledger"], shown["pipeline"]["expiry"]
    assert set(ledger["consumed_per_second"]) == {"orders", "payment.timeout"}
    assert None not in (ledger["lag_seconds"], ledger["retries_per_second"], ledger["refunds_due"], expiry["overdue_orders"])


def test_interrupt_ends_the_command_with_status_0(stack: Stack) -> None:
    with top(stack, "--every", "0.2") as process:
        frame(process)
        process.send_signal(SIGINT)
        assert process.wait(WAIT_SECONDS) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
