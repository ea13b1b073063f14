-- The least rights of the ledger-api. `flashsale migrate` runs this as the owner, if the role exists.
grant usage on schema public to flashsale_ledger_api;
grant select on schema_migrations, installation, sales, orders, payments, refunds to flashsale_ledger_api;
