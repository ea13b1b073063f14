-- A refund that was opened again counts no report of before (docs/decisions/0050).
alter table refunds
    -- The part of reported_minor that came back: it was reported before the refund was opened again.
    add column void_minor bigint not null default 0 check (void_minor >= 0);

-- When a refund is opened again: the provider's refunds that people had noted as sent before, and that the provider had not reported yet.
alter table refund_events add column unreported text[] not null default '{}';

-- An attempt is noted once, although its insert is repeated when the answer to its commit was lost. Null for an attempt of an older notifier.
alter table webhook_attempts add column attempt_key uuid unique;

-- The notifier looks for sales whose end has passed, every few seconds and a page at a time.
create index sales_by_end on sales (ends_at, sale_id, epoch) where ends_at is not null;
