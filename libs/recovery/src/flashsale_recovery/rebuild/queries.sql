-- What a rebuild reads from the ledger. Times are read in ms since the Unix epoch.

-- name: definitions
-- Until its definition arrives, a sale that was retired first has generation 0.
select distinct on (sale_id) sale_id, epoch, owner, generation, (extract(epoch from defined_at) * 1000)::bigint as changed_ms, base,
       state, total, coalesce((extract(epoch from starts_at) * 1000)::bigint, 0) as starts_ms,
       coalesce((extract(epoch from ends_at) * 1000)::bigint, 0) as ends_ms, max_per_user, hold_seconds, rate_requests, rate_seconds,
       max_released, late_payment, durability, price,
       case when state = 'closed' then coalesce((extract(epoch from retired_at) * 1000)::bigint, 0) else 0 end as closed_ms,
       case when state = 'removed' then coalesce((extract(epoch from retired_at) * 1000)::bigint, 0) else 0 end as removed_ms
  from sales order by sale_id, epoch desc

-- name: requests
-- The request ids that each sale had noted at its last change. A rebuild's own announcements are no changes.
select distinct on (sale_id, epoch) sale_id, epoch, terms ->> 'requests' as requests
  from sale_changes where change in ('defined', 'released') and terms ? 'requests' order by sale_id, epoch, at desc

-- name: orphans
-- Orders without a sale of the same or a later epoch. The next key after each is looked up, so not all orders are read.
with recursive heads as (
    (select sale_id, epoch from orders order by sale_id, epoch limit 1)
    union all
    select following.sale_id, following.epoch from heads, lateral (
        select sale_id, epoch from orders o where (o.sale_id, o.epoch) > (heads.sale_id, heads.epoch)
         order by sale_id, epoch limit 1) following
)
select h.sale_id, h.epoch, (select count(*) from orders o where (o.sale_id, o.epoch) = (h.sale_id, h.epoch))
  from heads h where not exists (select 1 from sales s where s.sale_id = h.sale_id and s.epoch >= h.epoch)

-- name: units
select o.sale_id, count(*), coalesce(sum(o.quantity) filter (where o.state = 'reserved'), 0)::bigint,
       coalesce(sum(o.quantity) filter (where o.state = 'paid' or o.state = 'returned' and not coalesce(o.restocked, false)), 0)::bigint,
       count(*) filter (where o.reserved_at is null), coalesce(sum(o.quantity) filter (where o.state = 'returned'), 0)::bigint,
       coalesce(sum(o.quantity) filter (where o.restocked), 0)::bigint
  from unnest($1::text[], $2::bigint[]) as s (sale_id, epoch) join orders o on (o.sale_id, o.epoch) = (s.sale_id, s.epoch)
 group by o.sale_id

-- name: refunds
select r.sale_id, r.order_id, r.payment_id, r.reason
  from refunds r join unnest($1::text[], $2::bigint[]) as s (sale_id, epoch) on (r.sale_id, r.epoch) = (s.sale_id, s.epoch)
 order by r.created_at, r.refund_id

-- name: strays
select sale_id, order_id, payment_id, (extract(epoch from created_at) * 1000)::bigint
  from refunds where reason = 'unknown_order' and created_at > to_timestamp($1::bigint / 1000.0) order by created_at, refund_id

-- name: orders
-- Only an order that was paid can have been released before without showing it in its state.
select order_id, state, user_id, quantity, (extract(epoch from deadline) * 1000)::bigint,
       (extract(epoch from reserved_at) * 1000)::bigint, coalesce(payment_id, ''),
       state in ('paid', 'returned') and exists (select 1 from order_events e where (e.sale_id, e.epoch, e.order_id) = (o.sale_id, o.epoch, o.order_id)
                                     and e.state in ('expired', 'cancelled')), coalesce(restocked, false)
  from orders o where sale_id = $1 and epoch = $2

-- name: order_states
select order_id, state, user_id, quantity, 0::bigint from orders where sale_id = $1 and epoch = $2

-- name: named_orders
-- One index lookup for each: with `= any` and old statistics the planner reads the whole sale.
select o.order_id, o.state, o.user_id, o.quantity, (extract(epoch from o.deadline) * 1000)::bigint,
       (extract(epoch from o.reserved_at) * 1000)::bigint, coalesce(o.payment_id, ''),
       o.state in ('paid', 'returned') and exists (select 1 from order_events e where (e.sale_id, e.epoch, e.order_id) = (o.sale_id, o.epoch, o.order_id)
                                       and e.state in ('expired', 'cancelled')), coalesce(o.restocked, false)
  from unnest($3::text[]) as wanted (order_id), lateral (
       select * from orders where sale_id = $1 and epoch = $2 and order_id = wanted.order_id limit 1) o

-- name: orders_of_sales
-- `offset 0` keeps the planner from joining all orders at once: each sale is one index lookup.
select s.sale_id, o.* from unnest($1::text[], $2::bigint[]) as s (sale_id, epoch), lateral (
    select order_id, state, user_id, quantity, (extract(epoch from deadline) * 1000)::bigint,
           (extract(epoch from reserved_at) * 1000)::bigint, coalesce(payment_id, ''),
           state in ('paid', 'returned') and exists (select 1 from order_events e
                                       where (e.sale_id, e.epoch, e.order_id) = (i.sale_id, i.epoch, i.order_id)
                                         and e.state in ('expired', 'cancelled')), coalesce(restocked, false)
      from orders i where i.sale_id = s.sale_id and i.epoch = s.epoch offset 0) o
