"""One idempotent reconciliation: read, plan, carry out, judge. Whatever woke it up only woke it up."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from flashsale_core.errors import Rejected, Retryable
from flashsale_core.timestamps import rfc3339
from flashsale_operator.conditions import Verdict, status_of
from flashsale_operator.plan import Adopt, Define, Stall, Trouble, acting_owner, define_answer, plan
from flashsale_operator.resource import DeletionPolicy, Resource
from flashsale_operator.sales import Sales


class Reconciler:
    def __init__(self, sales: Sales, windows: Sequence[int], *, require_durable: bool = True) -> None:
        self._sales = sales
        self._windows = windows
        self._require_durable = require_durable
        self._asked = False
        self._forgets: str | None = None

    async def reconcile(self, resource: Resource, previous: Mapping[str, Any]) -> dict[str, Any]:
        """Bring the sale to what the resource says; returns the resource's new status."""
        return _status(resource, self._with_redis(await self._verdict(resource)), previous)

    async def ask_redis(self) -> None:
        """Learn whether Redis keeps what it acknowledged: gateways take no orders while it may not. Raises Retryable when it is away."""
        if self._require_durable:
            self._forgets = await self._sales.forgets()
        self._asked = True

    async def read(self, product_ids: Sequence[str]) -> list[dict[str, str]]:
        """Their sales' hashes. Raises Retryable when Redis is away."""
        return await self._sales.read_many(product_ids)

    def judge(self, resource: Resource, sale: Mapping[str, str], previous: Mapping[str, Any]) -> dict[str, Any] | None:
        """The status that goes with a sale's hash; None when something must be done first."""
        match plan(resource, sale, self._windows):
            case Define() | Adopt():
                return None
            case Stall() as stall:
                verdict = Verdict(_ours(resource, sale), stall=stall)
            case _:
                verdict = Verdict(sale)
        return _status(resource, self._with_redis(verdict), previous)

    async def retire(self, resource: Resource, previous: Mapping[str, Any]) -> dict[str, Any] | None:
        """Take the sale back as the deletion policy says; returns None when that is done, else the status while it is not."""
        try:
            waits_for = await self._retired(resource)
        except Retryable as error:
            return _status(resource, Verdict({}, waiting=str(error)), previous)
        except Rejected as error:
            reason = f"the sale's data in Redis is broken ({error.reason}); set deletionPolicy to Retain to let go of it"
            return _status(resource, Verdict({}, stall=Stall(Trouble.INCONSISTENT, reason), draining=reason), previous)
        if waits_for is None:
            return None
        return _status(resource, Verdict(await self._read(resource), draining=waits_for), previous)

    async def _verdict(self, resource: Resource) -> Verdict:
        try:
            if not self._asked:
                await self.ask_redis()
            sale = await self._sales.read(resource.product_id)
            step = plan(resource, sale, self._windows)
            match step:
                case Define():
                    return await self._define(resource)
                case Adopt(owner):
                    await self._sales.retire(resource, "release", owner)
                    return await self._define(resource)
                case Stall():
                    return Verdict(_ours(resource, sale), stall=step)
                case _:
                    return Verdict(sale)
        except Retryable as error:
            return Verdict({}, waiting=str(error))
        except Rejected as error:
            stall = Stall(Trouble.INCONSISTENT, f"the sale's data in Redis is broken, so it takes no orders: {error.reason}")
            return Verdict({}, stall=stall)

    def _with_redis(self, verdict: Verdict) -> Verdict:
        """A sale that is as it should be is not Ready in a Redis that may forget it."""
        if self._forgets is None or verdict.stall is not None or verdict.waiting is not None:
            return verdict
        return replace(verdict, stall=Stall(Trouble.REDIS_NOT_DURABLE, f"no orders are taken: {self._forgets}"))

    async def _define(self, resource: Resource) -> Verdict:
        defined = await self._sales.define(resource, resource.definition)
        stall = define_answer(defined.status, defined.sale, resource.definition)
        if stall is not None and stall.trouble is Trouble.BELOW_COMMITTED:
            # Only the stock is impossible. A pause, an end or a limit that came with it counts.
            others = {name: value for name, value in resource.definition.items() if name != "total"}
            defined = await self._sales.define(resource, others)
        return Verdict(_ours(resource, defined.sale), stall=stall)

    async def _retired(self, resource: Resource) -> str | None:
        """What the deletion waits for; None when it is done."""
        owner = acting_owner(resource, await self._sales.read(resource.product_id))
        if resource.deletion_policy is DeletionPolicy.RETAIN:
            await self._sales.retire(resource, "release", owner)
            return None
        status, reserved = await self._sales.retire(resource, "close", owner)
        if status == "closed" and not reserved:
            status, reserved = await self._sales.retire(resource, "remove", owner)
        return f"{reserved} units are reserved; each is paid, cancelled or expired first" if status in ("closed", "holds_live") else None

    async def _read(self, resource: Resource) -> dict[str, str]:
        try:
            return _ours(resource, await self._sales.read(resource.product_id))
        except (Retryable, Rejected):
            return {}


def _ours(resource: Resource, sale: Mapping[str, str]) -> dict[str, str]:
    """The hash if it is our sale's and can be read, else nothing."""
    return dict(sale) if sale.get("owner") == resource.owner and sale.get("epoch", "").isdigit() else {}


def _status(resource: Resource, verdict: Verdict, previous: Mapping[str, Any]) -> dict[str, Any]:
    now_ms = time.time_ns() // 1_000_000
    moment = rfc3339(datetime.fromtimestamp(now_ms / 1000, UTC), "seconds")
    return status_of(resource, verdict, previous, now_ms, moment)
