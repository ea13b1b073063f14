-- The least rights of `flashsale ledger prune`. `flashsale migrate` runs this as the owner, if the role exists.
grant usage on schema public to flashsale_retention;
grant select on schema_migrations, installation, shards, reported_refunds to flashsale_retention;
grant select, delete on sales, orders, order_events, sale_changes, payments, refunds, refund_events, refund_reports, received_entries, markers to flashsale_retention;
-- Ranges that touch become one range.
grant insert on received_entries to flashsale_retention;
