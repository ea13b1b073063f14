-- The console looks up a buyer's orders among all of them (docs/decisions/0059). The index is written with each order, and not again
-- when its state changes. Until it is built, the order-worker's messages wait in their queue.
create index orders_by_user on orders (user_id);
