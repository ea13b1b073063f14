"""One idempotent reconciliation: read, plan, carry out, judge. Its cause only starts it and changes nothing in what it does."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from flashsale_core.errors import Rejected, Retryable
from flashsale_core.timestamps import rfc3339
from flashsale_operator.availability import Busy
from flashsale_operator.conditions import Verdict, status_of
from flashsale_operator.plan import Adopt, Define, Stall, StallReason, acting_owner, define_answer, plan, recovering, unusable
from flashsale_operator.resource import DeletionPolicy, Resource
from flashsale_operator.sale_store import Recovering, SaleStore


class Reconciler:
    def __init__(self, sales: SaleStore, windows: Sequence[int], *, require_durable: bool = True, storefront: str = "") -> None:
        self._sales = sales
        self._windows = windows
        self._require_durable = require_durable
        self._storefront = storefront
        self._durability_checked = False
        self._durability_fault: str | None = None

    async def reconcile(self, resource: Resource, previous: Mapping[str, Any]) -> dict[str, Any]:
        """Make the sale match the resource; returns the resource's new status. Raises Busy when Redis is too slow to judge anything."""
        return self._status(resource, self._with_durability(await self._verdict(resource)), previous)

    async def check_durability(self) -> None:
        """Check whether Redis may lose acknowledged writes: gateways take no orders while it may. Raises Retryable when it is away."""
        if self._require_durable:
            self._durability_fault = await self._sales.durability_fault()
        self._durability_checked = True

    async def read(self, product_ids: Sequence[str]) -> list[dict[str, str] | None]:
        """The hashes of these sales, None where the shard is being recovered. Raises Retryable when Redis is away."""
        return await self._sales.read_many(product_ids)

    def judge(self, resource: Resource, sale: Mapping[str, str] | None, previous: Mapping[str, Any]) -> dict[str, Any] | None:
        """The status for what `read` returned; None when the sale must be changed first."""
        if sale is None:
            return self._status(resource, Verdict({}, stall=recovering(resource)), previous)
        match plan(resource, sale, self._windows):
            case Define() | Adopt():
                return None
            case Stall() as stall:
                verdict = Verdict(_own_sale(resource, sale), stall=stall)
            case _:
                verdict = Verdict(sale)
        return self._status(resource, self._with_durability(verdict), previous)

    async def retire(self, resource: Resource, previous: Mapping[str, Any]) -> dict[str, Any] | None:
        """End the sale as the deletion policy says; returns None when that is done, or the status while the deletion waits."""
        try:
            waits_for = await self._retired(resource)
        except Recovering:
            stall = recovering(resource)
            return self._status(resource, Verdict({}, stall=stall, draining=stall.message), previous)
        except Busy:
            raise
        except Retryable as error:
            return self._status(resource, Verdict({}, waiting=str(error)), previous)
        except Rejected as error:
            reason = f"the sale's data in Redis is broken ({error.reason}); set deletionPolicy to Retain to delete this resource without it"
            return self._status(resource, Verdict({}, stall=Stall(StallReason.INCONSISTENT, reason), draining=reason), previous)
        if waits_for is None:
            return None
        return self._status(resource, Verdict(await self._read(resource), draining=waits_for), previous)

    async def _verdict(self, resource: Resource) -> Verdict:
        try:
            if not self._durability_checked:
                await self.check_durability()
            sale = await self._sales.read(resource.product_id)
            step = plan(resource, sale, self._windows)
            match step:
                case Define():
                    return await self._define(resource)
                case Adopt(owner):
                    await self._sales.retire(resource, "release", owner)
                    return await self._define(resource)
                case Stall():
                    return Verdict(_own_sale(resource, sale), stall=step)
                case _:
                    return Verdict(sale)
        except Recovering:
            return Verdict({}, stall=recovering(resource))
        except Busy:
            raise
        except Retryable as error:
            return Verdict({}, waiting=str(error))
        except Rejected as error:
            stall = Stall(StallReason.INCONSISTENT, f"the sale takes no orders because its data in Redis is broken: {error.reason}")
            return Verdict({}, stall=stall)

    def _with_durability(self, verdict: Verdict) -> Verdict:
        """A sale without a fault of its own is still not Ready while Redis may lose it."""
        if self._durability_fault is None or verdict.stall is not None or verdict.waiting is not None:
            return verdict
        return replace(verdict, stall=Stall(StallReason.REDIS_NOT_DURABLE, f"the sale takes no orders: {self._durability_fault}"))

    async def _define(self, resource: Resource) -> Verdict:
        left_out = unusable(resource, self._windows)
        # What cannot be used or is refused is left out. A pause, an end or a limit in the same change still applies.
        usable = {name: value for name, value in resource.definition.items() if name not in left_out.fields}
        defined = await self._sales.define(resource, usable)
        stall = define_answer(defined.status, defined.sale, resource)
        if stall is not None and stall.reason is StallReason.BELOW_COMMITTED:
            defined = await self._sales.define(resource, {name: value for name, value in usable.items() if name != "total"})
        return Verdict(_own_sale(resource, defined.sale), stall=stall or left_out.stall)

    async def _retired(self, resource: Resource) -> str | None:
        """Carry out the deletion policy; returns what the deletion waits for, None when it is done."""
        owner = acting_owner(resource, await self._sales.read(resource.product_id))
        if resource.deletion_policy is DeletionPolicy.RETAIN:
            await self._sales.retire(resource, "release", owner)
            return None
        status, reserved = await self._sales.retire(resource, "close", owner)
        if status == "closed" and not reserved:
            status, reserved = await self._sales.retire(resource, "remove", owner)
        if status not in ("closed", "holds_live"):
            return None
        return f"{reserved} units are still reserved; the sale is removed once each is paid, cancelled or expired"

    async def _read(self, resource: Resource) -> dict[str, str]:
        try:
            return _own_sale(resource, await self._sales.read(resource.product_id))
        except (Retryable, Rejected):
            return {}

    def _status(self, resource: Resource, verdict: Verdict, previous: Mapping[str, Any]) -> dict[str, Any]:
        now_ms = time.time_ns() // 1_000_000
        moment = rfc3339(datetime.fromtimestamp(now_ms / 1000, UTC), "seconds")
        return status_of(resource, verdict, previous, now_ms, moment, self._storefront)


def _own_sale(resource: Resource, sale: Mapping[str, str]) -> dict[str, str]:
    """The hash if this resource owns the sale and its epoch can be read, otherwise an empty one."""
    return dict(sale) if sale.get("owner") == resource.owner and sale.get("epoch", "").isdigit() else {}
