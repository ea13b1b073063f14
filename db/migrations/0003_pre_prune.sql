-- Old sales leave the ledger whole (`flashsale ledger prune`), and order_events stays append-only for everybody else: a row may go only where
-- the table's owner says so in the same transaction. Nobody may change one.
create or replace function refuse_change() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' and coalesce(current_setting('flashsale.prune', true), '') = 'on'
       and pg_has_role(current_user, (select relowner from pg_class where oid = tg_relid), 'usage') then
        return null;
    end if;
    raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end
$$;
