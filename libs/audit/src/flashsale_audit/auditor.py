"""The audit that runs all the time: all sales in turn, a page at a time, with a bounded share of one core. The keeper runs it."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from flashsale_audit import metrics
from flashsale_audit.audit_all import Audit, Options, Report
from flashsale_audit.budget import Budget
from flashsale_audit.connect import Stores, connect
from flashsale_audit.differences import Findings, Kind
from flashsale_audit.repeats import Repeats
from flashsale_core.errors import Retryable, SettingsError

log = logging.getLogger(__name__)

CPU_SHARE = 0.02
OPTIONS = Options(overdue_grace_seconds=30.0, outbox_seconds=30.0, lag_seconds=30.0)
"""More patience than by hand: for what is only late, other alerts come sooner. What a dead gateway held, another one publishes after
FLASHSALE_RELAY_CLAIM_IDLE_MS, and the ledger has later entries until then."""
PAUSE_SECONDS = 1.0
RETRY_SECONDS = 5.0
COUNTERS_SECONDS = 5.0
"""How often the counters of all sales are compared, however long a round takes."""
REPORTED_MAX = 10_000
SECONDS_PER_ORDER = 0.32e-3
"""How often what the ledger alone contains is compared: with 300,000 orders, every 100 s."""


@dataclass(slots=True)
class Auditor:
    stores: Stores
    cpu_share: float = CPU_SHARE
    options: Options = OPTIONS
    pause_seconds: float = PAUSE_SECONDS
    """Between two rounds: a round over no sales takes no time."""
    is_active: Callable[[], bool] = lambda: True
    """Whether this process audits: of several keepers only one does."""
    fault: str | None = None
    """Why nothing is audited now."""
    repeats: Repeats = field(default_factory=lambda: Repeats(SECONDS_PER_ORDER))
    reported: set[tuple[Kind, str]] = field(default_factory=set)
    """The kind and subject of each difference that was logged and has not been gone for a whole round since."""
    _last: Findings = field(default_factory=Findings)
    """The findings of the last round that judged all it could, and those since then."""
    _skipped: dict[str, str] = field(default_factory=dict)
    """What the last round did not judge, and why."""

    async def run(self) -> None:
        """Audit until cancelled. While a store is away, or is another installation's, nothing is audited."""
        while True:
            try:
                if self.is_active():
                    await self.audit_once()
                else:
                    self._stand_by()
                await asyncio.sleep(self.pause_seconds)
            except (Retryable, SettingsError) as error:
                self._interrupted(str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def audit_once(self) -> Report:
        """One round over all sales. Raises as `connect` does."""
        report, began_at = Report(), monotonic()
        # It counts what it takes to connect as well.
        budget = Budget(self.cpu_share, metrics.CPU_SECONDS.inc)
        async with connect(self.stores) as (redis, ledger):
            self._began()
            audit = Audit(redis, ledger, self.options, repeats=self.repeats)
            budget.entries = lambda: redis.entries_read
            looked_at = began_at

            async def pace() -> None:
                nonlocal looked_at
                if monotonic() - looked_at > COUNTERS_SECONDS:
                    looked_at = monotonic()
                    self._show(await audit.counters())
                self._show(report.findings)
                await budget.pace()

            audit.pace = pace
            await audit.run(report)
        self._completed(report, monotonic() - began_at)
        await budget.settle()
        return report

    def _began(self) -> None:
        if self.fault is not None:
            log.info("audit.resumed")
        self.fault = None
        metrics.RUNNING.set(1)

    def _stand_by(self) -> None:
        """Another keeper audits, and its metrics count."""
        metrics.RUNNING.set(0)
        metrics.SKIPPED.set(0)
        for kind in Kind:
            metrics.DIFFERENCES.labels(kind.value).set(0)
        self._last = Findings()
        self.reported.clear()

    def _interrupted(self, reason: str) -> None:
        if self.fault is None:
            log.warning("audit.interrupted", extra={"reason": reason})
        self.fault = reason
        metrics.RUNNING.set(0)

    def _completed(self, report: Report, seconds: float) -> None:
        self._show(report.findings)
        self._note_skipped(report.skipped.reasons)
        if not report.skipped.for_now:
            self._last = report.findings
            for kind in Kind:
                metrics.DIFFERENCES.labels(kind.value).set(report.findings.counts[kind])
            # A difference that was gone for a whole round is logged again when it returns.
            self.reported &= {(kind, sample.subject) for kind, samples in report.findings.samples.items() for sample in samples}
        metrics.AUDITS.inc()
        metrics.ORDERS.inc(sum(numbers.counters.orders for numbers in report.sales))
        metrics.ROUND_SECONDS.set(seconds)

    def _note_skipped(self, reasons: dict[str, str]) -> None:
        """What was not judged is not clean: the differences before it stay until a round judges all it can."""
        metrics.SKIPPED.set(len(reasons))
        if reasons and not self._skipped:
            subject, reason = next(iter(reasons.items()))
            log.warning("audit.skipped", extra={"subjects": len(reasons), "subject": subject, "reason": reason})
        self._skipped = reasons

    def _show(self, findings: Findings) -> None:
        """Show new differences at once, and keep those of the last round until this one is complete."""
        for kind, samples in findings.samples.items():
            metrics.DIFFERENCES.labels(kind.value).set(max(findings.counts[kind], self._last.counts[kind]))
            for sample in samples:
                if (kind, sample.subject) not in self.reported and len(self.reported) < REPORTED_MAX:
                    self.reported.add((kind, sample.subject))
                    log.error("audit.difference", extra={"kind": kind.value, "subject": sample.subject, "detail": sample.detail})
