-- The least rights of the order-worker. `flashsale migrate` runs this as the owner, if the role exists.
-- The role can then add to the history and read it, and nothing else: https://www.postgresql.org/docs/current/ddl-priv.html
grant usage on schema public to flashsale_writer;
grant select on schema_migrations, installation, shards, reported_refunds to flashsale_writer;
grant select, insert, update on sales, orders, payments to flashsale_writer;
grant select, insert on order_events, sale_changes, received_entries, markers, refund_events, refund_reports to flashsale_writer;
-- The provider's reports settle refunds. One that proves unfounded is deleted while it is still due.
grant select, insert, update, delete on refunds to flashsale_writer;
