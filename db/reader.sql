-- The least rights of `flashsale audit`: it reads the ledger. `flashsale migrate` runs this as the owner, if the role exists.
grant usage on schema public to flashsale_reader;
grant select on schema_migrations, installation, shards, sales, orders, order_events, sale_changes, payments, refunds, refund_events, refund_reports, received_entries, markers to flashsale_reader;
