-- Who changed a sale: every definition, release, close and removal that somebody asked for (docs/decisions/0047). `terms` is what the message
-- says about the sale after the change. Changes of releases that did not say who asked are not here.
create table sale_changes (
    sale_id     text        not null,
    epoch       bigint      not null,
    at          timestamptz not null,
    change      text        not null check (change in ('defined', 'released', 'closed', 'removed')),
    changed_by  text        not null,
    terms       jsonb       not null,
    primary key (sale_id, epoch, at, change)
);

create trigger sale_changes_append_only before update or delete on sale_changes
    for each statement execute function refuse_change();
