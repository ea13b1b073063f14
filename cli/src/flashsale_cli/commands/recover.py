"""`flashsale recover`: what the keeper does, by hand."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import Enum, auto
from pathlib import Path
from typing import Annotated, assert_never

import typer
from redis.exceptions import RedisError

from flashsale_cli import recoveries
from flashsale_cli.console import EXIT_FAILED, JSON_OPTION, console, write_json
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.server_urls import amqp_url, database_url, redis_url
from flashsale_core.errors import Retryable
from flashsale_core.faults import Server, describe_error
from flashsale_core.keys import INSTALLATION_DEFAULT, shard_of
from flashsale_core.scripts import read_scripts
from flashsale_recovery.by_hand import ByHand, Ours, Outcome
from flashsale_recovery.outcome import Options
from flashsale_recovery.session import ERRORS, Session
from flashsale_redis import open_redis

REDIS_TIMEOUT_SECONDS = 10.0
STATEMENT_TIMEOUT_SECONDS = 120.0
CONNECTIONS_MAX = 8


def recover(
    plan: Annotated[
        bool, typer.Option("--plan", help="Only show what would be done, and what neither ledger nor Redis has now. Writes nothing.")
    ] = False,
    run: Annotated[bool, typer.Option("--run", help="Do it, until all shards are open. The keeper must be stopped.")] = False,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild",
            help="Close the shards, and rebuild them from the ledger and from what Redis has: for a sale that is gone from an open shard. "
            "The keeper does it if it acts. Meanwhile, some seconds, no shard of the server accepts orders.",
        ),
    ] = False,
    shard: Annotated[int | None, typer.Option(help="Only the Redis server that holds this shard. Default: all servers.", min=0)] = None,
    sale: Annotated[str | None, typer.Option(help="Only the Redis server that holds this sale.")] = None,
    grace_seconds: Annotated[int, typer.Option(help="How long buyers have, at least, to pay a hold after a rebuild.", min=0)] = 60,
    wait_seconds: Annotated[
        float, typer.Option(help="How long --run and --rebuild may wait for gateways, for the queue and for steps.", min=0, max=86_400)
    ] = 600.0,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Open a Redis that was restarted, or rebuild one that lost data, by hand. The keeper does the same by itself.

    Exit status 0: all shards are open. 1: --plan found something to do, or a shard is still closed. 3: the keeper acts during --run, or
    a server does not answer.
    """
    if plan + run + rebuild != 1:
        raise typer.BadParameter("give one of --plan, --run and --rebuild")
    if shard is not None and sale is not None:
        raise typer.BadParameter("give either --shard or --sale")
    environment = CliEnvironment()
    shards = environment.shards()
    if shard is not None and shard >= shards:
        # No server holds it, so nothing would be looked at, and the answer would be that all is open.
        raise typer.BadParameter(f"the shards are 0 to {shards - 1} (FLASHSALE_SHARDS)", param_hint="--shard")
    only = shard_of(sale, shards) if sale is not None else shard
    way = _Way.RUN if run else _Way.REBUILD if rebuild else _Way.PLAN
    outcomes = asyncio.run(_recover(environment, way, only, grace_seconds * 1000, wait_seconds))
    if as_json:
        write_json({"plan": plan, "servers": [recoveries.document(outcome) for outcome in outcomes]})
    else:
        for line in recoveries.lines(outcomes, planned=plan):
            console().print(line)
    if any(recoveries.is_closed(outcome, planned=plan) for outcome in outcomes):
        raise typer.Exit(EXIT_FAILED)


class _Way(Enum):
    PLAN = auto()
    RUN = auto()
    REBUILD = auto()


async def _recover(environment: CliEnvironment, way: _Way, only: int | None, grace_ms: int, wait_seconds: float) -> Sequence[Outcome]:
    async with _by_hand(environment, grace_ms, wait_seconds, lock=way is not _Way.PLAN) as (by_hand, keeper_acts):
        match way:
            case _Way.PLAN:
                return await by_hand.plan(only)
            case _Way.RUN if keeper_acts:
                raise Retryable("the keeper acts: stop it, or leave the recovery to it")
            case _Way.RUN:
                return await by_hand.run(_say, only, wait_seconds)
            case _Way.REBUILD:
                return await by_hand.rebuild(_say, only, wait_seconds, keeper_acts=keeper_acts)
            case _:
                assert_never(way)


def _say(reason: str) -> None:
    typer.echo(f"· {reason}", err=True)


@asynccontextmanager
async def _by_hand(environment: CliEnvironment, grace_ms: int, wait_seconds: float, *, lock: bool) -> AsyncIterator[tuple[ByHand, bool]]:
    """The recovery, and whether the keeper acts, which only matters with `lock`.

    Raises SettingsError without the servers' addresses, Retryable if one does not answer.
    """
    redis_address = redis_url(environment)
    options = Options(amqp_url(environment), drain_limit_seconds=wait_seconds, grace_ms=grace_ms)
    ours = Ours(environment.text("FLASHSALE_INSTALLATION", default=INSTALLATION_DEFAULT), environment.shards())
    scripts = read_scripts(Path(environment.text("FLASHSALE_LUA_DIR", default="lua")))
    session = Session(database_url(environment), STATEMENT_TIMEOUT_SECONDS, 0)
    try:
        locked = await session.acquire() if lock else None
        ledger = locked or await session.open()
        async with open_redis(redis_address, REDIS_TIMEOUT_SECONDS, CONNECTIONS_MAX) as redis:
            yield ByHand(redis, scripts, ledger, ours, options, REDIS_TIMEOUT_SECONDS), locked is None
    except RedisError as error:
        raise Retryable(describe_error(Server.REDIS, error)) from error
    except ERRORS as error:
        raise Retryable(describe_error(Server.POSTGRES, error)) from error
    finally:
        session.close()
