-- What a lost Redis is rebuilt from besides the orders: which outbox entries the ledger has received, and which history each shard is in.
-- docs/decisions/0029 gives the reasons.

-- One row: whose ledger this is. `flashsale migrate --initialise` writes it, and refuses another name or count later.
create table installation (
    one         boolean     primary key default true check (one),
    ledger_id   uuid        not null default gen_random_uuid(),
    name        text        not null,
    shards      int         not null check (shards > 0),
    created_at  timestamptz not null default now()
);

-- Every incarnation of every shard: one history of its Redis. Only the keeper writes here.
create table shards (
    shard         int         not null,
    incarnation   bigint      not null,
    first_seq     bigint      not null,
    state         text        not null,
    replid        text,
    fenced_at     timestamptz,
    opened_at     timestamptz,
    lost_entries  bigint,
    -- Null while the incarnation may still write. Then: entries up to it are in Redis, and one behind it that arrives now is too late.
    kept_seq      bigint,
    primary key (shard, incarnation)
);

-- The outbox entries in the ledger, as ranges of positions. A row is added in the transaction that writes what the entries contain, or after
-- it. There is no unique key: a redelivered batch adds its ranges again, and two workers never wait for each other.
create table received_entries (
    shard        int         not null,
    incarnation  bigint      not null,
    from_seq     bigint      not null,
    to_seq       bigint      not null check (to_seq >= from_seq),
    at           timestamptz not null default now()
);

create index received_entries_by_position on received_entries (shard, incarnation, to_seq);

create trigger received_entries_append_only before update or delete on received_entries
    for each statement execute function refuse_change();

-- The keeper's markers that have passed through the queue `orders`.
create table markers (
    marker  text         primary key,
    at      timestamptz  not null
);

-- The terms that a rebuilt sale needs, with the defaults for messages of older releases.
alter table sales
    add column max_released bigint not null default 20,
    add column base         bigint not null default 0,
    add column durability   text   not null default 'fsync' check (durability in ('fsync', 'confirmed'));
