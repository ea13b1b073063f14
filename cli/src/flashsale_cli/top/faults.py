"""Faults as sentences, because a gauge that reports one would be overlooked among numbers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flashsale_cli.top.changes import Change, Changes


@dataclass(frozen=True, slots=True)
class Rule:
    metric: str
    is_fault: Callable[[float], bool]
    text: str
    """`{}` stands for the label's value."""
    unless: str = ""
    """A gauge that is 0 where the process is told not to judge this: then it reports no fault."""


def _down(value: float) -> bool:
    return value == 0


RULES = (
    Rule("flashsale_sale_imbalance_units", lambda units: units != 0, "the stock of {} does not add up: run `flashsale audit`"),
    Rule("flashsale_redis_durable", _down, "Redis may lose accepted orders: see the gateway's /readyz", "flashsale_redis_durable_required"),
    Rule("flashsale_broker_up", _down, "a gateway has no channel to RabbitMQ"),
    Rule("flashsale_unrouted_kept", _down, "RabbitMQ may lose messages that it cannot route: check its policy `events`"),
    Rule("flashsale_consumer_up", _down, "no worker consumes the queue {}"),
    Rule("flashsale_database_up", _down, "the order-worker cannot reach Postgres"),
    Rule("flashsale_wait_up", _down, "the wait queue of {} s returns no messages"),
)


def faults(changes: Changes) -> list[str]:
    """A sentence for each gauge that reports a fault. A sentence that several processes cause appears once."""
    return list(dict.fromkeys(text for rule in RULES for text in _faults(rule, changes)))


def _faults(rule: Rule, changes: Changes) -> Iterator[str]:
    for change in changes.of_processes:
        for labels, value in change.now.get(rule.metric, {}).items():
            if rule.is_fault(value) and not _is_excused(rule, change):
                yield rule.text.format(*(label for _, label in labels))


def _is_excused(rule: Rule, change: Change) -> bool:
    return any(map(_down, change.now.get(rule.unless, {}).values()))
