-- Who took a paid order back (docs/decisions/0048): the name of an admin key. Null for every other change, and if it is not known: an older
-- release or a rebuild wrote it.
alter table order_events add column changed_by text;
