-- Each statement writes the rows of a batch, given as one array per column. A repeat changes nothing, except that it adds its ranges again.

-- name: write_sales
insert into sales as s (sale_id, epoch, owner, generation, state, total, starts_at, ends_at, max_per_user, hold_seconds, rate_requests,
                        rate_seconds, late_payment, defined_at, max_released, base, durability, price)
select * from unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::timestamptz[], $8::timestamptz[],
                     $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[], $14::timestamptz[], $15::bigint[],
                     $16::bigint[], $17::text[], $18::text[])
on conflict (sale_id, epoch) do update set
    owner = excluded.owner, generation = excluded.generation, total = excluded.total, starts_at = excluded.starts_at,
    ends_at = excluded.ends_at, max_per_user = excluded.max_per_user, hold_seconds = excluded.hold_seconds,
    rate_requests = excluded.rate_requests, rate_seconds = excluded.rate_seconds, late_payment = excluded.late_payment,
    defined_at = excluded.defined_at, max_released = excluded.max_released, base = excluded.base, durability = excluded.durability,
    price = excluded.price,
    -- A retired sale stays retired, even if that message arrived first.
    state = case when s.retired_at is null then excluded.state else s.state end
-- The later definition of one generation wins: an owner may change fields that it had left out before.
where (excluded.generation, excluded.defined_at) > (s.generation, s.defined_at);

-- name: write_retired
-- A sale that is retired before its definition arrives gets generation 0, which every definition supersedes.
insert into sales as s (sale_id, epoch, state, total, final_available, final_reserved, final_sold, retired_at, owner, generation,
                        max_per_user, hold_seconds, rate_requests, rate_seconds, late_payment, defined_at)
select r.sale_id, r.epoch, r.state, r.total, r.available, r.reserved, r.sold, r.at, '', 0, 0, 0, 0, 1, 'refund', r.at
from unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::timestamptz[])
     as r (sale_id, epoch, state, total, available, reserved, sold, at)
on conflict (sale_id, epoch) do update set
    state = excluded.state, retired_at = excluded.retired_at, final_available = excluded.final_available,
    final_reserved = excluded.final_reserved, final_sold = excluded.final_sold
where s.state <> 'removed';

-- name: write_changes
insert into sale_changes (sale_id, epoch, at, change, changed_by, terms)
select * from unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::jsonb[])
on conflict (sale_id, epoch, at, change) do nothing;

-- name: write_new
-- For a batch with only `reserved` orders, which is the usual case: one statement writes both rows of each order. What the orders of a message
-- share is passed once, and existing rows are not searched. If an order exists already, the statement fails, and the batch is written by the
-- statements below.
with heads as (
    -- Whole seconds plus the rest, because both are exact: one double is some microseconds off in a far year.
    select sale_id, epoch, to_timestamp(deadline_ms / 1000) + deadline_ms % 1000 * interval '1 ms' as deadline,
           to_timestamp(at_ms / 1000) + at_ms % 1000 * interval '1 ms' as at, message_id, number
      from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[]) with ordinality
        as head (sale_id, epoch, deadline_ms, at_ms, message_id, number)
), lines as materialized (
    select * from unnest($6::bigint[], $7::text[], $8::text[], $9::bigint[]) with ordinality
        as line (number, order_id, user_id, quantity, place)
      join heads using (number) order by place
), written as (
    insert into orders (sale_id, epoch, order_id, state, user_id, quantity, deadline, reserved_at, updated_at)
    select sale_id, epoch, order_id, 'reserved', user_id, quantity, deadline, at, at from lines returning 1
)
insert into order_events (sale_id, epoch, order_id, state, at, message_id)
select sale_id, epoch, order_id, 'reserved', at, message_id from lines
-- All rows of one table before the other, as in the statements below: otherwise two workers could deadlock.
where (select count(*) from written) > 0;

-- name: write_orders
-- The same merge as plan.merged: the highest state wins, and a late `reserved` adds the fields that only it contains.
insert into orders as o (sale_id, epoch, order_id, state, user_id, quantity, deadline, reserved_at, payment_id, updated_at, restocked)
select * from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[], $8::timestamptz[],
                     $9::text[], $10::timestamptz[], $11::boolean[])
on conflict (sale_id, epoch, order_id) do update set
    state = case when order_rank(excluded.state) > order_rank(o.state) then excluded.state else o.state end,
    deadline = greatest(o.deadline, excluded.deadline),
    reserved_at = coalesce(o.reserved_at, excluded.reserved_at),
    payment_id = coalesce(o.payment_id, excluded.payment_id),
    restocked = coalesce(o.restocked, excluded.restocked),
    updated_at = greatest(o.updated_at, excluded.updated_at)
-- Rows that would not change are not written: a redelivered batch costs only reads.
where order_rank(excluded.state) > order_rank(o.state) or (o.reserved_at is null and excluded.reserved_at is not null);

-- name: write_events
insert into order_events (sale_id, epoch, order_id, state, at, message_id, changed_by)
select * from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::text[])
on conflict do nothing;

-- name: write_payments
insert into payments as p (payment_id, sale_id, order_id, epoch, status, result, reason, amount_minor, currency, at)
select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::text[],
                     $10::timestamptz[])
on conflict (payment_id, sale_id, order_id) do update set
    epoch = excluded.epoch, status = excluded.status, result = excluded.result, reason = excluded.reason,
    amount_minor = excluded.amount_minor, currency = excluded.currency, at = excluded.at
-- The same rule as PaymentRow.weight in plan.py: a payment may fail and then succeed under one id, never the reverse; otherwise the earlier
-- row is kept. A rebuild did not know the amount of what it restored.
where (excluded.result <> 'failed', excluded.result = 'paid', excluded.reason <> 'restored', p.at)
    > (p.result <> 'failed', p.result = 'paid', p.reason <> 'restored', excluded.at);

-- name: lock_refunds
-- The statements below reach these rows in orders of their own, so all of them are locked in one order first: otherwise two workers with
-- each other's reports could deadlock, or one with the statement that settles all open refunds.
select from refunds where payment_id = any($1) order by payment_id, sale_id, order_id for update;

-- name: write_refunds
-- Not for a payment that paid its order: a repeat of its webhook after the sale was removed reports an unknown order.
insert into refunds as r (payment_id, sale_id, order_id, epoch, reason, amount_minor, currency, created_at)
select n.* from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::text[], $8::timestamptz[])
    as n (payment_id, sale_id, order_id, epoch, reason, amount_minor, currency, at)
where not exists (select 1 from payments p where (p.payment_id, p.sale_id, p.order_id) = (n.payment_id, n.sale_id, n.order_id)
                     and p.result = 'paid')
-- A rebuild knew no amount, and the message of the payment itself was still on its way: that gives the refund its amount, also if another
-- worker is adding the rebuild's row at this moment.
on conflict (payment_id, sale_id, order_id) do update set
    epoch = excluded.epoch, reason = excluded.reason, amount_minor = excluded.amount_minor, currency = excluded.currency,
    created_at = excluded.created_at
where r.reason = 'restored' and excluded.reason <> 'restored';

-- name: void_refunds
-- The same rule when the repeated webhook arrived first: its refund is deleted if it has not been started.
delete from refunds r using unnest($1::text[], $2::text[], $3::text[]) as paid (payment_id, sale_id, order_id)
where (r.payment_id, r.sale_id, r.order_id) = (paid.payment_id, paid.sale_id, paid.order_id)
  and r.state = 'due' and r.reason = 'unknown_order';

-- name: amend_returned_refunds
-- A rebuild knew no amount of the payment: the return's refund gets it with the payment's own message.
update refunds r set amount_minor = p.amount_minor, currency = p.currency
from unnest($1::text[], $2::bigint[], $3::text[]) as k (sale_id, epoch, order_id), orders o, payments p
where (o.sale_id, o.epoch, o.order_id) = (k.sale_id, k.epoch, k.order_id) and o.state = 'returned'
  and (p.payment_id, p.sale_id, p.order_id) = (o.payment_id, o.sale_id, o.order_id) and p.reason <> 'restored'
  and (r.payment_id, r.sale_id, r.order_id) = (p.payment_id, p.sale_id, p.order_id) and r.reason = 'returned' and r.currency = '';

-- name: write_returned_refunds
-- For each order of the batch that is returned or paid: whichever of the two messages arrives last finds the other's row. The row of the order
-- is locked by then, so two workers with one message each do not miss each other.
insert into refunds (payment_id, sale_id, order_id, epoch, reason, amount_minor, currency, created_at)
select p.payment_id, p.sale_id, p.order_id, p.epoch, 'returned', p.amount_minor, p.currency, e.at
from unnest($1::text[], $2::bigint[], $3::text[]) as k (sale_id, epoch, order_id)
join orders o on (o.sale_id, o.epoch, o.order_id) = (k.sale_id, k.epoch, k.order_id) and o.state = 'returned'
join payments p on (p.payment_id, p.sale_id, p.order_id) = (o.payment_id, o.sale_id, o.order_id) and p.result = 'paid'
join order_events e on (e.sale_id, e.epoch, e.order_id) = (o.sale_id, o.epoch, o.order_id) and e.state = 'returned'
on conflict (payment_id, sale_id, order_id) do nothing;

-- name: write_reports
-- Whether or not a refund is due: the report may arrive before the payment, and a shop may pay back what no refund asks for.
insert into refund_reports (payment_id, sale_id, order_id, reference, amount_minor, currency, at)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::timestamptz[])
on conflict do nothing;

-- name: apply_reports
-- Counts the provider's reports on the refunds of these payments, or of all open refunds if the array is null: two transactions that add a
-- report and its refund at once do not see each other's row. A part leaves the refund open, and the whole amount makes it `sent`.
with locked as materialized (
    select refund_id, payment_id, sale_id, order_id, state, amount_minor, refunded_minor, reported_minor, void_minor, currency from refunds
     where case when $1::text[] is null then state in ('due', 'failed') else payment_id = any($1) end
       and exists (select from refund_reports b where (b.payment_id, b.sale_id, b.order_id)
                        = (refunds.payment_id, refunds.sale_id, refunds.order_id))
     order by payment_id, sale_id, order_id for update
), reported as (
    -- The last report names the event. A refund that a rebuild restored has no currency yet.
    select l.*, sum(b.amount_minor)::bigint as total, (array_agg(b.reference order by b.at desc, b.reference desc))[1] as reference
      from locked l join refund_reports b using (payment_id, sale_id, order_id)
     -- What people noted as sent before the refund was opened again came back, although its report arrives only now.
     where l.currency in (b.currency, '')
       and not exists (select from refund_events e where (e.payment_id, e.sale_id, e.order_id) = (l.payment_id, l.sale_id, l.order_id)
                                                     and b.reference = any(e.unreported))
     group by l.refund_id, l.payment_id, l.sale_id, l.order_id, l.state, l.amount_minor, l.refunded_minor, l.reported_minor, l.void_minor,
              l.currency
), decided as (
    -- Somebody who settled the refund by hand may have counted what the provider reports only now.
    select *, case when state = 'sent' then greatest(refunded_minor, total - void_minor)
                   else refunded_minor + total - reported_minor end as refunded
      from reported
), changed as (
    update refunds r set refunded_minor = d.refunded, reported_minor = d.total, changed_at = now(),
        state = case when d.amount_minor > 0 and d.refunded >= d.amount_minor then 'sent' else d.state end
    from decided d
    where r.refund_id = d.refund_id
      and (d.total > d.reported_minor or (d.state <> 'sent' and d.amount_minor > 0 and d.refunded >= d.amount_minor))
    returning r.payment_id, r.sale_id, r.epoch, r.order_id, d.state as from_state, r.state as to_state, r.refunded_minor, d.reference
)
insert into refund_events (payment_id, sale_id, epoch, order_id, source, who, from_state, to_state, refunded_minor, reference, reason)
select payment_id, sale_id, epoch, order_id, 'provider', '', from_state, to_state, refunded_minor, reference, '' from changed;

-- name: write_received
-- Without a key: a redelivered batch adds its ranges again, and workers never wait for each other here.
insert into received_entries (shard, incarnation, from_seq, to_seq)
select * from unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[]);

-- name: write_markers
insert into markers (marker, at, consumer) select * from unnest($1::text[], $2::timestamptz[], $3::text[]) on conflict do nothing;
