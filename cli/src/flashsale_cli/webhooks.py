"""The endpoints of webhooks in the ledger's database: added, listed, tested, replayed, disabled, rotated and removed by a person.

Each function is one short transaction as the role `flashsale_notifier` or the owner. The notifier reads the tables every two seconds.
"""

import base64
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec

from flashsale_cli.ledger_connection import open_connection
from flashsale_core.credentials import WEBHOOK_PREFIX
from flashsale_core.errors import Rejected, Retryable
from flashsale_core.faults import Server, describe_error
from flashsale_core.ledger_locks import ENABLING
from flashsale_core.shop_events import DISABLED_BY_COMMAND, ENDPOINTS_MAX, REMOVED_FROM_SETTINGS, EventType, event_id
from flashsale_core.timestamps import rfc3339

SECRET_BYTES = 32
EARLIER_SECRETS_MAX = 4
"""Most secrets that sign besides the newest one."""
REMOVED_BATCH = 5000
"""Most deliveries that are deleted in one transaction."""
# Endpoints are counted and enabled one after the other, so that two commands at once cannot pass the limit.
_LOCK = "select pg_advisory_xact_lock($1)"
_ENABLED = "select count(*) as count from webhook_endpoints where state = 'enabled' and endpoint <> $1"
_DUE = """
select e.source, e.reason, (select count(*) from webhook_deliveries d where d.endpoint = e.endpoint and d.state = 'due') as due
  from webhook_endpoints e where e.endpoint = $1
"""
# The reason of one that is disabled stays: it says whether the settings name the endpoint, and an interrupted removal is repeated.
_BEGIN_REMOVAL = "update webhook_endpoints set state = 'disabled', reason = $2 where endpoint = $1 and state = 'enabled'"
_REMOVE_DELIVERIES = """
with batch as (
    select event_id from webhook_deliveries where endpoint = $1 and event_id > $2 order by event_id limit $3
), gone as (
    delete from webhook_deliveries d using batch where d.endpoint = $1 and d.event_id = batch.event_id
)
select max(event_id) as last from batch
"""
_REMOVE = "delete from webhook_endpoints where endpoint = $1 and state = 'disabled' returning endpoint"
_ADD = """
insert into webhook_endpoints (endpoint, url, types, source, secret) values ($1, $2, $3, 'command', $4)
on conflict do nothing returning endpoint
"""
_LIST = """
select e.endpoint, e.url, e.types, e.source, e.state, e.reason, e.failing_since, due.count as due, due.oldest,
       last.at as last_at, last.status as last_status, last.answer as last_answer
  from webhook_endpoints e
  cross join lateral (
    select count(*), min(created_at) as oldest from webhook_deliveries d where d.endpoint = e.endpoint and d.state = 'due'
  ) due
  left join lateral (
    select at, status, answer from webhook_attempts a where a.endpoint = e.endpoint order by attempt_id desc limit 1
  ) last on true
 order by e.endpoint
"""
_REPLAY = """
insert into webhook_deliveries as d (event_id, endpoint)
select s.event_id, e.endpoint from shop_events s join webhook_endpoints e on e.endpoint = $1
 where (s.event_id = any($2::text[]) or ($3::timestamptz is not null and s.created_at >= $3 and s.type = any(e.types)))
   and ($4::text[] is null or s.type = any($4))
on conflict (event_id, endpoint) do update set state = 'due', tries = 0, due_at = now(), created_at = now()
returning event_id
"""
_TEST_EVENT = "insert into shop_events (event_id, type, sale_id, at, body) values ($1, $2, '', $3, $4)"
_TEST_DELIVERY = "insert into webhook_deliveries (event_id, endpoint) select $2, endpoint from webhook_endpoints where endpoint = $1"
_ATTEMPT = "select status, answer, duration_ms from webhook_attempts where endpoint = $1 and event_id = $2 order by attempt_id desc limit 1"
_STATE = """
update webhook_endpoints set state = $2, reason = $3, failing_since = null where endpoint = $1 returning endpoint
"""
# Secrets that still sign go on, the newest first: whoever rotates again at once has lost the new one, and the shop has only that before it.
_ROTATE = """
update webhook_endpoints set previous_until = now() + $3::interval, secret = $2,
    previous_secret = case when previous_until > now()
        then array_to_string((secret || string_to_array(previous_secret, ' '))[:$4], ' ') else secret end
 where endpoint = $1 and source = 'command' returning endpoint
"""


@dataclass(frozen=True, slots=True)
class Endpoint:
    name: str
    url: str
    types: tuple[str, ...]
    source: str
    """settings or command."""
    state: str
    reason: str
    failing_since: datetime | None
    due: int
    oldest: datetime | None
    """Since when the oldest delivery is due."""
    last_at: datetime | None
    last_status: int | None
    """None without an attempt, and if the last one got no answer."""
    last_answer: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    status: int | None
    answer: str
    duration_ms: int


class Webhooks:
    """Every method raises Retryable if Postgres refuses or does not answer, and Rejected if there is no such endpoint."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def add(self, name: str, url: str, types: Sequence[str]) -> str:
        """Returns the new endpoint's secret."""
        secret = new_secret()
        async with self._connection.transaction():
            await self._check_limit(name)
            if not await self._run(_ADD, name, url, list(types), secret):
                raise Rejected(f"there is an endpoint {name!r} already; choose another name")
        return secret

    async def due(self, name: str) -> int:
        """How many deliveries would be lost if the endpoint was removed. Raises Rejected if the notifier's settings name it."""
        rows = await self._run(_DUE, name)
        if not rows:
            raise _unknown(name)
        if rows[0]["source"] == "settings" and rows[0]["reason"] != REMOVED_FROM_SETTINGS:
            raise Rejected(f"{name!r} is in the notifier's settings; remove it there first, and restart the notifier")
        return int(rows[0]["due"])

    async def remove(self, name: str) -> None:
        """Disable the endpoint, and delete it with its deliveries. Events and attempts stay. If it is interrupted, repeat it."""
        await self._run(_BEGIN_REMOVAL, name, DISABLED_BY_COMMAND)
        after: str | None = ""
        while after is not None:
            after = (await self._run(_REMOVE_DELIVERIES, name, after, REMOVED_BATCH))[0]["last"]
        if not await self._run(_REMOVE, name):
            raise Rejected(f"{name!r} was enabled meanwhile, and is not removed; repeat the command")

    async def endpoints(self) -> list[Endpoint]:
        rows = await self._run(_LIST)
        return [Endpoint(row["endpoint"], row["url"], tuple(row["types"]), *list(row.values())[3:]) for row in rows]

    async def replay(self, name: str, event_ids: Sequence[str], since: datetime | None, types: Sequence[str]) -> int:
        """Make events due again: the named ones, and those that were written since. Returns their number."""
        await self._require(name)
        return len(await self._run(_REPLAY, name, list(event_ids), since, list(types) or None))

    async def begin_test(self, name: str) -> str:
        """Make a test event due for this endpoint only. Returns its id."""
        await self._require(name)
        key, now = event_id("", 0, name, f"test:{secrets.token_hex(8)}"), datetime.now(UTC)
        document = {"type": EventType.WEBHOOK_TEST, "timestamp": rfc3339(now), "data": {"endpoint": name}}
        async with self._connection.transaction():
            await self._run(_TEST_EVENT, key, EventType.WEBHOOK_TEST.value, now, msgspec.json.encode(document).decode())
            await self._run(_TEST_DELIVERY, name, key)
        return key

    async def attempt(self, name: str, key: str) -> Attempt | None:
        """The last attempt to deliver an event; None before the first."""
        rows = await self._run(_ATTEMPT, name, key)
        return Attempt(rows[0]["status"], rows[0]["answer"], rows[0]["duration_ms"]) if rows else None

    async def disable(self, name: str) -> None:
        await self._change(_STATE, name, "disabled", DISABLED_BY_COMMAND)

    async def enable(self, name: str) -> None:
        """Raises Rejected if there would be too many enabled endpoints."""
        async with self._connection.transaction():
            await self._check_limit(name)
            await self._change(_STATE, name, "enabled", "")

    async def rotate(self, name: str, overlap: timedelta) -> str:
        """Returns the new secret; those that sign so far sign as well for `overlap`."""
        secret = new_secret()
        await self._require(name)
        if not await self._run(_ROTATE, name, secret, overlap, EARLIER_SECRETS_MAX):
            raise Rejected(f"the secret of {name!r} is in the notifier's settings; replace it there")
        return secret

    async def _change(self, statement: str, name: str, *arguments: object) -> None:
        if not await self._run(statement, name, *arguments):
            raise _unknown(name)

    async def _check_limit(self, name: str) -> None:
        await self._run(_LOCK, ENABLING)
        if (await self._run(_ENABLED, name))[0]["count"] >= ENDPOINTS_MAX:
            raise Rejected(f"{ENDPOINTS_MAX} endpoints are enabled, and a notifier serves no more; disable or remove one first")

    async def _require(self, name: str) -> None:
        await self._change("select endpoint from webhook_endpoints where endpoint = $1", name)

    async def _run(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        try:
            return await self._connection.fetch(statement, *arguments)
        except asyncpg.UndefinedTableError as error:
            raise Rejected("the ledger has no tables for webhooks yet; run `flashsale migrate`") from error
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise Retryable(describe_error(Server.POSTGRES, error)) from error


def _unknown(name: str) -> Rejected:
    return Rejected(f"there is no endpoint {name!r}; `flashsale webhook list` shows all")


def new_secret() -> str:
    return WEBHOOK_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


@asynccontextmanager
async def open_webhooks(database_url: str) -> AsyncIterator[Webhooks]:
    """Raises Retryable if Postgres does not answer."""
    async with open_connection(database_url) as connection:
        yield Webhooks(connection)
