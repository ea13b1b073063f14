"""Judges a round after its faults have ended: reads the stores, and passes what they contain to the verdict."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiohttp
from aio_pika.exceptions import AMQPException

from flashsale_audit import Stores
from flashsale_audit.audit_all import Audit, Options, Report
from flashsale_audit.connect import connect
from flashsale_chaos.bench import Bench
from flashsale_chaos.context import Context
from flashsale_chaos.facts_reader import read_facts
from flashsale_chaos.faults import SERVICES
from flashsale_chaos.history import History
from flashsale_chaos.loss_judge import LossJudge
from flashsale_chaos.overload import overload
from flashsale_chaos.sales import Sale
from flashsale_chaos.tap import TappedLines, create_tap, read_tap
from flashsale_chaos.verdict.audited import judge_audit
from flashsale_chaos.verdict.closed import judge_closed
from flashsale_chaos.verdict.definitions import unknown_sales
from flashsale_chaos.verdict.verdict import gone_effects, judge_history
from flashsale_chaos.verdict.violations import Promise, Violation
from flashsale_chaos.waiting import until
from flashsale_core.errors import Retryable
from flashsale_core.keys import SHARDS_DEFAULT, shard_of
from flashsale_recovery.session import ERRORS

READY_SECONDS = 10.0
"""On a machine that keeps up; longer on one that is overloaded."""
SETTLE_SECONDS = 20.0
PROBE_SECONDS = 2.0
STORES_AWAY = (Retryable, AMQPException, *ERRORS)


class Judge:
    def __init__(self, bench: Bench, history: History) -> None:
        self._bench, self._history = bench, history
        self._env = bench.direct_env
        self._tapped = TappedLines()
        self.losses = LossJudge(bench)
        self._contexts: dict[tuple[str, ...], list[Context]] = {}
        """The rounds of the present sales, this one included."""
        self._forgotten: set[str] = set()
        """Sales of the run whose definition was lost."""

    async def prepare(self) -> None:
        """Call it before the crowd begins. Raises Retryable if the broker does not create the tap."""
        await asyncio.to_thread(create_tap, self._bench.stack)

    async def judge(self, sales: Sequence[Sale], context: Context) -> list[Violation]:
        """What was broken in the round. The crowd pauses, and all faults have ended."""
        names = [sale.sale_id for sale in sales]
        self._contexts = {tuple(names): [*self._contexts.get(tuple(names), ()), context]}
        violations = [Violation(Promise.READY.value, words) async for words in self._unready(context.healed)]
        try:
            report = await self._audit()
            shard = shard_of(names[0], SHARDS_DEFAULT)
            self._tapped.add(await read_tap(self._env["AMQP_URL"]), shard, names)
            facts = await read_facts(self._env["DATABASE_URL"], names, shard, self._tapped.lines())
            violations += await self.losses.judge(self._env["DATABASE_URL"], gone_effects(sales, self._history.of(names), facts))
            self._forgotten |= unknown_sales(sales, facts.totals)
        except STORES_AWAY as error:
            return [*violations, Violation(Promise.READY.value, f"the stores cannot be read: {type(error).__name__} {error}")]
        calls = self._history.of(names)
        gave_up = [call for call in self._history.gave_up if call.sale in names]
        violations += judge_audit(report.findings, report.skipped, self._forgotten)
        violations += judge_closed(calls, [loss.at for loss in self._bench.losses], facts.incarnations)
        return [*violations, *judge_history(sales, calls, gave_up, facts, self._contexts[tuple(names)])]

    async def _unready(self, healed: float) -> AsyncIterator[str]:
        """The services that are not ready READY_SECONDS after the faults ended, and what they answer."""
        addresses = {status.name: status.address for status in self._bench.stack.status() if status.name in SERVICES}
        addresses |= {name: further.address for name, further in self._bench.further.items()}
        ready_seconds = READY_SECONDS * overload()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PROBE_SECONDS)) as session:
            answers = await asyncio.gather(*[_until_ready(session, address, healed + ready_seconds) for address in addresses.values()])
        for name, answer in zip(addresses, answers, strict=True):
            if answer:
                yield f"{name} is not ready {ready_seconds:.0f} s after the faults ended: {answer}"

    async def _audit(self) -> Report:
        """The audit of all sales of the run, once nothing is left that can disappear by itself."""
        stores = Stores(self._env["REDIS_URL"], self._env["DATABASE_URL"], SHARDS_DEFAULT, Path(self._env["FLASHSALE_LUA_DIR"]))
        async with connect(stores) as (redis, ledger):
            return await Audit(redis, ledger, Options()).until_settled(SETTLE_SECONDS * overload())


async def _until_ready(session: aiohttp.ClientSession, address: str, give_up_at: float) -> str:
    """Empty once the service is ready, or its last answer."""
    last = "no answer"

    async def is_ready() -> bool:
        nonlocal last
        try:
            async with session.get(f"http://{address}/readyz") as response:
                last = "" if response.status == 200 else f"{response.status} {(await response.text())[:200]}"
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            last = f"no answer ({type(error).__name__})"
        return not last

    # A service is asked at least once.
    await until(is_ready, max(give_up_at - time.monotonic(), PROBE_SECONDS))
    return last
