-- Paid orders whose payment the provider reported as paid back, in part or whole, although no refund is due: a person returns the order, or
-- leaves it as paid (docs/decisions/0050). Who leaves it adds a row to `refund_events`, from `reported` to `left`, with what was reported by
-- then, so a later report brings the order back here. A view, so that its readers need no rights on payments.
create view reported_refunds as
select p.payment_id, p.sale_id, p.epoch, p.order_id, o.user_id, p.amount_minor, p.currency,
       b.reported_minor, b.reported_currency, b.reference, b.reported_at
  from (
    -- Most reports belong to a refund, so these leave before the others are joined. The last report counts as the time: an order that was
    -- left as paid is as old as what was reported since.
    select payment_id, sale_id, order_id, sum(amount_minor)::bigint as reported_minor, max(at) as reported_at,
           (array_agg(currency order by at desc, reference desc))[1] as reported_currency,
           (array_agg(reference order by at desc, reference desc))[1] as reference
      from refund_reports
     where not exists (select from refunds r where (r.payment_id, r.sale_id, r.order_id)
                                                 = (refund_reports.payment_id, refund_reports.sale_id, refund_reports.order_id))
     group by payment_id, sale_id, order_id
  ) as b
  join payments p on (p.payment_id, p.sale_id, p.order_id) = (b.payment_id, b.sale_id, b.order_id) and p.result = 'paid'
  join orders o on (o.sale_id, o.epoch, o.order_id) = (p.sale_id, p.epoch, p.order_id) and o.state = 'paid' and o.payment_id = p.payment_id
 where b.reported_minor > coalesce((
         select max(e.refunded_minor) from refund_events e
          where (e.payment_id, e.sale_id, e.order_id) = (b.payment_id, b.sale_id, b.order_id) and e.to_state = 'left'
       ), 0);
