"""The RabbitMQ topology: one place, as data.

The local stack, the tests and the chart load `definitions()` into the broker; services only declare passively and fail loudly
when a queue is missing. Queue type is the only queue argument; everything else is policy, so it can be changed without deleting
queues (https://www.rabbitmq.com/docs/policies).
"""

import base64
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

EVENTS_EXCHANGE = "flashsale.events"
TIMEOUTS_EXCHANGE = "flashsale.timeouts"
UNROUTED_EXCHANGE = "flashsale.unrouted"
PROBES_EXCHANGE = "flashsale.probes"
PARKING_EXCHANGE = "flashsale.parking"
DEFAULT_EXCHANGE = "amq.default"
"""What permissions call the exchange without a name, which brings a message to the queue that its routing key names."""

ORDERS_QUEUE = "orders"
TIMEOUT_QUEUE = "payment.timeout"
UNROUTED_QUEUE = "unrouted"
PARKED_ORDERS_QUEUE = "orders.parked"
PARKED_TIMEOUT_QUEUE = "payment.timeout.parked"
SHOP_EVENTS_QUEUE = "shop.events"
PARKED_SHOP_EVENTS_QUEUE = "shop.events.parked"

WINDOWS_DEFAULT = (15, 60, 120, 300, 600, 900, 1800)
DEFAULT_WINDOW_SECONDS = 300
"""The payment window of a new sale that names none, if it is installed."""
NO_DELIVERY_LIMIT = 2_147_483_647
"""A limit that is never reached: RabbitMQ 4 has a limit of 20 unless it is given one, and RabbitMQ 3 refuses -1."""
WAIT_LENGTH_MAX = 1_000_000
CURE = "load the definitions that `flashsale topology` prints"
RESERVED_ROUTING_KEY = "order.reserved"
PAYMENTS_ROUTING_KEY = "payment.recorded"
"""Also of `order.returned` and `payment.refunded`: every installed broker has a binding for it."""
PARKED_QUEUES = {ORDERS_QUEUE: PARKED_ORDERS_QUEUE, TIMEOUT_QUEUE: PARKED_TIMEOUT_QUEUE}
"""Work queue -> where its messages are parked."""
EVERY_PARKED_QUEUE = PARKED_QUEUES | {SHOP_EVENTS_QUEUE: PARKED_SHOP_EVENTS_QUEUE}
"""The same with the queue of the notifier, which a broker may lack."""
SHOP_EVENTS_LENGTH_MAX = 1_000_000
"""Past this, the oldest messages for a notifier that is away are dropped: it must not stop the sale."""


def default_window(windows: Sequence[int]) -> int:
    """The payment window of a new sale that names none, in seconds: the installed one nearest to 300 s, because others have no queue."""
    return min(windows, key=lambda window: (abs(window - DEFAULT_WINDOW_SECONDS), window))


def wait_queue(window_seconds: int) -> str:
    return f"payment.wait.{window_seconds}"


def reserved_routing_key(window_seconds: int) -> str:
    return f"{RESERVED_ROUTING_KEY}.{window_seconds}"


def replay_routing_key(queue: str) -> str:
    """The routing key by which the parking exchange returns a message to its work queue."""
    return f"replay.{queue}"


def queues(windows: Sequence[int]) -> list[str]:
    waits = [wait_queue(window) for window in windows]
    return [ORDERS_QUEUE, TIMEOUT_QUEUE, PARKED_ORDERS_QUEUE, PARKED_TIMEOUT_QUEUE, UNROUTED_QUEUE, *waits]


@dataclass(frozen=True, slots=True)
class User:
    """A user of the broker, who may not declare or delete anything. `write` and `read` are patterns of exchange and queue names.

    https://www.rabbitmq.com/docs/access-control
    """

    name: str
    hashed_password: str
    write: str = ".*"
    read: str = ".*"


class Events(StrEnum):
    """What the notifier receives. Without one, the broker has no queue for it."""

    OFF = "off"
    ON = "on"
    WITH_RESERVED = "with-reserved"
    """Also `order.reserved`: every message that the ledger gets."""


def service_users(hashed_passwords: Mapping[str, str]) -> list[User]:
    """A user for each service with a password, with no more rights than it needs.

    Passive declarations need no right, and publishing needs the exchange.
    """
    rights = {
        # The relay publishes events, and checks that every queue exists.
        "gateway": (_exactly(EVENTS_EXCHANGE), "^$"),
        # A worker consumes its queue, and parks what it cannot use. `flashsale parked` reads and replays those as the same user, and what
        # had no route as that of the order-worker.
        "order-worker": (_exactly(PARKING_EXCHANGE), _exactly(ORDERS_QUEUE, PARKED_ORDERS_QUEUE, UNROUTED_QUEUE)),
        # It also sends probes and early holds to the wait queues.
        "timeout-worker": (_exactly(PARKING_EXCHANGE, PROBES_EXCHANGE), _exactly(TIMEOUT_QUEUE, PARKED_TIMEOUT_QUEUE)),
        # It sends markers to the queue of the ledger, and consumes nothing.
        "keeper": (_exactly(DEFAULT_EXCHANGE), "^$"),
        "notifier": (_exactly(PARKING_EXCHANGE), _exactly(SHOP_EVENTS_QUEUE, PARKED_SHOP_EVENTS_QUEUE)),
    }
    return [User(name, hashed_passwords[name], write, read) for name, (write, read) in rights.items() if name in hashed_passwords]


def definitions(users: Sequence[User], windows: Sequence[int], vhost: str = "/", events: Events = Events.OFF) -> dict[str, Any]:
    """The broker's whole state as a definitions document (https://www.rabbitmq.com/docs/definitions)."""
    more_queues = [] if events is Events.OFF else [SHOP_EVENTS_QUEUE, PARKED_SHOP_EVENTS_QUEUE]
    return {
        "users": [
            {
                "name": user.name,
                "password_hash": user.hashed_password,
                "tags": "",
                "hashing_algorithm": "rabbit_password_hashing_sha256",
            }
            for user in users
        ],
        "vhosts": [{"name": vhost}],
        "permissions": [{"user": user.name, "vhost": vhost, "configure": "^$", "write": user.write, "read": user.read} for user in users],
        "exchanges": [_exchange(name, kind, vhost) for name, kind in _EXCHANGES],
        "queues": [_queue(name, vhost) for name in (*queues(windows), *more_queues)],
        "bindings": [
            _binding(source, queue, key, vhost) for source, queue, key in (*_bindings(windows), *_event_bindings(windows, events))
        ],
        "policies": [_policy(vhost, *policy) for policy in (*_policies(windows), *_event_policies(events))],
    }


def password_hash(password: str, salt: bytes | None = None) -> str:
    """A password as the broker stores it: base64 of a 4-byte salt and SHA-256 of salt + password.

    https://www.rabbitmq.com/docs/passwords
    """
    salt = salt if salt is not None else os.urandom(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


_EXCHANGES = (
    (EVENTS_EXCHANGE, "topic"),
    (TIMEOUTS_EXCHANGE, "topic"),
    (UNROUTED_EXCHANGE, "fanout"),
    (PARKING_EXCHANGE, "direct"),
    (PROBES_EXCHANGE, "direct"),
)


def _bindings(windows: Sequence[int]) -> list[tuple[str, str, str]]:
    waits = [(EVENTS_EXCHANGE, wait_queue(window), reserved_routing_key(window)) for window in windows]
    probes = [(PROBES_EXCHANGE, wait_queue(window), str(window)) for window in windows]
    # Each window is bound to `orders` by name: a message whose window has no wait queue then has no route at all, and goes to `unrouted`.
    reserved = [(EVENTS_EXCHANGE, ORDERS_QUEUE, reserved_routing_key(window)) for window in windows]
    return [
        *waits,
        *reserved,
        *probes,
        (EVENTS_EXCHANGE, ORDERS_QUEUE, "order.expired"),
        (EVENTS_EXCHANGE, ORDERS_QUEUE, "order.cancelled"),
        (EVENTS_EXCHANGE, ORDERS_QUEUE, PAYMENTS_ROUTING_KEY),
        (EVENTS_EXCHANGE, ORDERS_QUEUE, "sale.*"),
        (TIMEOUTS_EXCHANGE, TIMEOUT_QUEUE, "#"),
        (UNROUTED_EXCHANGE, UNROUTED_QUEUE, ""),
        *[(PARKING_EXCHANGE, parked, queue) for queue, parked in PARKED_QUEUES.items()],
        *[(PARKING_EXCHANGE, queue, replay_routing_key(queue)) for queue in PARKED_QUEUES],
    ]


def _event_bindings(windows: Sequence[int], events: Events) -> list[tuple[str, str, str]]:
    if events is Events.OFF:
        return []
    keys = ["order.expired", "order.cancelled", "order.returned", PAYMENTS_ROUTING_KEY, "sale.*"]
    if events is Events.WITH_RESERVED:
        # By name, as for `orders`: a message whose window has no wait queue must have no route.
        keys += map(reserved_routing_key, windows)
    return [
        *[(EVENTS_EXCHANGE, SHOP_EVENTS_QUEUE, key) for key in keys],
        (PARKING_EXCHANGE, PARKED_SHOP_EVENTS_QUEUE, SHOP_EVENTS_QUEUE),
        (PARKING_EXCHANGE, SHOP_EVENTS_QUEUE, replay_routing_key(SHOP_EVENTS_QUEUE)),
    ]


def _event_policies(events: Events) -> list[tuple[str, str, str, dict[str, Any]]]:
    if events is Events.OFF:
        return []
    # A queue that refused a message would stop the outbox, and with it the sale.
    work = {"delivery-limit": NO_DELIVERY_LIMIT, "max-length": SHOP_EVENTS_LENGTH_MAX, "overflow": "drop-head"}
    return [
        ("work-shop-events", r"^shop\.events$", "queues", work),
        ("kept-shop-events", r"^shop\.events\.parked$", "queues", {"delivery-limit": NO_DELIVERY_LIMIT}),
    ]


def _policies(windows: Sequence[int]) -> list[tuple[str, str, str, dict[str, Any]]]:
    waits = [
        (
            f"wait-{window}",
            rf"^payment\.wait\.{window}$",
            "queues",
            {
                "message-ttl": window * 1000,
                "dead-letter-exchange": TIMEOUTS_EXCHANGE,
                "dead-letter-strategy": "at-least-once",
                "overflow": "reject-publish",
                "max-length": WAIT_LENGTH_MAX,
            },
        )
        for window in windows
    ]
    # Many deliveries do not make a message poison: a store that is away causes them. Workers park, with the reason (decision 0017).
    works = [
        (
            f"work-{queue.replace('.', '-')}",
            f"^{queue.replace('.', chr(92) + '.')}$",
            "queues",
            {
                "delivery-limit": NO_DELIVERY_LIMIT,
                "dead-letter-exchange": PARKING_EXCHANGE,
                "dead-letter-routing-key": queue,
                "dead-letter-strategy": "at-least-once",
                "overflow": "reject-publish",
            },
        )
        for queue in PARKED_QUEUES
    ]
    # Each reading of a message counts as a delivery: without this, RabbitMQ 4 would drop a message that was read 20 times.
    kept = (
        "kept",
        f"^({'|'.join(map(re.escape, (*PARKED_QUEUES.values(), UNROUTED_QUEUE)))})$",
        "queues",
        {"delivery-limit": NO_DELIVERY_LIMIT},
    )
    events = (
        "events",
        rf"^{EVENTS_EXCHANGE.replace('.', chr(92) + '.')}$",
        "exchanges",
        {"alternate-exchange": UNROUTED_EXCHANGE},
    )
    return [*waits, *works, kept, events]


def _exactly(*names: str) -> str:
    escaped = [name.replace(".", "\\.") for name in names]
    return f"^{escaped[0]}$" if len(escaped) == 1 else f"^({'|'.join(escaped)})$"


def _exchange(name: str, kind: str, vhost: str) -> dict[str, Any]:
    return {
        "name": name,
        "vhost": vhost,
        "type": kind,
        "durable": True,
        "auto_delete": False,
        "internal": False,
        "arguments": {},
    }


def _queue(name: str, vhost: str) -> dict[str, Any]:
    return {
        "name": name,
        "vhost": vhost,
        "durable": True,
        "auto_delete": False,
        "arguments": {"x-queue-type": "quorum"},
    }


def _binding(source: str, queue: str, key: str, vhost: str) -> dict[str, Any]:
    return {
        "source": source,
        "vhost": vhost,
        "destination": queue,
        "destination_type": "queue",
        "routing_key": key,
        "arguments": {},
    }


def _policy(vhost: str, name: str, pattern: str, apply_to: str, definition: dict[str, Any]) -> dict[str, Any]:
    return {
        "vhost": vhost,
        "name": name,
        "pattern": pattern,
        "apply-to": apply_to,
        "priority": 0,
        "definition": definition,
    }
