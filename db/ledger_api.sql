-- The least rights of the ledger-api. `flashsale migrate` runs this as the owner, if the role exists.
grant usage on schema public to flashsale_ledger_api;
grant select on schema_migrations, installation, sales, orders, payments, refunds, refund_events, refund_reports, reported_refunds, shop_events to flashsale_ledger_api;
-- A refund is settled; its payment, its order and its amount stay as they are.
grant update (state, refunded_minor, void_minor, changed_at) on refunds to flashsale_ledger_api;
grant insert on refund_events to flashsale_ledger_api;
-- An order whose sale was removed from Redis is returned here, and its refund becomes due.
grant update (state, restocked, updated_at) on orders to flashsale_ledger_api;
grant insert on order_events, refunds to flashsale_ledger_api;
-- Who returned the order of a refund.
grant select (sale_id, epoch, order_id, state, changed_by) on order_events to flashsale_ledger_api;
