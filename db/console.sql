-- The least rights of the console: it reads. `flashsale migrate` runs this as the owner, if the role exists.
grant usage on schema public to flashsale_console;
grant select on schema_migrations, installation, sales, sale_changes, orders, order_events, refunds, reported_refunds to flashsale_console;
grant select on webhook_deliveries, webhook_attempts, shop_events to flashsale_console;
-- What was paid for an order.
grant select (payment_id, sale_id, order_id, result, amount_minor, currency) on payments to flashsale_console;
-- Not the secrets.
grant select (endpoint, url, types, source, state, reason, failing_since) on webhook_endpoints to flashsale_console;
