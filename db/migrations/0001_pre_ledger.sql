-- The ledger. Redis decides, this remembers: one row per order with its latest state, every transition as a row that is never changed.
-- `epoch` (when the sale was created, in ms) tells two sales of one name apart. Times are Redis', handed over in ms.

create table sales (
    sale_id        text        not null,
    epoch          bigint      not null,
    owner          text        not null,
    generation     bigint      not null,
    state          text        not null check (state in ('open', 'paused', 'closed', 'removed')),
    total          bigint      not null check (total >= 0),
    starts_at      timestamptz,
    ends_at        timestamptz,
    max_per_user   bigint      not null,
    hold_seconds   bigint      not null,
    rate_requests  bigint      not null,
    rate_seconds   bigint      not null,
    late_payment   text        not null check (late_payment in ('refund', 'reacquire')),
    defined_at     timestamptz not null,
    retired_at     timestamptz,
    primary key (sale_id, epoch)
);

create table orders (
    sale_id      text        not null,
    epoch        bigint      not null,
    order_id     text        not null,
    user_id      text        not null,
    quantity     bigint      not null check (quantity > 0),
    state        text        not null check (state in ('reserved', 'paid', 'expired', 'cancelled')),
    deadline     timestamptz not null,
    payment_id   text,
    updated_at   timestamptz not null,
    primary key (sale_id, epoch, order_id)
);

-- Every state is entered at most once per order (docs/decisions/0004), so the state itself is the key and a redelivered message changes nothing.
create table order_events (
    sale_id     text        not null,
    epoch       bigint      not null,
    order_id    text        not null,
    state       text        not null check (state in ('reserved', 'paid', 'expired', 'cancelled')),
    at          timestamptz not null,
    message_id  text        not null,
    primary key (sale_id, epoch, order_id, state)
);

-- The key is not the payment id alone: a provider that names two orders in one payment has taken money for both.
create table payments (
    payment_id    text        not null,
    sale_id       text        not null,
    epoch         bigint      not null,
    order_id      text        not null,
    status        text        not null check (status in ('succeeded', 'failed')),
    result        text        not null check (result in ('paid', 'refund_due', 'failed')),
    reason        text        not null,
    amount_minor  bigint      not null check (amount_minor >= 0),
    currency      text        not null,
    at            timestamptz not null,
    primary key (payment_id, sale_id, order_id)
);

-- Work for whoever moves the money back; a row is added once per payment and leaves state 'due' only when that is done.
create table refunds (
    refund_id     bigint      generated always as identity primary key,
    payment_id    text        not null,
    sale_id       text        not null,
    epoch         bigint      not null,
    order_id      text        not null,
    reason        text        not null,
    amount_minor  bigint      not null,
    currency      text        not null,
    state         text        not null default 'due' check (state in ('due', 'sent', 'failed')),
    created_at    timestamptz not null,
    unique (payment_id, sale_id, order_id)
);

-- For those who look for open refunds: few rows of many.
create index refunds_due on refunds (created_at) where state = 'due';

-- orders.RANK of flashsale_core; a test holds the two together.
create function order_rank(state text) returns int language sql immutable parallel safe as $$
    select case state when 'reserved' then 0 when 'paid' then 2 else 1 end
$$;

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end
$$;

create trigger order_events_append_only before update or delete on order_events
    for each statement execute function refuse_change();
