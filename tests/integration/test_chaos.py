"""Orders go on while a server is away, and a gateway that stops answers what it accepted. Deaths are proven by test_chaos_run."""

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from flashsale_local_stack import Stack, wait_until
from tests.integration.client import Client
from tests.integration.storm import Storm, storm

WINDOW_SECONDS = 5
OUTAGE_SECONDS = 10.0
PAY_SECONDS = 60.0
SETTLE_SECONDS = 90
"""How long units may take to be released, and the ledger to receive everything, on a machine that is slow or busy with other things."""
UNITS = 1_000_000


@pytest.fixture
def sale(client: Client) -> str:
    return client.new_sale(UNITS, paymentWindowSeconds=WINDOW_SECONDS)


def test_orders_and_releases_continue_while_rabbitmq_is_down(stack: Stack, client: Client, sale: str, tmp_path: Path) -> None:
    with storm(client.env["FLASHSALE_URL"], sale) as crowd:
        time.sleep(1)
        stack.kill("rabbitmq")
        before = len(crowd.accepted)
        time.sleep(OUTAGE_SECONDS)
        # Orders go on: the outbox keeps their entries for the broker, and the sweep releases unpaid holds.
        assert len(crowd.accepted) > before + 100
        assert wait_until(lambda: sum(client.stock(sale)[2:]) < len(crowd.accepted), SETTLE_SECONDS)
        stack.start("rabbitmq")
        time.sleep(1)
    prove(stack, client, sale, crowd, tmp_path)


def test_orders_continue_while_postgres_is_down(stack: Stack, client: Client, sale: str, tmp_path: Path) -> None:
    with storm(client.env["FLASHSALE_URL"], sale) as crowd:
        time.sleep(1)
        stack.kill("postgres")
        before = len(crowd.accepted)
        time.sleep(OUTAGE_SECONDS)
        assert len(crowd.accepted) > before + 100
        stack.start("postgres")
        time.sleep(1)
    prove(stack, client, sale, crowd, tmp_path)


def test_stopping_gateway_answers_the_requests_it_accepted(stack: Stack, client: Client, sale: str, tmp_path: Path) -> None:
    with storm(client.env["FLASHSALE_URL"], sale) as crowd:
        time.sleep(1.5)
        stack.restart("gateway")
        time.sleep(1)
    prove(stack, client, sale, crowd, tmp_path)


def prove(stack: Stack, client: Client, sale: str, crowd: Storm, tmp_path: Path) -> None:
    """Some orders are paid, late or in time. Then every unpaid unit is released, every accepted order exists, and the audit is clean."""
    assert len(crowd.accepted) > 50, crowd.outcomes
    assert crowd.contradictions == []
    assert set(crowd.outcomes) <= {"accepted", "503", "error", "gone"}, crowd.outcomes
    orders = list(crowd.accepted.values())
    paid = sum(pay(client, order_id) == "paid" for order_id in orders[-20:])
    wait_for_stock(client, sale, (UNITS, UNITS - paid, 0, paid))
    accepted = tmp_path / "accepted"
    accepted.write_text("\n".join(orders) + "\n")
    audit(stack, sale, accepted)


def pay(client: Client, order_id: str) -> str:
    deadline = time.monotonic() + PAY_SECONDS
    payment_id, unconfirmed = uuid.uuid4().hex, False
    while True:
        answer = client.pay(order_id, payment_id)
        if answer.status == 200:
            # A payment that paid its order without the broker's confirm gets 200 only when its webhook comes again.
            result = str(answer.body["result"])
            return "paid" if unconfirmed and result == "replayed" else result
        assert answer.status == 503, answer
        unconfirmed = unconfirmed or answer.code in {"unconfirmed", "outcome_unknown"}
        assert time.monotonic() < deadline
        time.sleep(0.2)


def wait_for_stock(client: Client, sale: str, expected: tuple[int, int, int, int]) -> None:
    """Retries a 503, as a buyer does; any other status but 200 fails."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        answer = client.get(f"/sales/{sale}")
        assert answer.status in {200, 503}, answer
        shown = answer.body
        if answer.status == 200 and (shown["stock"], shown["available"], shown["reserved"], shown["sold"]) == expected:
            return
        assert time.monotonic() < deadline, f"{shown} is not {expected}: units were not released"
        time.sleep(0.2)


def audit(stack: Stack, sale: str, accepted: Path) -> None:
    command = [sys.executable, "-m", "flashsale_cli", "audit", sale]
    command += ["--wait-seconds", str(SETTLE_SECONDS), "--expect-accepted", str(accepted)]
    env = {**os.environ, **stack.env()}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=2 * SETTLE_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
