-- Least rights for the order-worker, when it is not to own the ledger: run as the owner, after `flashsale migrate`, for a role of your own.
-- History can then be added to and read, and nothing else: https://www.postgresql.org/docs/current/ddl-priv.html
grant usage on schema public to flashsale_writer;
grant select on schema_migrations to flashsale_writer;
grant select, insert, update on sales, orders, payments to flashsale_writer;
grant select, insert on order_events to flashsale_writer;
-- A refund that turns out to be none is taken back while it is still due.
grant select, insert, delete on refunds to flashsale_writer;
