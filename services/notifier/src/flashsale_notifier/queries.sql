-- Every statement is a transaction of its own, and short: a transaction that runs delays the feed of events.

-- name: write_events
-- Events that are there already keep their body and get no further deliveries. Returns the endpoints that got some.
with wanting as materialized (
    -- Locked, so that none of them is removed before its delivery is written.
    select endpoint, types from webhook_endpoints where state = 'enabled' order by endpoint for key share
), added as (
    insert into shop_events (event_id, type, sale_id, at, body)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[])
    on conflict do nothing
    returning event_id, type
), due as (
    insert into webhook_deliveries (event_id, endpoint)
    select added.event_id, e.endpoint from added join wanting e on added.type = any(e.types)
    returning endpoint
)
select distinct endpoint from due

-- name: list_endpoints
select endpoint, url, source, secret, case when previous_until > now() then previous_secret end as previous_secret
  from webhook_endpoints where state = 'enabled' order by endpoint

-- name: write_settings_endpoints
-- What the settings name. A changed URL starts an endpoint that was disabled again.
insert into webhook_endpoints as e (endpoint, url, types, source)
select name, url, string_to_array(types, ','), 'settings' from unnest($1::text[], $2::text[], $3::text[]) as named (name, url, types)
on conflict (endpoint) do update set
    url = excluded.url, types = excluded.types, source = 'settings', secret = null, previous_secret = null, previous_until = null,
    state = case when e.url <> excluded.url or e.reason = 'removed from the settings' then 'enabled' else e.state end,
    reason = case when e.url <> excluded.url or e.reason = 'removed from the settings' then '' else e.reason end,
    failing_since = case when e.url <> excluded.url then null else e.failing_since end
where (e.url, e.types, e.source) is distinct from (excluded.url, excluded.types, 'settings') or e.reason = 'removed from the settings'

-- name: disable_other_settings_endpoints
update webhook_endpoints set state = 'disabled', reason = 'removed from the settings'
 where source = 'settings' and state = 'enabled' and endpoint <> all ($1::text[])

-- name: take
-- A delivery that is taken is due again when its attempt must be over: if this notifier dies, another one repeats it.
-- `tries` rises here and not with the answer, because `record` finds by it whether the delivery is still this attempt's.
-- A crash so costs a place in the schedule. Only an answer that refuses can give a delivery up (docs/decisions/0051).
with due as (
    select event_id, endpoint from webhook_deliveries
     where endpoint = $1 and state = 'due' and due_at <= now()
       and exists (select from webhook_endpoints e where e.endpoint = $1 and e.state = 'enabled')
     order by due_at limit $2 for update skip locked
), taken as (
    update webhook_deliveries d set tries = tries + 1, due_at = now() + $3::interval
      from due where (d.event_id, d.endpoint) = (due.event_id, due.endpoint)
    returning d.event_id, d.tries, d.created_at
)
select event_id, tries, body, taken.created_at from taken join shop_events using (event_id) order by txid, seq

-- name: record
-- The results of attempts. A delivery that somebody replays or takes meanwhile is left alone; an attempt is noted in any case, and once.
with results as (
    select * from unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::float8[], $6::int[], $7::int[], $8::text[], $9::uuid[])
        as r (event_id, endpoint, tries, state, delay_seconds, status, duration_ms, answer, attempt_key)
), moved as (
    update webhook_deliveries d set state = r.state, due_at = now() + r.delay_seconds * interval '1 second'
      from results r where (d.event_id, d.endpoint, d.tries, d.state) = (r.event_id, r.endpoint, r.tries, 'due')
)
insert into webhook_attempts (endpoint, event_id, status, duration_ms, answer, attempt_key)
select endpoint, event_id, status, duration_ms, answer, attempt_key from results on conflict (attempt_key) do nothing

-- name: note_success
update webhook_endpoints set failing_since = null where endpoint = any($1::text[]) and failing_since is not null

-- name: note_failure
-- Returns the endpoints that fail for so long that they are disabled now.
with failing as (
    update webhook_endpoints set
        failing_since = coalesce(failing_since, now()),
        state = case when now() - failing_since > $2::interval then 'disabled' else state end,
        reason = case when now() - failing_since > $2::interval then 'every attempt failed for ' || $2::interval else reason end
     where endpoint = any($1::text[]) and state = 'enabled' and (failing_since is null or now() - failing_since > $2::interval)
    returning endpoint, state
)
select endpoint from failing where state = 'disabled'

-- name: end_past_failures
-- Without something due, nothing shows that an endpoint still fails: later failures must not count from the earlier ones on.
update webhook_endpoints e set failing_since = null
 where failing_since < now() - $1::interval and state = 'enabled'
   and not exists (select from webhook_deliveries d where d.endpoint = e.endpoint and d.state = 'due')
   and coalesce(
       (select a.at from webhook_attempts a where a.endpoint = e.endpoint order by a.attempt_id desc limit 1) < now() - $1::interval, true
   )

-- name: disable_gone
update webhook_endpoints set state = 'disabled', reason = 'it answered 410 Gone' where endpoint = $1 and state = 'enabled' returning endpoint

-- name: oldest_event
select min(created_at) as created_at from shop_events

-- name: ended_sales
select sale_id, epoch, ends_at, total from sales
 where (ends_at, sale_id, epoch) > ($1::timestamptz, $2::text, $3::bigint) and ends_at <= $4 and state in ('open', 'paused')
 order by ends_at, sale_id, epoch limit $5

-- name: late_returns
-- No message brought these transitions: the ledger-api wrote them (docs/decisions/0067).
select e.sale_id, e.epoch, e.order_id, e.at, o.user_id, o.quantity, o.deadline, o.payment_id, coalesce(o.restocked, false) as is_restocked
  from order_events e join orders o using (sale_id, epoch, order_id)
 where e.state = 'returned' and e.message_id = '' and (e.at, e.sale_id, e.epoch, e.order_id) > ($1::timestamptz, $2::text, $3::bigint, $4::text)
   and e.at <= $5
 order by e.at, e.sale_id, e.epoch, e.order_id limit $6

-- name: stray_refunds
-- There is no refund of a payment that paid its order before the sale was removed (docs/decisions/0072).
select sale_id, epoch, order_id, payment_id, reason, amount_minor, currency, created_at, written_at
  from refunds
 where reason = 'unknown_order' and written_at <= $5
   and (written_at, sale_id, epoch, order_id || ' ' || payment_id) > ($1::timestamptz, $2::text, $3::bigint, $4::text)
 order by written_at, sale_id, epoch, order_id || ' ' || payment_id limit $6;

-- name: prune_attempts
delete from webhook_attempts where attempt_id in (select attempt_id from webhook_attempts where at < now() - $1::interval order by at limit $2)

-- name: prune_excess_attempts
-- The oldest attempts beyond the newest $1. Their ids rise, and a gap only means that a few less are kept.
delete from webhook_attempts where attempt_id in (
    select attempt_id from webhook_attempts where attempt_id <= (select max(attempt_id) from webhook_attempts) - $1::bigint
     order by attempt_id limit $2
) returning 1

-- name: prune_events
-- The last of the old events stays: it is the cursor of readers who were up to date when the next one came.
-- An event that the feed does not show yet is no cursor: see events_of_other_cluster.
with old as materialized (
    select event_id, txid, seq from shop_events
     where created_at < now() - $1::interval and txid < pg_snapshot_xmin(pg_current_snapshot()) order by created_at limit $2
)
delete from shop_events where event_id in (select event_id from old order by txid desc, seq desc offset 1)

-- name: backlog
select e.endpoint, e.state, e.reason, count(d.endpoint) as due, coalesce(extract(epoch from now() - min(d.created_at)), 0)::float8 as oldest_seconds
  from webhook_endpoints e left join webhook_deliveries d on d.endpoint = e.endpoint and d.state = 'due'
 group by e.endpoint, e.state, e.reason

-- name: events_of_other_cluster
-- A dump that was restored into a new cluster has transaction ids of the old one, and the feed shows no event of a transaction to come.
-- They get the present one: a reader that has begun again meanwhile is past every earlier position.
with restored as (
    select event_id from shop_events where txid >= pg_snapshot_xmax(pg_current_snapshot()) order by txid, seq limit $1
)
update shop_events set txid = pg_current_xact_id() from restored where shop_events.event_id = restored.event_id returning 1
