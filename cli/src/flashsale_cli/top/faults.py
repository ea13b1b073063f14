"""What is wrong, in words: gauges that say so themselves and would be lost among numbers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flashsale_cli.top.changes import Changes


@dataclass(frozen=True, slots=True)
class Rule:
    metric: str
    wrong: Callable[[float], bool]
    words: str
    """With the label's value for {}."""


def _down(value: float) -> bool:
    return value == 0


RULES = (
    Rule("flashsale_sale_imbalance_units", lambda units: units != 0, "the stock of {} does not add up: run `flashsale audit`"),
    Rule("flashsale_redis_durable", _down, "Redis may forget what it acknowledged: see the gateway's /readyz"),
    Rule("flashsale_broker_up", _down, "a gateway has no channel to RabbitMQ"),
    Rule("flashsale_unrouted_kept", _down, "RabbitMQ is not known to keep what it cannot route: look at its policy `events`"),
    Rule("flashsale_consumer_up", _down, "nobody consumes {}"),
    Rule("flashsale_database_up", _down, "the order-worker does not reach Postgres"),
    Rule("flashsale_wait_up", _down, "the wait queue of {} s does not give back"),
)


def faults(changes: Changes) -> list[str]:
    """Each once, whoever tells it."""
    return list(dict.fromkeys(words for rule in RULES for words in _found(rule, changes)))


def _found(rule: Rule, changes: Changes) -> Iterator[str]:
    for labels, value in changes.values(rule.metric):
        if rule.wrong(value):
            yield rule.words.format(*(label for _, label in labels))
