-- When an order was reserved, beside when it changed last; null until its `reserved` message was heard, which may be after `paid`.
alter table orders add column reserved_at timestamptz;

update orders o set reserved_at = e.at
from order_events e
where (e.sale_id, e.epoch, e.order_id) = (o.sale_id, o.epoch, o.order_id) and e.state = 'reserved';

-- What Redis counted when the sale was closed, and then removed: afterwards nobody else can say.
alter table sales
    add column final_available bigint,
    add column final_reserved  bigint,
    add column final_sold      bigint;
