-- The least rights of the notifier, and of `flashsale webhook`. `flashsale migrate` runs this as the owner, if the role exists.
-- It reads of the ledger when sales end, which entries are too late, which orders were returned without a message, and which refunds are due.
-- It sees no payments and changes no order.
grant usage on schema public to flashsale_notifier;
grant select on schema_migrations, installation, sales, shards, received_entries to flashsale_notifier;
grant select (sale_id, epoch, order_id, state, at, message_id) on order_events to flashsale_notifier;
grant select (sale_id, epoch, order_id, user_id, quantity, deadline, payment_id, restocked) on orders to flashsale_notifier;
grant select (payment_id, sale_id, epoch, order_id, reason, amount_minor, currency, created_at, written_at) on refunds to flashsale_notifier;
grant select, insert, delete on shop_events to flashsale_notifier;
-- Events that a dump of another cluster brought are numbered again; what they say stays.
grant update (txid) on shop_events to flashsale_notifier;
grant select, insert, update, delete on webhook_endpoints to flashsale_notifier;
grant select, insert, update, delete on webhook_deliveries to flashsale_notifier;
grant select, insert, delete on webhook_attempts to flashsale_notifier;
