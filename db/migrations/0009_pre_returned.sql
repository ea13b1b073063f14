-- A paid order can be returned (docs/decisions/0048). The rows of before fit the new constraints, so they are not read again.
alter table orders
    add column restocked boolean,
    drop constraint orders_state_check,
    add constraint orders_state_check check (state in ('reserved', 'paid', 'expired', 'cancelled', 'returned')) not valid;

alter table order_events
    drop constraint order_events_state_check,
    add constraint order_events_state_check check (state in ('reserved', 'paid', 'expired', 'cancelled', 'returned')) not valid;

create or replace function order_rank(state text) returns int language sql immutable parallel safe as $$
    select case state when 'reserved' then 0 when 'paid' then 2 when 'returned' then 3 else 1 end
$$;
