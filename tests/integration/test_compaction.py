"""`flashsale ledger prune` merges old ranges of received entries: every position stays, and every hole."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta

import asyncpg
import pytest

from flashsale_audit.catch_up import History
from flashsale_audit.read_ledger import LedgerReader
from flashsale_cli import compaction
from flashsale_cli.compaction import Compacted, compact
from flashsale_core.positions import Range, merge
from tests.integration.ledger import Ledger, open_ledger

Row = tuple[int, int, int, int]
MONTH = timedelta(days=30)


@pytest.fixture
async def ledger(infra: Mapping[str, str]) -> AsyncIterator[Ledger]:
    async with open_ledger(infra["DATABASE_URL"]) as opened:
        yield opened


async def add(ledger: Ledger, rows: Sequence[Row], age_hours: float = 2) -> None:
    statement = "insert into received_entries values ($1, $2, $3, $4, now() - make_interval(secs => $5))"
    await ledger.connection.executemany(statement, [(*row, age_hours * 3600) for row in rows])


def scattered(seed: int, count: int) -> list[Row]:
    """Ranges of two shards and two incarnations that touch, overlap, repeat and leave holes."""
    chosen = random.Random(seed)
    starts = [(chosen.randrange(2), chosen.randrange(1, 3), chosen.randrange(1, 4 * count)) for _ in range(count)]
    return [(shard, incarnation, start, start + chosen.randrange(6)) for shard, incarnation, start in starts]


def expected(rows: Sequence[Row]) -> list[Row]:
    return [
        (shard, incarnation, *range_)
        for shard, incarnation in sorted({row[:2] for row in rows})
        for range_ in merge(Range(*row[2:]) for row in rows if row[:2] == (shard, incarnation))
    ]


async def test_audit_reads_as_few_ranges_as_possible_beyond_a_position(ledger: Ledger) -> None:
    rows = scattered(2, 300)
    await add(ledger, rows)
    above = {History(0, 1): 0, History(1, 2): 400, History(0, 2): 2000}
    read = await LedgerReader(ledger.connection).received(above)
    for history, seq in above.items():
        known = expected([row for row in rows if row[:2] == history and row[3] > seq])
        assert read.get(history, []) == [Range(first, last) for *_, first, last in known], history


@pytest.mark.parametrize("batch", [20_000, 7, 2])
async def test_old_ranges_that_touch_become_one_and_holes_stay(
    infra: Mapping[str, str], ledger: Ledger, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(compaction, "RANGES_BATCH", batch)
    rows = scattered(1, 300)
    await add(ledger, rows)
    # Sorted by their ends, a wide range may come after the ranges that it contains; with small batches a second run merges those.
    results = [await compact(infra["DATABASE_URL"], MONTH, dry_run=dry_run) for dry_run in (True, False, False, False)]
    assert await ledger.received() == expected(rows)
    assert (results[0], results[-1]) == (
        Compacted(len(rows), len(expected(rows)), 0),
        Compacted(len(expected(rows)), len(expected(rows)), 0),
    )


async def test_young_ranges_and_every_position_of_a_dry_run_stay(infra: Mapping[str, str], ledger: Ledger) -> None:
    old, young = [(0, 1, 1, 5), (0, 1, 6, 9)], [(0, 1, 10, 11), (0, 1, 12, 12)]
    await add(ledger, old)
    await add(ledger, young, age_hours=0.5)
    assert await compact(infra["DATABASE_URL"], MONTH, dry_run=True) == Compacted(2, 1, 0)
    assert await ledger.received() == [*old, *young]
    assert await compact(infra["DATABASE_URL"], MONTH, dry_run=False) == Compacted(2, 1, 0)
    assert await ledger.received() == [(0, 1, 1, 9), *young]


async def test_runs_at_the_same_time_and_new_rows_lose_no_position(infra: Mapping[str, str], ledger: Ledger) -> None:
    rows, later = scattered(2, 400), scattered(3, 200)
    await add(ledger, rows)

    async def insert() -> None:
        async with asyncio.timeout(60):
            connection = await asyncpg.connect(infra["DATABASE_URL"])
            try:
                for row in later:
                    await add(Ledger(connection), [row])
            finally:
                await connection.close()

    await asyncio.gather(*(compact(infra["DATABASE_URL"], MONTH, dry_run=False) for _ in range(4)), insert())
    await compact(infra["DATABASE_URL"], MONTH, dry_run=False)
    assert await ledger.received() == expected([*rows, *later])


async def test_old_markers_are_deleted(infra: Mapping[str, str], ledger: Ledger) -> None:
    old, new = sorted(str(uuid.uuid4()) for _ in range(2))
    insert = "insert into markers values ($1, now() - make_interval(days => 31)), ($2, now())"
    await ledger.connection.execute(insert, old, new)
    assert await compact(infra["DATABASE_URL"], MONTH, dry_run=True) == Compacted(0, 0, 1)
    assert await compact(infra["DATABASE_URL"], MONTH, dry_run=False) == Compacted(0, 0, 1)
    assert await ledger.markers() == [new]
