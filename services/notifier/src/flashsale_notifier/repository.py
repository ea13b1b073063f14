"""Events, endpoints and deliveries in Postgres. Each method is one transaction, and raises Retryable when Postgres is away."""

from collections.abc import Iterable, Sequence, Set
from datetime import UTC, datetime, timedelta

from flashsale_core.entry_ranges import entry_ranges
from flashsale_core.messages import Position
from flashsale_core.shop_events import DISABLED_BY_PEOPLE
from flashsale_notifier.database import Database
from flashsale_notifier.rows import Attempt, Backlog, EndedSale, Endpoint, LateReturn, Place, StrayRefund, Taken
from flashsale_notifier.settings import NamedEndpoint
from flashsale_notifier.shop_messages import ShopEvent

_EPOCH = datetime.fromtimestamp(0, UTC)


class Repository:
    def __init__(self, database: Database, named: Sequence[NamedEndpoint] = ()) -> None:
        """`named`: the endpoints of the settings, whose secrets are in no table."""
        self._database = database
        self._named = {endpoint.name: endpoint for endpoint in named}

    async def late_positions(self, positions: Set[Position]) -> frozenset[Position]:
        """Those of entries that arrive after recovery has closed their incarnation, and that the ledger does not have."""
        return await self._database.late_positions(list(entry_ranges(positions)))

    async def write_events(self, events: Sequence[ShopEvent]) -> list[str]:
        """Write events and what is due for them; a repeat changes nothing. Returns the endpoints that got deliveries.

        Raises Rejected if an event can never be written.
        """
        rows = [(event.id, event.type.value, event.sale_id, _EPOCH + timedelta(milliseconds=event.at_ms), event.body) for event in events]
        if not rows:
            return []
        return [row["endpoint"] for row in await self._database.run("write_events", *zip(*rows, strict=True))]

    async def write_settings_endpoints(self) -> None:
        """Bring the table up to date with the settings."""
        named = sorted(self._named.values(), key=lambda endpoint: endpoint.name)
        await self._database.run(
            "write_settings_endpoints", [e.name for e in named], [e.url for e in named], [",".join(e.types) for e in named]
        )
        await self._database.run("disable_other_settings_endpoints", [e.name for e in named])

    async def endpoints(self) -> list[Endpoint]:
        """The enabled endpoints whose secrets are known here: during an upgrade, another notifier may have other settings."""
        rows = await self._database.run("list_endpoints")
        read = [Endpoint(row["endpoint"], row["url"], self._secrets(row)) for row in rows]
        return [endpoint for endpoint in read if endpoint.secrets]

    async def take(self, endpoint: str, limit: int, lease_seconds: float) -> list[Taken]:
        """Take up to `limit` due deliveries. They are due again after `lease_seconds`, unless their attempts are recorded before."""
        rows = await self._database.run("take", endpoint, limit, timedelta(seconds=lease_seconds))
        return [Taken(row["event_id"], row["tries"], row["body"], row["created_at"]) for row in rows]

    async def record(self, attempts: Sequence[Attempt]) -> None:
        """Write the results of attempts; a repeat changes nothing."""
        rows = [
            (a.taken.event_id, a.endpoint, a.taken.tries, a.verdict.state.value, a.verdict.delay_seconds, a.status, a.duration_ms, a.answer,
             a.key)
            for a in sorted(attempts, key=lambda attempt: (attempt.taken.event_id, attempt.endpoint))
        ]  # fmt: skip
        await self._database.run("record", *zip(*rows, strict=True))

    async def note_success(self, endpoints: Iterable[str]) -> None:
        await self._database.run("note_success", sorted(endpoints))

    async def note_failure(self, endpoints: Iterable[str], disable_after_seconds: float) -> list[str]:
        """Returns the endpoints that are disabled now, because every attempt failed for so long."""
        rows = await self._database.run("note_failure", sorted(endpoints), timedelta(seconds=disable_after_seconds))
        return [row["endpoint"] for row in rows]

    async def end_past_failures(self, idle_seconds: float) -> None:
        """Endpoints with nothing due, for which nothing was tried for so long, no longer count as failing."""
        await self._database.run("end_past_failures", timedelta(seconds=idle_seconds))

    async def disable_gone(self, endpoint: str) -> bool:
        """Returns whether it was enabled before."""
        return bool(await self._database.run("disable_gone", endpoint))

    async def ended_sales(self, after: Place, until: datetime, limit: int) -> list[EndedSale]:
        """A page of the sales behind `after` whose end is not after `until`, and whose owner did not end them; the earliest end first."""
        rows = await self._database.run("ended_sales", after.at, after.sale_id, after.epoch, until, limit)
        return [EndedSale(**row) for row in rows]

    async def late_returns(self, after: Place, until: datetime, limit: int) -> list[LateReturn]:
        """A page of the orders behind `after` that the ledger-api returned not after `until`; the earliest first."""
        return [LateReturn(**row) for row in await self._database.run("late_returns", *after, until, limit)]

    async def stray_refunds(self, after: Place, until: datetime, limit: int) -> list[StrayRefund]:
        """A page of the refunds of unknown orders behind `after` that the ledger has since a time not after `until`; the earliest first."""
        return [StrayRefund(**row) for row in await self._database.run("stray_refunds", *after, until, limit)]

    async def oldest_event(self) -> datetime | None:
        """When the oldest event that is kept was written; None without events."""
        (row,) = await self._database.run("oldest_event")
        written: datetime | None = row["created_at"]
        return written

    async def prune_excess_attempts(self, attempts_max: int, rows_max: int) -> int:
        """Delete up to `rows_max` of the oldest attempts, so that about `attempts_max` are kept. Returns how many were deleted."""
        return len(await self._database.run("prune_excess_attempts", attempts_max, rows_max))

    async def prune(self, retention_seconds: float, rows_max: int) -> None:
        """Delete up to `rows_max` events, each with its deliveries, and attempts that are older."""
        age = timedelta(seconds=retention_seconds)
        await self._database.run("prune_attempts", age, rows_max)
        await self._database.run("prune_events", age, rows_max)

    async def backlog(self) -> list[Backlog]:
        """What is due, by endpoint. Endpoints that people have disabled or removed are left out: nobody waits for them."""
        rows = await self._database.run("backlog")
        waited_for = [row for row in rows if row["state"] == "enabled" or row["reason"] not in DISABLED_BY_PEOPLE]
        return [Backlog(row["endpoint"], row["state"] == "enabled", row["due"], row["oldest_seconds"]) for row in waited_for]

    async def adopt_restored_events(self, rows_max: int) -> None:
        """Number the events again that a dump of another cluster brought, `rows_max` in each transaction."""
        while len(await self._database.run("events_of_other_cluster", rows_max)) == rows_max:
            continue

    def _secrets(self, row: "dict[str, str | None]") -> tuple[str, ...]:
        if row["source"] == "settings":
            named = self._named.get(str(row["endpoint"]))
            return named.secrets if named else ()
        # The earlier ones stand with a blank between, as in the settings.
        return tuple(secret for secret in (row["secret"], *(row["previous_secret"] or "").split(" ")) if secret)
