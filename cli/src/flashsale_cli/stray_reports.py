"""Deletes old reports of refunds that belong to nothing in the ledger. Called by `flashsale ledger prune`.

A report that belongs to a refund or an order is deleted with its sale (retention.py). This one may be for a payment that never arrived,
or for an order whose sale was deleted before the report.
"""

from datetime import timedelta

from flashsale_cli.retention import execute_pruning, owner_connection

REPORTS_BATCH = 5_000
"""Most reports deleted in one transaction."""
BATCHES_MAX = 10_000

# An order is looked up by the epochs of its sale's name, because a report has none. Old statistics must not make it read whole sales.
_STRAY = """
    from refund_reports b
    where b.at < now() - $1::interval
      and not exists (select from refunds r where (r.payment_id, r.sale_id, r.order_id) = (b.payment_id, b.sale_id, b.order_id))
      and not exists (select from payments p where (p.payment_id, p.sale_id, p.order_id) = (b.payment_id, b.sale_id, b.order_id))
      and not exists (select from sales s, lateral (
            select from orders o where (o.sale_id, o.epoch, o.order_id) = (s.sale_id, s.epoch, b.order_id) limit 1) o
           where s.sale_id = b.sale_id)
"""
_COUNT = f"select count(*) {_STRAY}"
_DELETE = f"""
    with gone as (delete from refund_reports where ctid in (select b.ctid {_STRAY} limit $2) returning 1) select count(*) from gone
"""  # noqa: S608 - only the text above


async def prune_stray_reports(database_url: str, older_than: timedelta, *, dry_run: bool) -> int:
    """Delete the reports older than `older_than` without a refund, a payment or an order. Returns how many were, or would be, deleted.

    Raises Retryable if Postgres refuses or does not answer; what was deleted before that stays deleted.
    """
    async with owner_connection(database_url) as connection:
        if dry_run:
            return int(await connection.fetchval(_COUNT, older_than))
        deleted = 0
        for _ in range(BATCHES_MAX):
            (count,) = await execute_pruning(connection, _DELETE, older_than, REPORTS_BATCH)
            deleted += count
            if count < REPORTS_BATCH:
                break
        return deleted
