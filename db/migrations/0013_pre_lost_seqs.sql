-- Which entries of an incarnation were reported as lost when a later one was opened (docs/decisions/0061), so that none is reported twice.
-- A later opening counts what is in neither this column nor `received_entries`, of all incarnations.
alter table shards add column lost_seqs int8multirange not null default '{}';

-- Earlier releases noted only how many. Their recoveries counted all that the incarnation before lacked.
update shards set lost_seqs = int8multirange(int8range(e.first_seq, greatest(e.first_seq, e.next_first_seq - 1000000 + 1))) - coalesce(
    (select range_agg(int8range(from_seq, to_seq, '[]')) from received_entries r where (r.shard, r.incarnation) = (e.shard, e.incarnation)), '{}'
)
from (
    select shard, incarnation, first_seq, lead(first_seq) over following as next_first_seq, opened_at,
        (select lost_entries from shards n where n.shard = s.shard and n.incarnation > s.incarnation and n.opened_at is not null
         order by n.incarnation limit 1) as lost_entries
    from shards s window following as (partition by shard order by incarnation)
) e
where (shards.shard, shards.incarnation) = (e.shard, e.incarnation) and e.opened_at is not null and e.lost_entries > 0;
