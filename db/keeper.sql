-- The least rights of the keeper, and of `flashsale recover`. `flashsale migrate` runs this as the owner, if the role exists.
-- The role reads everything that a lost Redis is rebuilt from, and writes which history each shard of Redis is in.
grant usage on schema public to flashsale_keeper;
grant select on schema_migrations, installation, sales, sale_changes, orders, order_events, payments, refunds, received_entries, markers to flashsale_keeper;
grant select, insert, update on shards to flashsale_keeper;
