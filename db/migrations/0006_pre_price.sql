-- The price of one unit, such as `1999 EUR`; empty for a sale without a price, as for definitions of older releases (docs/decisions/0048).
alter table sales add column price text not null default '';
