"""Gathers what needs attention, at most once a second, however many people look."""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from flashsale_console import service_metrics
from flashsale_console.attention import COUNT_MAX, Facts, OpenRefunds, Stall, stall_reason
from flashsale_console.engine import Engine
from flashsale_console.ledger import Ledger
from flashsale_console.live_sales import LiveSales, ShardLook
from flashsale_console.service_metrics import ServiceFacts
from flashsale_core.errors import Retryable
from flashsale_core.shop_events import DISABLED_BY_PEOPLE

FRESH_SECONDS = 1.0
SALES_PER_LOOK = 500
"""Open sales whose stock is looked at each time: with 10,000 open sales each one is seen every 20 looks."""


class Watch:
    def __init__(self, ledger: Ledger, live: LiveSales, engine: Engine, metrics_urls: tuple[str, ...]) -> None:
        self._ledger, self._live, self._engine, self._metrics_urls = ledger, live, engine, metrics_urls
        self._facts: Facts | None = None
        self._at = 0.0
        self._looking = asyncio.Lock()
        self._after = ""
        self._has_seen_all = False
        self._stalls: dict[str, Stall] = {}
        self.services = ServiceFacts()
        self.shards: list[ShardLook] = []

    async def facts(self) -> Facts:
        """Never raises: what cannot be read is in `unread`."""
        async with self._looking:
            if self._facts is None or time.monotonic() - self._at > FRESH_SECONDS:
                self._facts = await self._look()
                self._at = time.monotonic()
            return self._facts

    async def _look(self) -> Facts:
        unread: list[tuple[str, str]] = []

        async def attempt(source: str, work: Awaitable[Any]) -> Any:
            try:
                return await work
            except Retryable as error:
                unread.append((source, str(error)))
                return None

        refunds, reported, sales, webhooks, shards, services, _ = await asyncio.gather(
            attempt("The ledger", self._ledger.rows("open_refunds", COUNT_MAX)),
            attempt("The ledger", self._ledger.row("reported_facts")),
            attempt("The ledger", self._ledger.row("sale_facts")),
            attempt("The ledger", self._ledger.row("webhook_facts", sorted(DISABLED_BY_PEOPLE))),
            attempt("Redis", self._live.shards()),
            service_metrics.ask(self._engine, self._metrics_urls),
            attempt("Redis", self._look_at_sales()),
        )
        self.services, self.shards = services, shards or []
        unread += [("A service", reason) for reason in services.away]
        stalls = tuple(sorted(self._stalls.values()))
        facts = Facts(datetime.now(UTC), unread=tuple(dict(unread).items()), stalls=stalls, all_sales_seen=self._has_seen_all)
        return _with_services(_with_shards(_with_ledger(facts, refunds, reported, sales, webhooks), self.shards), services)

    async def _look_at_sales(self) -> None:
        """Look at the next open sales; after the last one, begin again."""
        names = [row["sale_id"] for row in await self._ledger.rows("sale_names", self._after, SALES_PER_LOOK)]
        first, self._after = self._after, names[-1] if len(names) == SALES_PER_LOOK else ""
        looked = {name: stall_reason(look.fields) for name, look in zip(names, await self._live.sales(names), strict=True)}
        last = self._after
        self._has_seen_all = self._has_seen_all or not last
        # Sales that are gone from this part of the list are forgotten.
        kept = {name: stall for name, stall in self._stalls.items() if name <= first or (last and name > last)}
        self._stalls = kept | {name: Stall(name, reason) for name, reason in looked.items() if reason}


def _with_ledger(facts: Facts, refunds: Any, reported: Any, sales: Any, webhooks: Any) -> Facts:
    counted = {row["state"]: OpenRefunds(row["refunds"], row["oldest"]) for row in refunds or ()}
    facts = replace(facts, due=counted.get("due", OpenRefunds()), failed=counted.get("failed", OpenRefunds()))
    if reported:
        facts = replace(facts, reported=OpenRefunds(reported["orders"], reported["oldest"]))
    if sales:
        facts = replace(facts, paused=sales["paused"], paused_example=sales["example"] or "")
    return replace(facts, disabled_endpoints=webhooks["disabled"], failing_endpoints=webhooks["failing"]) if webhooks else facts


def _with_shards(facts: Facts, shards: list[ShardLook]) -> Facts:
    closed = {look.shard: look.fence.state or "missing" for look in shards if look.fence.state != "open"}
    age_ms = max((look.outbox_age_ms for look in shards), default=0)
    return replace(facts, closed_shards=closed, shards=len(shards), outbox_age_ms=age_ms)


def _with_services(facts: Facts, services: ServiceFacts) -> Facts:
    return replace(
        facts,
        parked={queue: count for queue, count in services.parked.items() if count},
        reports_parked=bool(services.parked),
        differences={kind: count for kind, count in services.differences.items() if count},
        is_audited=services.is_audited,
    )
