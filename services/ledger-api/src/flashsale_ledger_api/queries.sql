-- name: list_refunds
-- The oldest first, from the one after ($4, $5). Empty arrays do not filter.
select r.refund_id, r.payment_id, r.sale_id, r.order_id, r.reason, r.amount_minor, r.refunded_minor, r.currency, r.state, r.created_at,
       r.changed_at, o.user_id
  from refunds r left join orders o using (sale_id, epoch, order_id)
 where (cardinality($1::text[]) = 0 or r.state = any($1)) and (cardinality($2::text[]) = 0 or r.sale_id = any($2))
   and (cardinality($3::text[]) = 0 or r.reason = any($3)) and (r.created_at, r.refund_id) > ($4::timestamptz, $5::bigint)
 order by r.created_at, r.refund_id limit $6;

-- name: lock_refund
-- Locked, so that of two requests the second one decides by what the first one has done.
select refund_id, payment_id, sale_id, epoch, order_id, state, amount_minor, refunded_minor from refunds where refund_id = $1 for update;

-- name: show_refund
select r.refund_id, r.payment_id, r.sale_id, r.order_id, r.reason, r.amount_minor, r.refunded_minor, r.currency, r.state, r.created_at,
       r.changed_at, o.user_id, e.changed_by as returned_by
  from refunds r left join orders o using (sale_id, epoch, order_id)
  left join order_events e on r.reason = 'returned' and e.state = 'returned'
                          and (e.sale_id, e.epoch, e.order_id) = (r.sale_id, r.epoch, r.order_id)
 where r.refund_id = $1;

-- name: history
select e.at, e.source, e.who, e.from_state, e.to_state, e.refunded_minor, e.reference, e.reason
  from refund_events e join refunds r using (payment_id, sale_id, order_id)
 where r.refund_id = $1 order by e.event_id;

-- name: change_refund
-- A refund that is opened again counts no money that was paid before: neither what was reported, nor what people noted and a report may name later.
with changed as (
    update refunds set state = $2, refunded_minor = $3, changed_at = now(),
        void_minor = case when $5 = 'sent' and $2 <> 'sent' then reported_minor else void_minor end
     where refund_id = $1
    returning payment_id, sale_id, epoch, order_id
)
insert into refund_events (payment_id, sale_id, epoch, order_id, source, who, from_state, to_state, refunded_minor, reference, reason,
                           unreported)
select payment_id, sale_id, epoch, order_id, 'admin', $4, $5, $2, $3, $6, $7,
       case when $5 = 'sent' and $2 <> 'sent' then array(
           select distinct e.reference from refund_events e
            where (e.payment_id, e.sale_id, e.order_id) = (changed.payment_id, changed.sale_id, changed.order_id)
              and e.source = 'admin' and e.to_state = 'sent'
              and not exists (select from refund_reports b where (b.payment_id, b.sale_id, b.order_id, b.reference)
                                                          = (e.payment_id, e.sale_id, e.order_id, e.reference))
       ) else '{}' end
  from changed;

-- name: show_payment
select p.payment_id, p.sale_id, p.order_id, p.result, p.reason, p.amount_minor, p.currency, p.at, r.refund_id, r.reason as refund_reason
  from payments p left join refunds r using (payment_id, sale_id, order_id)
 where (p.payment_id, p.sale_id, p.order_id) = ($1, $2, $3);

-- name: list_reported
-- Paid orders that the provider reported as paid back, the oldest report first, from the one after ($2, $3, $4). An empty array does not filter.
select payment_id, sale_id, order_id, user_id, amount_minor, currency, reported_minor, reported_currency, reference, reported_at
  from reported_refunds
 where (cardinality($1::text[]) = 0 or sale_id = any($1)) and (reported_at, sale_id, order_id) > ($2::timestamptz, $3::text, $4::text)
 order by reported_at, sale_id, order_id limit $5;

-- name: leave_paid
-- Two people who leave one order at once both leave it, and both are in the history. With $5, only if that is what was reported by now: a sum
-- that nobody has seen would never be listed again.
insert into refund_events (payment_id, sale_id, epoch, order_id, source, who, from_state, to_state, refunded_minor, reference, reason)
select payment_id, sale_id, epoch, order_id, 'admin', $3, 'reported', 'left', reported_minor, reference, $4
  from reported_refunds where sale_id = $1 and order_id = $2 and ($5::bigint is null or reported_minor = $5);

-- name: reported_sum
select reported_minor from reported_refunds where sale_id = $1 and order_id = $2 limit 1;

-- name: left_paid
-- The payment leads to it by the index; an order of this name is paid by one payment, or by one in each epoch.
select e.payment_id, e.sale_id, e.order_id, e.at, e.who, e.refunded_minor, e.reference, e.reason
  from sales s join orders o on (o.sale_id, o.epoch, o.order_id) = (s.sale_id, s.epoch, $2)
  join refund_events e on (e.payment_id, e.sale_id, e.order_id) = (o.payment_id, o.sale_id, o.order_id) and e.to_state = 'left'
 where s.sale_id = $1 and o.state = 'paid' order by e.event_id desc limit 1;

-- name: is_known_cursor
-- The event itself must be there. A database that was restored may reach the transaction of the cursor again, with other events before it;
-- and an event that was deleted for its age may have had others after it, which are deleted too.
select $1::text::xid8 < pg_snapshot_xmax(pg_current_snapshot())
   and exists (select from shop_events where (txid, seq) = ($1::text::xid8, $2::bigint) and ($3 = '' or event_id = $3));

-- name: newest_event
-- The end of the feed, whatever the type. Everything up to it is committed, so a listing that begins later has it.
select event_id, txid::text as txid, seq from shop_events
 where txid < pg_snapshot_xmin(pg_current_snapshot())
 order by shop_events.txid desc, shop_events.seq desc limit 1;

-- name: list_events
-- Only transactions below the oldest one that still runs: an event that commits later then always has a higher position.
select event_id, body, created_at, txid::text as txid, seq from shop_events
 where (txid, seq) > ($1::text::xid8, $2::bigint) and txid < pg_snapshot_xmin(pg_current_snapshot())
   and (cardinality($3::text[]) = 0 or type = any($3))
 -- With the table's name: `txid` alone is the text of the answer, and 1000 would come before 999.
 order by shop_events.txid, shop_events.seq limit $4;

-- name: lock_order
-- The latest sale of the name. Locked, so that of two requests the second one finds the order returned.
select o.epoch, o.state, s.state as sale_state, p.result
  from sales s join orders o on (o.sale_id, o.epoch, o.order_id) = (s.sale_id, s.epoch, $2)
  left join payments p on (p.payment_id, p.sale_id, p.order_id) = (o.payment_id, o.sale_id, o.order_id)
 where s.sale_id = $1 order by s.epoch desc limit 1 for update of o;

-- name: return_order
-- The same rows as for a return at the gateway (docs/decisions/0048), with the author in the refund's history.
with returned as (
    update orders set state = 'returned', restocked = false, updated_at = now()
     where (sale_id, epoch, order_id) = ($1, $2, $3) and state = 'paid'
    returning payment_id
), noted as (
    insert into order_events (sale_id, epoch, order_id, state, at, message_id, changed_by)
    select $1, $2, $3, 'returned', now(), '', $4 from returned
), due as (
    insert into refunds (payment_id, sale_id, epoch, order_id, reason, amount_minor, currency, created_at)
    select p.payment_id, p.sale_id, p.epoch, p.order_id, 'returned', p.amount_minor, p.currency, now()
      from returned join payments p on (p.payment_id, p.sale_id, p.order_id) = (returned.payment_id, $1, $3)
    -- A repeat of the payment that came before it, after the removal, has a refund that may have been sent by now.
    on conflict (payment_id, sale_id, order_id) do update set state = refunds.state
    returning payment_id, state, refunded_minor
)
insert into refund_events (payment_id, sale_id, epoch, order_id, source, who, from_state, to_state, refunded_minor, reference, reason)
select payment_id, $1, $2, $3, 'admin', $4, state, state, refunded_minor, '', $5 from due;

-- name: refund_of_order
select r.refund_id from orders o join refunds r on (r.payment_id, r.sale_id, r.order_id) = (o.payment_id, o.sale_id, o.order_id)
 where (o.sale_id, o.epoch, o.order_id) = ($1, $2, $3);
