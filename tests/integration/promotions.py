"""A replica that lacks the newest writes becomes the master while the old one goes on selling: what that costs is reported."""

import asyncio
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from flashsale_local_stack import Stack, wait_until
from tests.integration.client import Client
from tests.integration.losses import CONNECT_SECONDS, lost_entries, orders_in_ledger

STOCK = 2000
"""More than anybody orders before the promotion is noticed."""
HOLD_SECONDS = 1800
"""No hold expires meanwhile: its entry would be lost as well."""
BUYERS, QUANTITY_MAX = 5, 100
WAIT_SECONDS = 60.0


@contextmanager
def stale_promotion(
    stack: Stack, sales: tuple[str, str], cut_off: Callable[[], object], promote: Callable[[], object], folder: Path
) -> Iterator[None]:
    """Lose orders of the first sale, which is `fsync`, and none of the second, which is `confirmed`. The block runs while they are closed.

    `cut_off` keeps a replica from all further writes, and `promote` makes it the master.
    """
    shop, url, (fsync, confirmed) = Client(stack.env()), stack.env()["DATABASE_URL"], sales
    reported = asyncio.run(lost_entries(url))
    kept = {sale: sell(shop, sale) for sale in sales}
    cut_off()
    # The replica lacks these, and the ledger has them.
    for sale in sales:
        kept[sale] += sell(shop, sale)
        assert wait_until(lambda sale=sale: asyncio.run(orders_in_ledger(url, sale)) == len(kept[sale]), WAIT_SECONDS)  # type: ignore[misc]
    # A keeper would open the replica at once, and a broker would take the entries that are to be lost.
    stack.stop("keeper")
    stack.kill("rabbitmq")
    try:
        assert wait_until(lambda: b"\nflashsale_broker_up 0.0\n" in shop.get("/metrics").raw, CONNECT_SECONDS)
        lost = sell(shop, fsync)
        assert shop.order(confirmed, "late").code == "broker_away"
        with ThreadPoolExecutor(1) as promoting:
            promoted = promoting.submit(promote)
            more, unknown = sell_until_recovering(shop, fsync)
            promoted.result()
        lost += more
        yield
    finally:
        # A failure here must not fail the tests that share the stack.
        stack.start("rabbitmq")
        stack.start("keeper")
    assert wait_until(lambda: shop.get("/readyz").status == 200, WAIT_SECONDS)
    assert len(lost) <= asyncio.run(lost_entries(url)) - reported <= len(lost) + unknown
    assert {shop.get(f"/orders/{order}").code for order in lost} == {"unknown_order"}
    for sale in sales:
        sold = len(kept[sale])
        assert shop.stock(sale) == (STOCK, STOCK - sold, sold, 0)
        # Exactly the rest is sold.
        kept[sale] += sell(shop, sale, [min(QUANTITY_MAX, left) for left in range(STOCK - sold, 0, -QUANTITY_MAX)])
        assert shop.order(sale, "late").code == "out_of_stock"
    _audit(stack, kept, folder)


def sell(shop: Client, sale: str, quantities: Sequence[int] = (1,) * BUYERS) -> list[str]:
    """The ids of orders of these quantities, all of which are accepted."""
    answers = [shop.order(sale, uuid.uuid4().hex, quantity) for quantity in quantities]
    assert {answer.status for answer in answers} == {200}, answers
    return [answer.body["orderId"] for answer in answers]


def sell_until_recovering(shop: Client, sale: str) -> tuple[list[str], int]:
    """The ids of the orders that are accepted until a fence refuses them, and how many more may have been written."""
    orders, unknown, give_up = list[str](), 0, time.monotonic() + WAIT_SECONDS
    while time.monotonic() < give_up:
        answer = shop.order(sale, uuid.uuid4().hex)
        if answer.status == 200:
            orders.append(answer.body["orderId"])
        elif answer.code == "recovering":
            return orders, unknown
        unknown += answer.code == "outcome_unknown"
        time.sleep(0.02)
    raise AssertionError("no fence refused the orders")


def _audit(stack: Stack, orders: dict[str, list[str]], folder: Path) -> None:
    accepted = folder / "accepted"
    accepted.write_text("\n".join(order for ids in orders.values() for order in ids))
    command = [sys.executable, "-m", "flashsale_cli", "audit", *orders, "--wait-seconds", str(WAIT_SECONDS)]
    env = {**os.environ, **stack.env()}
    done = subprocess.run(
        [*command, "--expect-accepted", str(accepted)], env=env, capture_output=True, text=True, check=False, timeout=2 * WAIT_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
