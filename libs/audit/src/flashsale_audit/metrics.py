"""Metrics of the audit that runs all the time."""

from prometheus_client import Counter, Gauge

DIFFERENCES = Gauge(
    "flashsale_audit_differences", "Differences between Redis, ledger and payments by the last complete audit, or the present one", ["kind"]
)
RUNNING = Gauge("flashsale_audit_running", "1 while sales are audited all the time, 0 while a store is away or another keeper audits them")
SKIPPED = Gauge("flashsale_audit_skipped", "What the last audit of all sales did not judge, such as sales of a shard that is not open")
AUDITS = Counter("flashsale_audit_rounds_total", "Audits of all sales that were completed")
ORDERS = Counter("flashsale_audit_orders_total", "Orders that were compared")
ROUND_SECONDS = Gauge("flashsale_audit_round_seconds", "Duration of the last audit of all sales")
CPU_SECONDS = Counter("flashsale_audit_cpu_seconds_total", "Processor time of the audit")
