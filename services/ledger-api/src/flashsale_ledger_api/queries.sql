-- name: list_refunds
-- The oldest first, from the one after ($3, $4). Empty arrays do not filter.
select r.refund_id, r.payment_id, r.sale_id, r.order_id, r.reason, r.amount_minor, r.currency, r.state, r.created_at, o.user_id
  from refunds r left join orders o using (sale_id, epoch, order_id)
 where (cardinality($1::text[]) = 0 or r.state = any($1)) and (cardinality($2::text[]) = 0 or r.sale_id = any($2))
   and (r.created_at, r.refund_id) > ($3::timestamptz, $4::bigint)
 order by r.created_at, r.refund_id limit $5;
