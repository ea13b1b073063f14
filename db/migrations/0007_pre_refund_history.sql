-- Refunds are work that somebody does: docs/decisions/0050 gives the reasons.

alter table refunds
    -- What the buyer has been paid back in all.
    add column refunded_minor bigint not null default 0 check (refunded_minor >= 0),
    -- The sum of the provider's reports that refunded_minor contains.
    add column reported_minor bigint not null default 0 check (reported_minor >= 0),
    -- Null until its first change.
    add column changed_at timestamptz;

create index refunds_by_age on refunds (state, created_at, refund_id);
drop index refunds_due;

-- Every change of a refund. The key is that of the refund's payment, because the row of a refund may be replaced while it is due.
create table refund_events (
    event_id        bigint       generated always as identity primary key,
    payment_id      text         not null,
    sale_id         text         not null,
    epoch           bigint       not null,
    order_id        text         not null,
    at              timestamptz  not null default now(),
    source          text         not null check (source in ('admin', 'provider')),
    -- The name of the admin key; empty for the provider.
    who             text         not null,
    from_state      text         not null,
    to_state        text         not null,
    refunded_minor  bigint       not null,
    reference       text         not null,
    reason          text         not null
);

create index refund_events_by_payment on refund_events (payment_id, sale_id, order_id);

create trigger refund_events_append_only before update or delete on refund_events
    for each statement execute function refuse_change();

-- What the provider reported to have paid back, whether or not a refund is due: its report may arrive before the payment that it is about.
create table refund_reports (
    payment_id    text         not null,
    sale_id       text         not null,
    order_id      text         not null,
    -- The provider's own id of the refund.
    reference     text         not null,
    amount_minor  bigint       not null check (amount_minor > 0),
    currency      text         not null,
    at            timestamptz  not null,
    primary key (payment_id, sale_id, order_id, reference)
);

create trigger refund_reports_append_only before update or delete on refund_reports
    for each statement execute function refuse_change();
