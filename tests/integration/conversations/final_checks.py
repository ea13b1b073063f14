"""Checks after all clients have left: the gateway serves new ones, is idle, and has lost no unit and no order."""

import json
import re
from collections.abc import Iterator, Mapping, Set
from http.client import HTTPException
from pathlib import Path

from flashsale_core.keys import sale_keys
from flashsale_core.orders import State
from flashsale_core.records import OrderRecord, unpack_record
from flashsale_local_stack import wait_until
from tests.integration.client import Client
from tests.integration.conversations.buyer import World
from tests.integration.gateways import Gateway
from tests.integration.stores import redis_client

GROWTH_BYTES_MAX = 48 * 1_000_000
IDLE_SECONDS = 30.0
"""How long a gateway may take to become idle."""
ORDERS = 5
LINES_MAX = 3
HELD = {State.RESERVED, State.PAID}


def faults(env: Mapping[str, str], client: Client, gateway: Gateway, world: World, accepted: Mapping[str, Set[str]]) -> Iterator[str]:
    """A sentence for each fault. `accepted` are the orders for which clients received a 200, by sale."""
    yield from _new_orders(client, world)
    yield from _idleness(client)
    for sale in (world.sale, world.scarce_sale):
        yield from _units(env, client, sale, accepted.get(sale, set()))
    yield from _errors(gateway.log)


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    resident = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert resident, status
    return int(resident[1]) * 1024


def _new_orders(client: Client, world: World) -> Iterator[str]:
    for number in range(ORDERS):
        try:
            answer = client.order(world.sale, f"afterwards-{number}")
        except (OSError, HTTPException) as error:
            yield f"an order is not answered: {error!r}"
            return
        if answer.status != 200:
            yield f"an order is refused: {answer}"


def _idleness(client: Client) -> Iterator[str]:
    """No request waits, and only this client is connected."""
    for name, most in (("flashsale_waiting_requests", 0), ("flashsale_connections", 1)):
        if not wait_until(lambda name=name, most=most: _metric(client, name) <= most, IDLE_SECONDS):  # type: ignore[misc]
            yield f"{name} is {_metric(client, name):g} after {IDLE_SECONDS:g} s"


def _metric(client: Client, name: str) -> float:
    sample = re.search(rf"^{name} (\S+)$", client.get("/metrics").raw.decode(), re.MULTILINE)
    assert sample, name
    return float(sample[1])


def _units(env: Mapping[str, str], client: Client, sale: str, accepted: Set[str]) -> Iterator[str]:
    """The counters of a sale, its orders and the answers that clients received agree."""
    stock, available, reserved, sold = client.stock(sale)
    records = _records(env, sale)
    held = sum(record.quantity for record in records.values() if record.state in HELD)
    if stock != available + reserved + sold or available < 0 or held != reserved + sold:
        yield f"{sale}: {stock=}, {available=}, {reserved=}, {sold=}, and its orders hold {held}"
    lost = accepted - records.keys()
    if lost:
        yield f"{sale}: {len(lost)} accepted orders do not exist, such as {min(lost)}"


def _records(env: Mapping[str, str], sale: str) -> dict[str, OrderRecord]:
    with redis_client(env["REDIS_URL"]) as redis:
        packed = redis.hscan_iter(sale_keys(sale).orders, count=1_000)
        return {order_id.decode(): unpack_record(record) for order_id, record in packed}


def _errors(log: Path) -> Iterator[str]:
    """Nothing that a client does makes the gateway log an error."""
    errors = [line for line in log.read_text(errors="replace").splitlines() if _is_error(line)]
    for line in errors[:LINES_MAX]:
        yield f"one of {len(errors)} errors in the log: {line[:2_000]}"


def _is_error(line: str) -> bool:
    try:
        return json.loads(line)["level"] in {"error", "critical"}
    except (ValueError, TypeError, KeyError):
        return "Traceback" in line
