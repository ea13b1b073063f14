"""Faults as sentences, because a gauge that reports one would be overlooked among numbers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flashsale_cli.top.changes import Changes


@dataclass(frozen=True, slots=True)
class Rule:
    metric: str
    is_fault: Callable[[float], bool]
    text: str
    """`{}` stands for the label's value."""


def _down(value: float) -> bool:
    return value == 0


RULES = (
    Rule("flashsale_sale_imbalance_units", lambda units: units != 0, "the stock of {} does not add up: run `flashsale audit`"),
    Rule("flashsale_redis_durable", _down, "Redis may lose accepted orders: see the gateway's /readyz"),
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
    for labels, value in changes.values(rule.metric):
        if rule.is_fault(value):
            yield rule.text.format(*(label for _, label in labels))
