"""`python -m tools.bench.audit_in_motion`: an audit of sales that move at full speed: no false difference, and planted ones found."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from time import monotonic, thread_time
from typing import Annotated, Any
from uuid import uuid4

import typer
from rich.console import Console
from rich.text import Text

from flashsale_audit import Auditor
from flashsale_audit.audit_all import Options, Report
from flashsale_audit.differences import Kind
from flashsale_cli import sales_client
from flashsale_cli.audit.stores import audit_stores, stores_of
from flashsale_cli.console import EXIT_FAILED, JSON_OPTION, console, table, verdict, write_json
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.http_client import open_session
from flashsale_core.keys import sale_keys
from flashsale_core.records import record_fields, unpack_record
from flashsale_core.scripts import pack
from flashsale_local_stack import DEFAULT_HOME, temporary_stack
from flashsale_redis import open_redis
from tools.bench.moving_crowd import MovingCrowd
from tools.bench.options import Home

WINDOW_SECONDS = 5
STOCKS = (100_000_000, 2_000)
FOUND_SECONDS_BAR, CPU_SHARE_BAR = 30.0, 0.02
GIVE_UP_SECONDS = 120.0
POLL_SECONDS = 0.1
PATIENT = Options(overdue_grace_seconds=30, outbox_seconds=30)


@dataclass
class Result:
    orders: int
    """Those that the crowd was told are accepted."""
    audits_by_hand: int
    audits_judged: int
    """Those among them that judged every sale of the crowd, with orders in each."""
    cpu_share: float
    false_differences: list[str]
    auditor_faults: list[str]
    """Why the auditor audited nothing for a while, or ended."""
    found_after_seconds: dict[str, float]

    @property
    def judged(self) -> bool:
        """Whether the absence of differences means anything."""
        return self.orders > 0 and self.audits_judged > 0 and not self.auditor_faults

    @property
    def passed(self) -> bool:
        slowest = max(self.found_after_seconds.values())
        return self.judged and not self.false_differences and self.cpu_share <= CPU_SHARE_BAR and slowest <= FOUND_SECONDS_BAR


class AuditorThread:
    """The auditor in a thread of its own, so that its processor time is not the crowd's."""

    def __init__(self, environment: CliEnvironment) -> None:
        self.auditor = Auditor(stores_of(environment))
        self.faults: list[str] = []
        """Why nothing was audited for a while, or at the end."""
        self.cpu_seconds = 0.0
        self._stopping = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._thread.join()

    async def _run(self) -> None:
        running = asyncio.create_task(self.auditor.run())
        while not self._stopping and not running.done():
            await asyncio.sleep(POLL_SECONDS)
            self.cpu_seconds = thread_time()
            fault = self.auditor.fault
            if fault is not None and fault not in self.faults:
                self.faults.append(fault)
        if running.done():
            self.faults.append(f"it ended: {running.exception()!r}")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    @property
    def reported(self) -> list[str]:
        return [f"{kind.value} {subject}" for kind, subject in list(self.auditor.reported)]


async def change_counter(redis: Any, sale_id: str) -> tuple[Kind, str]:
    await redis.hincrby(sale_keys(sale_id).sale, "available", 1)
    return Kind.COUNTERS_UNBALANCED, sale_id


async def change_buyer(redis: Any, sale_id: str) -> tuple[Kind, str]:
    _, buyers = await redis.hscan(sale_keys(sale_id).buyers, 0, count=100)
    user = next(name.decode() for name, units in buyers.items() if not name.startswith(b"#") and int(units) > 0)
    await redis.hincrby(sale_keys(sale_id).buyers, user, 1)
    return Kind.BUYER_UNITS, f"{sale_id} {user}"


async def change_released(redis: Any, sale_id: str) -> tuple[Kind, str]:
    _, buyers = await redis.hscan(sale_keys(sale_id).buyers, 0, count=100)
    name = next(name.decode() for name in buyers if name.startswith(b"#"))
    await redis.hincrby(sale_keys(sale_id).buyers, name, 1)
    return Kind.BUYER_RELEASED, f"{sale_id} {name.removeprefix('#')}"


async def change_refund(redis: Any, sale_id: str) -> tuple[Kind, str]:
    _, orders = await redis.hscan(sale_keys(sale_id).orders, 0, count=1000)
    order_id, packed = next((name.decode(), packed) for name, packed in orders.items() if packed[2:3] == b"C")
    invented = replace(unpack_record(packed), refunded_payment_ids=("invented",))
    await redis.hset(sale_keys(sale_id).orders, order_id, pack(record_fields(invented)))
    return Kind.REFUND_DIFFERS, f"{sale_id}.{order_id}"


async def change_policy(redis: Any, sale_id: str) -> tuple[Kind, str]:
    await redis.hset(sale_keys(sale_id).sale, "late_payment", "refund")
    return Kind.SALE_DIFFERS, sale_id


async def change_order(redis: Any, sale_id: str) -> tuple[Kind, str]:
    _, orders = await redis.hscan(sale_keys(sale_id).orders, 0, count=1000)
    order_id, packed = next((name.decode(), packed) for name, packed in orders.items() if packed[2:3] == b"C")
    await redis.hset(sale_keys(sale_id).orders, order_id, packed.replace(b"C", b"X", 1))
    return Kind.ORDER_DIFFERS, f"{sale_id}.{order_id}"


# The counter last: the scripts refuse a sale whose counters contradict each other, so it no longer moves.
FAULTS: tuple[Callable[[Any, str], Awaitable[tuple[Kind, str]]], ...] = (
    change_buyer,
    change_released,
    change_order,
    change_refund,
    change_policy,
    change_counter,
)


@asynccontextmanager
async def crowd_on(environment: CliEnvironment, lanes: int) -> AsyncIterator[MovingCrowd]:
    url, sales = environment.url(), [f"motion-{uuid4().hex[:8]}" for _ in STOCKS]
    async with open_session(30) as session:
        for sale_id, stock in zip(sales, STOCKS, strict=True):
            terms = {"stock": stock, "paymentWindowSeconds": WINDOW_SECONDS, "maxReleasedPerUser": None, "latePayment": "reacquire"}
            await sales_client.set_sale(session, url, environment.text("FLASHSALE_ADMIN_TOKEN"), {"productId": sale_id, **terms})
    crowd = MovingCrowd(url, sales, environment.text("FLASHSALE_WEBHOOK_SECRET"), WINDOW_SECONDS, lanes)
    running = asyncio.create_task(crowd.run())
    try:
        yield crowd
    finally:
        crowd.stopping = True
        await running


async def measure(environment: CliEnvironment, seconds: float, lanes: int, say: Callable[[str], object]) -> Result:
    thread = AuditorThread(environment)
    async with crowd_on(environment, lanes) as crowd:
        thread.start()
        try:
            started_at, audits, judged, wrong = monotonic(), 0, 0, list[str]()
            while monotonic() - started_at < seconds:
                report = await audit_stores(environment, PATIENT)
                audits += 1
                judged += has_judged(report, crowd.sale_ids)
                wrong += [
                    f"by hand: {kind.value} {sample.subject}: {sample.detail}"
                    for kind, samples in report.findings.samples.items()
                    for sample in samples
                ]
                say(f"{monotonic() - started_at:.0f} s, {crowd.outcomes['POST 200']} orders, {audits} audits by hand, {len(wrong)} wrong")
            wrong += thread.reported
            share = thread.cpu_seconds / (monotonic() - started_at)
            found_after = {fault.__name__: await find(environment, thread, fault, crowd.sale_ids[0], say) for fault in FAULTS}
        finally:
            await asyncio.to_thread(thread.stop)
    return Result(crowd.outcomes["POST 200"], audits, judged, share, wrong, thread.faults, found_after)


def has_judged(report: Report, sale_ids: Sequence[str]) -> bool:
    """Whether the audit left nothing for later, and each of these sales had orders."""
    orders = {numbers.counters.sale_id: numbers.counters.orders for numbers in report.sales}
    return not report.skipped.for_now and all(orders.get(sale_id, 0) > 0 for sale_id in sale_ids)


async def find(environment: CliEnvironment, thread: AuditorThread, fault: Any, sale_id: str, say: Callable[[str], object]) -> float:
    """Plant a fault in the sale while it moves. Returns after how many seconds the auditor reported it."""
    async with open_redis(environment.text("REDIS_URL"), 10, 1) as redis:
        planted = await fault(redis, sale_id)
    planted_at = monotonic()
    while planted not in thread.auditor.reported and monotonic() - planted_at < GIVE_UP_SECONDS:  # noqa: ASYNC110 - of another thread
        await asyncio.sleep(POLL_SECONDS)
    say(f"{fault.__name__}: {monotonic() - planted_at:.1f} s")
    return monotonic() - planted_at


def main(
    seconds: Annotated[float, typer.Option(help="How long the sales move.", min=5)] = 300.0,
    lanes: Annotated[int, typer.Option(help="Requests of the crowd in progress.", min=1)] = 32,
    home: Home = DEFAULT_HOME,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Audit sales all the time and by hand while a crowd orders, pays, cancels and lets orders expire. Exit status 1 if a bar is missed."""
    screen = Console(quiet=True) if as_json else console()

    def say(words: str) -> None:
        screen.print(Text(words, "dim"))

    with temporary_stack(home, 0, say) as variables:
        result = asyncio.run(measure(CliEnvironment(variables), seconds, lanes, say))
    if as_json:
        write_json(json.loads(json.dumps(asdict(result))))
    else:
        show(result, screen)
    if not result.passed:
        raise typer.Exit(EXIT_FAILED)


def show(result: Result, screen: Console) -> None:
    rows = [
        ("audits by hand that judged all", str(result.audits_judged), verdict(result.judged)),
        ("differences that were not there", str(len(result.false_differences)), verdict(not result.false_differences)),
        ("share of one core", f"{result.cpu_share:.2%}", verdict(result.cpu_share <= CPU_SHARE_BAR)),
        *[
            (f"{name} found after", f"{after:.1f} s", verdict(after <= FOUND_SECONDS_BAR))
            for name, after in result.found_after_seconds.items()
        ],
    ]
    screen.print(table(f"{result.orders} orders, {result.audits_by_hand} audits by hand", ("", "", " verdict"), rows))
    for words in (*result.auditor_faults, *result.false_differences[:20]):
        screen.print(Text(words, "red"))


if __name__ == "__main__":
    typer.run(main)
