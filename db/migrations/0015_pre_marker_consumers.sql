-- Which consumer of the queue `orders` read a marker (docs/decisions/0070): the keeper may need one of each. Empty for earlier releases.
alter table markers add column consumer text not null default '';
