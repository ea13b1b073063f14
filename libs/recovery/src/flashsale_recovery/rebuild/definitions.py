"""Which sale of a name is the present one, and what it is, when ledger and Redis differ. Pure."""

from dataclasses import dataclass, replace

from flashsale_recovery.rebuild.facts import Definition

REQUESTS_KEPT = 16
"""As in lua/define.lua."""


@dataclass(frozen=True, slots=True)
class Present:
    """The present sale of a name."""

    definition: Definition
    in_redis: bool
    """Whether Redis has this sale, by its epoch. Otherwise its orders there, if any, belong to an earlier sale of the name."""
    clears_redis: bool
    """Whether Redis still has an earlier sale of the name, or this one, which was removed since."""
    lacks_definition: bool
    """Whether the ledger lacks this definition."""
    lacks_end: bool
    """Whether the ledger does not know that the sale was closed or removed."""
    announced_units: int = 0
    """The stock that the ledger knows, if it lacks this definition."""


def present_sale(ledger: Definition | None, redis: Definition | None) -> Present:
    """The highest epoch is the present sale. In one epoch the later definition counts, and a sale that ended stays ended.

    At least one side has the sale.
    """
    if redis is None or (ledger is not None and ledger.epoch > redis.epoch):
        assert ledger is not None  # noqa: S101 - the caller read the sale in one of the two
        return Present(ledger, in_redis=False, clears_redis=redis is not None, lacks_definition=False, lacks_end=False)
    if ledger is None or redis.epoch > ledger.epoch:
        return Present(redis, in_redis=True, clears_redis=False, lacks_definition=not redis.is_removed, lacks_end=_ended(redis) > 0)
    return _same_epoch(ledger, redis)


def _same_epoch(ledger: Definition, redis: Definition) -> Present:
    newer_in_redis = not redis.is_removed and (redis.generation, redis.changed_ms) > (ledger.generation, ledger.changed_ms)
    latest, ended = (redis if newer_in_redis else ledger), max(ledger, redis, key=_ended)
    latest = replace(latest, requests=merged_requests(ledger.requests, redis.requests))
    if _ended(ended):
        latest = replace(latest, state=ended.state, closed_ms=ended.closed_ms or latest.closed_ms, removed_ms=ended.removed_ms)
    if latest.is_removed:
        # The ledger may lack a definition that the sale had.
        latest = replace(latest, generation=max(ledger.generation, redis.generation))
    return Present(
        latest,
        in_redis=True,
        clears_redis=ledger.is_removed and not redis.is_removed,
        lacks_definition=newer_in_redis,
        lacks_end=_ended(redis) > _ended(ledger),
        announced_units=ledger.total if newer_in_redis else 0,
    )


def merged_requests(ledger: str, redis: str) -> str:
    """The ids of both, those of Redis last: it may have some of changes that the ledger lacks, and of those that changed nothing."""
    last = redis.split()
    return " ".join([*(each for each in ledger.split() if each not in last), *last][-REQUESTS_KEPT:])


def _ended(definition: Definition) -> int:
    return {"closed": 1, "removed": 2}.get(definition.state, 0)
