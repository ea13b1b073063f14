"""Writes one sale to Redis as its plan says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from flashsale_core.orders import State
from flashsale_core.records import OrderRecord, record_fields
from flashsale_recovery.rebuild.announcements import Counters, definition_line, end_line, order_lines
from flashsale_recovery.rebuild.facts import Definition
from flashsale_recovery.rebuild.join import Joined
from flashsale_recovery.rebuild.report import SaleReport
from flashsale_recovery.rebuild.restorer import Restorer
from flashsale_recovery.rebuild.survey import SalePlan, Survey


@dataclass(frozen=True, slots=True)
class SaleRestore:
    survey: Survey
    restorer: Restorer
    grace_ms: int

    async def run(self, plan: SalePlan) -> None:
        """Start all calls of the sale. Its hash is written before its orders, and announced before them."""
        sale_id, head = plan.present.definition.sale_id, self._head(plan)
        async for page in self.survey.joined_pages(plan):
            part = self._orders(plan, page)
            if head:
                # Only a great sale has further pages, and they must find its hash.
                send = self.restorer.now if plan.page is None else self.restorer.soon
                await send(sale_id, {**head, **part, "lines": [*head["lines"], *part.get("lines", ())]}, plan.report)
                head = {}
            elif part:
                await self.restorer.soon(sale_id, part, plan.report)
        if head:
            await self.restorer.soon(sale_id, head, plan.report)

    def _head(self, plan: SalePlan) -> dict[str, Any]:
        present, report = plan.present, plan.report
        sale, counters = present.definition, counters_of(report)
        lines = [definition_line(sale, counters)] if present.lacks_definition else []
        lines += [end_line(sale, counters, self.survey.now_ms)] if present.lacks_end else []
        report.entries += len(lines)
        fields = sale_fields(sale, report)
        words = [str(word) for name, value in fields.items() if value is not None for word in (name, value)]
        unset = [name for name, value in fields.items() if value is None]
        head: dict[str, Any] = {"clear": sale.epoch, "sale": words, "unset": unset, "lines": lines}
        if present.lacks_definition:
            head["unannounced"] = max(0, sale.total - present.announced_units)
        return {**head, "close": True} if report.closed else head

    def _orders(self, plan: SalePlan, page: Sequence[Joined]) -> dict[str, Any]:
        if not page:
            return {}
        sale, report = plan.present.definition, plan.report
        orders = [self._decided(plan, order) for order in page]
        released_ms = {name: hold.released_ms(self.survey.stopped_ms) for name, hold in plan.broken.items()}
        behind = [order for order in orders if order.lacking or order.refunds_lacking]
        lines = order_lines(sale, behind, released_ms, self.survey.now_ms) if behind else []
        report.entries += len(lines)
        return {"orders": columns(orders), "max_released": sale.max_released, "lines": lines}

    def _decided(self, plan: SalePlan, order: Joined) -> Joined:
        """The order with what the plan does to its hold: it is broken, or its buyer gets time to pay."""
        record = order.record
        if record.state is not State.RESERVED:
            return order
        if order.order_id in plan.broken:
            expired, lacking = _changed(record, State.EXPIRED, record.deadline_ms), (*order.lacking, State.EXPIRED)
            return msgspec.structs.replace(order, record=expired, was_released=True, lacking=lacking)
        deadline_ms = self.survey.now_ms + self.grace_ms
        if record.deadline_ms >= deadline_ms:
            return order
        return msgspec.structs.replace(order, record=_changed(record, State.RESERVED, deadline_ms))


def counters_of(report: SaleReport) -> Counters:
    """They always add up: the stock of a sale that lost data oversold is raised to what is sold, so that its scripts go on working."""
    return Counters(report.total + report.oversold, report.available, report.reserved, report.sold)


def sale_fields(sale: Definition, report: SaleReport) -> dict[str, Any]:
    """The fields of the sale's hash and their values; None for those that it must not have. Others keep their values."""
    names = (
        "owner", "generation", "epoch", "changed_ms", "starts_ms", "ends_ms", "max_per_user", "hold_seconds", "rate_requests",
        "rate_seconds", "max_released", "late_payment", "state",
        "durability", "price",
    )  # fmt: skip
    rare = {"base": sale.base, "closed_ms": sale.closed_ms, "oversold": report.oversold, "requests": sale.requests}
    rare |= {"returned": report.returned, "restocked": report.restocked}
    usual = {name: getattr(sale, name) for name in names} | counters_of(report)._asdict()
    return usual | {name: value or None for name, value in rare.items()}


def columns(orders: Sequence[Joined]) -> list[list[Any]]:
    """The orders as lua/restore.lua takes them."""
    return [
        [order.order_id for order in orders],
        [record_fields(order.record) for order in orders],
        [int(order.was_released) for order in orders],
    ]


def _changed(record: OrderRecord, state: State, deadline_ms: int) -> OrderRecord:
    return OrderRecord(
        state, record.user_id, record.quantity, deadline_ms, record.traceparent, record.payment_id, record.refunded_payment_ids
    )
