-- A payment for an unknown order is remembered by itself, because its order may be made later: an id depends only on its request.
-- These are the limits of a shard, whose field '#' counts them. Past them only the ledger prevents that a payment both buys and is refunded.
local STRAYS_MAX, STRAYS_MS = 100000, 7 * 24 * 3600 * 1000
