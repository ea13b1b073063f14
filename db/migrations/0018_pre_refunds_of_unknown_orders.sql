-- The notifier looks every few seconds for refunds of unknown orders (docs/decisions/0072). `created_at` is when Redis decided, and the row
-- may be written hours later. Rows of before have no such time.
alter table refunds add column written_at timestamptz;
alter table refunds alter column written_at set default now();
-- Their messages may still wait for the notifier, which makes no event of them any more; events that were sent are not sent again.
update refunds set written_at = now() where reason = 'unknown_order' and created_at > now() - interval '1 day';
create index refunds_unknown_orders on refunds (written_at, sale_id, epoch) where reason = 'unknown_order';
