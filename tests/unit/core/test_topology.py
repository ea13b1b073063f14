import base64
import re

from flashsale_core import topology

WINDOWS = (5, 60)
DOCUMENT = topology.definitions([topology.User("u", "h")], WINDOWS)


def test_every_queue_is_quorum_and_has_no_other_argument() -> None:
    assert {str(queue["arguments"]) for queue in DOCUMENT["queues"]} == {"{'x-queue-type': 'quorum'}"}
    assert sorted(queue["name"] for queue in DOCUMENT["queues"]) == sorted(topology.queues(WINDOWS))


def policy_of(queue: str) -> dict[str, object]:
    matching = [
        policy["definition"] for policy in DOCUMENT["policies"] if policy["apply-to"] == "queues" and re.search(policy["pattern"], queue)
    ]
    assert len(matching) <= 1, f"two policies for {queue}: only one would apply"
    return matching[0] if matching else {}


def test_wait_queue_dead_letters_after_its_window_at_least_once() -> None:
    for window in WINDOWS:
        policy = policy_of(topology.wait_queue(window))
        assert (policy["message-ttl"], policy["dead-letter-exchange"]) == (window * 1000, topology.TIMEOUTS_EXCHANGE)
        # At-least-once dead-lettering needs reject-publish (https://www.rabbitmq.com/docs/quorum-queues).
        assert (policy["dead-letter-strategy"], policy["overflow"]) == ("at-least-once", "reject-publish")


def test_no_queue_drops_a_message_for_many_deliveries() -> None:
    for queue, parked in topology.PARKED_QUEUES.items():
        assert policy_of(queue)["dead-letter-routing-key"] == queue
        for name in (queue, parked, topology.UNROUTED_QUEUE):
            limit = policy_of(name)["delivery-limit"]
            # RabbitMQ 3 refuses numbers below 0. Every version takes one that is never reached.
            assert isinstance(limit, int)
            assert limit >= 2**31 - 1


def test_replayed_messages_reach_the_queue_they_came_from() -> None:
    bound = {
        (binding["routing_key"], binding["destination"])
        for binding in DOCUMENT["bindings"]
        if binding["source"] == topology.PARKING_EXCHANGE
    }
    parking = set(topology.PARKED_QUEUES.items())
    assert bound == parking | {(topology.replay_routing_key(queue), queue) for queue in topology.PARKED_QUEUES}


def test_reserved_orders_reach_the_ledger_and_their_window() -> None:
    bound = {
        (binding["destination"], binding["routing_key"])
        for binding in DOCUMENT["bindings"]
        if binding["source"] == topology.EVENTS_EXCHANGE
    }
    for window in WINDOWS:
        key = topology.reserved_routing_key(window)
        assert {queue for queue, bound_key in bound if bound_key == key} == {topology.ORDERS_QUEUE, topology.wait_queue(window)}


def test_no_user_may_declare_or_delete() -> None:
    assert [permission["configure"] for permission in DOCUMENT["permissions"]] == ["^$"]


def test_password_hash_is_salted_sha256() -> None:
    # The vector of https://www.rabbitmq.com/docs/passwords: salt 908DC60A, password test12.
    assert topology.password_hash("test12", bytes.fromhex("908DC60A")) == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
    assert len(base64.b64decode(topology.password_hash("x"))) == 36


def test_each_service_has_a_user_with_its_own_rights_only() -> None:
    users = topology.service_users({"gateway": "g", "order-worker": "o", "timeout-worker": "t", "keeper": "k"})
    document = topology.definitions(users, WINDOWS, "shop")
    assert {user["name"]: user["password_hash"] for user in document["users"]} == {
        "gateway": "g",
        "order-worker": "o",
        "timeout-worker": "t",
        "keeper": "k",
    }
    rights = {right["user"]: (right["vhost"], right["configure"], right["write"], right["read"]) for right in document["permissions"]}
    assert rights == {
        "gateway": ("shop", "^$", r"^flashsale\.events$", "^$"),
        "order-worker": ("shop", "^$", r"^flashsale\.parking$", r"^(orders|orders\.parked|unrouted)$"),
        "timeout-worker": ("shop", "^$", r"^(flashsale\.parking|flashsale\.probes)$", r"^(payment\.timeout|payment\.timeout\.parked)$"),
        "keeper": ("shop", "^$", r"^amq\.default$", "^$"),
    }


EVENTS = topology.definitions([topology.User("u", "h")], WINDOWS, events=topology.Events.ON)
WITH_RESERVED = topology.definitions([topology.User("u", "h")], WINDOWS, events=topology.Events.WITH_RESERVED)


def keys_to(document: dict[str, list[dict[str, str]]], queue: str) -> set[str]:
    return {binding["routing_key"] for binding in document["bindings"] if binding["destination"] == queue}


def test_notifier_has_a_queue_only_where_it_is_enabled() -> None:
    added = {"shop.events", "shop.events.parked"}
    assert {queue["name"] for queue in EVENTS["queues"]} == {queue["name"] for queue in DOCUMENT["queues"]} | added
    for part in ("exchanges", "queues", "bindings", "policies"):
        assert [entry for entry in EVENTS[part] if "shop" not in str(entry)] == DOCUMENT[part]


def test_notifier_gets_reserved_orders_only_if_asked_and_by_window() -> None:
    keys = keys_to(EVENTS, topology.SHOP_EVENTS_QUEUE)
    assert keys == {
        "order.expired", "order.cancelled", "order.returned", "payment.recorded", "sale.*", topology.replay_routing_key("shop.events")
    }  # fmt: skip
    assert keys_to(WITH_RESERVED, topology.SHOP_EVENTS_QUEUE) - keys == {topology.reserved_routing_key(window) for window in WINDOWS}


def test_notifier_that_is_away_never_stops_a_publisher() -> None:
    (policy,) = [policy["definition"] for policy in EVENTS["policies"] if re.search(policy["pattern"], topology.SHOP_EVENTS_QUEUE)]
    assert (policy["overflow"], policy["max-length"]) == ("drop-head", 1_000_000)
    assert policy["delivery-limit"] == topology.NO_DELIVERY_LIMIT


def test_notifier_reads_its_queue_and_parks() -> None:
    (user,) = topology.service_users({"notifier": "n"})
    assert (user.write, user.read) == (r"^flashsale\.parking$", r"^(shop\.events|shop\.events\.parked)$")
