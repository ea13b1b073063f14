-- The role `flashsale_retention` may prune as the owner may, so that a prune does not run as the owner. The right to delete alone is still not
-- enough, and both must say so in the same transaction. Nobody may change a row.
create or replace function refuse_change() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' and coalesce(current_setting('flashsale.prune', true), '') = 'on' and exists (
        select from pg_roles
         where (oid = (select relowner from pg_class where oid = tg_relid) or rolname = 'flashsale_retention')
           and pg_has_role(current_user, oid, 'usage')
    ) then
        return null;
    end if;
    raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end
$$;
