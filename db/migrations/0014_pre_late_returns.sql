-- The notifier looks every few seconds for returns that no message brought (docs/decisions/0067). The index contains nothing else.
create index order_events_late_returns on order_events (at, sale_id, epoch, order_id) where state = 'returned' and message_id = '';
