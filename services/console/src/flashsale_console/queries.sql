-- Every statement reads. Lists are pages by a key, so no page depends on the number of rows before it.

-- name: list_sales
-- The latest defined first, from the one after ($3, $4, $5). Empty texts do not filter. A table of sales is small, so it is scanned.
select sale_id, epoch, owner, state, total, starts_at, ends_at, defined_at, price, final_available, final_reserved, final_sold
  from sales
 where ($1 = '' or state = $1) and ($2 = '' or strpos(lower(sale_id), lower($2)) > 0)
   and (defined_at, sale_id, epoch) < ($3::timestamptz, $4::text, $5::bigint)
 order by defined_at desc, sale_id desc, epoch desc limit $6;

-- name: show_sale
-- The sale of this epoch, or with 0 the latest of the name.
select sale_id, epoch, owner, state, total, starts_at, ends_at, defined_at, retired_at, price, max_per_user, hold_seconds, late_payment,
       durability, final_available, final_reserved, final_sold
  from sales where sale_id = $1 and ($2::bigint = 0 or epoch = $2) order by epoch desc limit 1;

-- name: sale_changes
select at, change, changed_by, terms from sale_changes where sale_id = $1 and epoch = $2 order by at desc limit $3;

-- name: all_changes
select sale_id, epoch, at, change, changed_by, terms from sale_changes
 where (at, sale_id, epoch, change) < ($1::timestamptz, $2::text, $3::bigint, $4::text)
 order by at desc, sale_id desc, epoch desc, change desc limit $5;

-- name: count_orders
select count(*) from orders where sale_id = $1 and epoch = $2;

-- name: history
-- Order ids are keyed hashes, so the first ones by id are a random sample of the sale's orders, and the cost does not grow with the sale.
with sample as materialized (
    select order_id, quantity from orders where sale_id = $1 and epoch = $2 order by order_id limit $3
)
select floor(extract(epoch from e.at))::bigint as second, e.state, sum(s.quantity)::bigint as units, count(*)::bigint as orders
  from sample s cross join lateral (
    -- `offset 0`: one look into the index for each order of the sample. Joined otherwise, all events of the sale are read.
    select state, at from order_events where sale_id = $1 and epoch = $2 and order_id = s.order_id offset 0
  ) as e
 group by 1, 2 order by 1;

-- name: orders_of_buyer
select sale_id, epoch, order_id, user_id, quantity, state, deadline, reserved_at, updated_at from orders
 where user_id = $1 and (updated_at, sale_id, order_id) < ($2::timestamptz, $3::text, $4::text)
 order by updated_at desc, sale_id desc, order_id desc limit $5;

-- name: show_order
-- The newest sale of this name that has the order counts. The key begins with sale and epoch, so a condition without the epoch would read
-- all orders of the sale; a name has few epochs, and each is reached in one step.
with recursive epochs as (
    select max(epoch) as epoch from orders where sale_id = $1
     union all
    select (select max(o.epoch) from orders o where o.sale_id = $1 and o.epoch < e.epoch) from epochs e where e.epoch is not null
)
select o.sale_id, o.epoch, o.order_id, o.user_id, o.quantity, o.state, o.deadline, o.payment_id, p.amount_minor, p.currency, o.reserved_at,
       o.updated_at, o.restocked
  from epochs e cross join lateral (
    select * from orders where sale_id = $1 and epoch = e.epoch and order_id = $2 offset 0
) as o
  left join payments p on p.payment_id = o.payment_id and p.sale_id = o.sale_id and p.order_id = o.order_id and p.result = 'paid'
 order by o.epoch desc limit 1;

-- name: sale_orders
-- All orders of a sale, in parts, by its key.
select o.order_id, o.user_id, o.quantity, o.state, o.payment_id, p.amount_minor, p.currency, o.reserved_at, o.deadline, o.updated_at
  from orders o
  left join payments p on p.payment_id = o.payment_id and p.sale_id = o.sale_id and p.order_id = o.order_id and p.result = 'paid'
 where o.sale_id = $1 and o.epoch = $2 and o.order_id > $3 order by o.order_id limit $4;

-- name: order_events
select state, at, changed_by from order_events where sale_id = $1 and epoch = $2 and order_id = $3 order by at, order_rank(state);

-- name: order_refunds
select refund_id, payment_id, state, reason, amount_minor, refunded_minor, currency, created_at from refunds
 where payment_id = any($1::text[]) and sale_id = $2 and order_id = $3 order by refund_id;

-- name: list_refunds
-- The oldest first, as the ledger-api lists them.
select r.refund_id, r.payment_id, r.sale_id, r.order_id, r.reason, r.amount_minor, r.refunded_minor, r.currency, r.state, r.created_at,
       r.changed_at
  from refunds r
 where r.state = $1 and (r.created_at, r.refund_id) > ($2::timestamptz, $3::bigint)
 order by r.created_at, r.refund_id limit $4;

-- name: open_refunds
select s.state, counted.refunds, counted.oldest from unnest(array['due', 'failed']) as s (state) cross join lateral (
    select count(*) as refunds, min(created_at) as oldest
      from (select created_at from refunds r where r.state = s.state order by created_at limit $1) as first_ones
) as counted;

-- name: list_reported
-- Paid orders that the provider reported as paid back, the oldest report first, as the ledger-api lists them.
select payment_id, sale_id, order_id, amount_minor, currency, reported_minor, reported_currency, reference, reported_at
  from reported_refunds where (reported_at, sale_id, order_id) > ($1::timestamptz, $2::text, $3::text)
 order by reported_at, sale_id, order_id limit $4;

-- name: reported_refund
select reported_minor, reported_currency, reference, reported_at from reported_refunds where sale_id = $1 and epoch = $2 and order_id = $3;

-- name: reported_facts
select count(*) as orders, min(reported_at) as oldest from reported_refunds;

-- name: sale_facts
-- Sales that people may have forgotten: paused while they could sell.
select count(*) as paused, min(sale_id) as example from sales
 where state = 'paused' and (starts_at is null or starts_at <= now()) and (ends_at is null or ends_at > now());

-- name: sale_names
select sale_id from sales where state in ('open', 'paused') and sale_id > $1 order by sale_id limit $2;

-- name: webhook_facts
-- One that is disabled for a reason of $1 needs nobody: people wanted it so.
select count(*) filter (where state = 'disabled' and reason <> all ($1::text[])) as disabled,
       count(*) filter (where state = 'enabled' and failing_since is not null) as failing, min(failing_since) as since
  from webhook_endpoints;

-- name: endpoints
select e.endpoint, e.url, e.types, e.source, e.state, e.reason, e.failing_since, d.due, d.oldest
  from webhook_endpoints e cross join lateral (
    select count(*) as due, min(created_at) as oldest from (
        select created_at from webhook_deliveries d where d.endpoint = e.endpoint and d.state = 'due' limit $1) as first_ones
  ) as d
 order by e.endpoint limit 100;

-- name: attempts
select a.attempt_id, a.endpoint, a.event_id, a.at, a.status, a.duration_ms, a.answer, s.type, s.sale_id
  from webhook_attempts a left join shop_events s using (event_id)
 where ($1 = '' or a.endpoint = $1) and a.attempt_id < $2 order by a.attempt_id desc limit $3;
