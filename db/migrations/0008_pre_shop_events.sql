-- What shops receive (services/notifier): events, the endpoints that they are sent to, what is due, and every attempt.
-- docs/decisions/0051 gives the reasons. Events are copies for the outside: they are deleted after some weeks, and the ledger stays.

create table shop_events (
    event_id    text         primary key,
    type        text         not null,
    sale_id     text         not null,
    at          timestamptz  not null,
    body        text         not null,
    -- Readers page by these two, and only below the oldest transaction that still runs: an identity alone would let them pass by
    -- the rows of a transaction that commits late.
    txid        xid8         not null default pg_current_xact_id(),
    seq         bigint       not null generated always as identity,
    created_at  timestamptz  not null default now()
);

create index shop_events_by_position on shop_events (txid, seq);
create index shop_events_by_age on shop_events (created_at);

create table webhook_endpoints (
    endpoint         text         primary key check (endpoint ~ '^[a-z0-9-]{1,40}$'),
    url              text         not null,
    types            text[]       not null,
    source           text         not null check (source in ('settings', 'command')),
    -- Null for an endpoint of the settings, whose secrets are in the notifier's environment.
    secret           text,
    -- The secret before the last rotation: it signs as well until then.
    previous_secret  text,
    previous_until   timestamptz,
    state            text         not null default 'enabled' check (state in ('enabled', 'disabled')),
    reason           text         not null default '',
    failing_since    timestamptz,
    created_at       timestamptz  not null default now()
);

create table webhook_deliveries (
    event_id    text         not null references shop_events on delete cascade,
    endpoint    text         not null references webhook_endpoints on delete cascade,
    state       text         not null default 'due' check (state in ('due', 'sent', 'failed')),
    tries       int          not null default 0,
    -- While an attempt runs, this is when another notifier may take the delivery over.
    due_at      timestamptz  not null default now(),
    created_at  timestamptz  not null default now(),
    primary key (event_id, endpoint)
);

create index webhook_deliveries_due on webhook_deliveries (endpoint, due_at) where state = 'due';

create table webhook_attempts (
    attempt_id   bigint       primary key generated always as identity,
    endpoint     text         not null,
    event_id     text         not null,
    at           timestamptz  not null default now(),
    status       int,
    duration_ms  int          not null,
    -- The beginning of the answer, or why there was none.
    answer       text         not null
);

create index webhook_attempts_by_endpoint on webhook_attempts (endpoint, attempt_id);
create index webhook_attempts_by_age on webhook_attempts (at);
