"""Joins the stack's Redis masters to a cluster. Repeating it is harmless: for an existing cluster it only waits."""

from collections.abc import Sequence
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from flashsale_local_stack.errors import StackError
from flashsale_local_stack.processes import wait_until
from flashsale_local_stack.state import HOST, RedisNode

SLOTS = 16384
TIMEOUT_SECONDS = 5.0
# A restarted master refuses all commands for two seconds (CLUSTER_WRITABLE_DELAY in its source).
SETTLE_SECONDS = 30.0


def join(nodes: Sequence[RedisNode], password: str) -> None:
    """Assign the slots, connect the masters and wait until all of them agree. Raises StackError."""
    clients = [_client(node, password) for node in nodes]
    try:
        for number, client in enumerate(clients):
            if _info(client)["cluster_slots_assigned"] == "0":
                _ask(client, "CLUSTER SET-CONFIG-EPOCH", str(number + 1))
                _ask(client, "CLUSTER ADDSLOTSRANGE", *map(str, _slots_of(number, len(nodes))))
        for node in nodes[1:]:
            _ask(clients[0], "CLUSTER MEET", HOST, str(node.port), str(node.bus_port))
        if not wait_until(lambda: all(_is_complete(client, len(nodes)) for client in clients), SETTLE_SECONDS):
            raise StackError(f"the Redis Cluster is not complete after {SETTLE_SECONDS:.0f} s: {[_info(client) for client in clients]}")
    except RedisError as error:
        raise StackError(f"the Redis masters cannot be joined: {error}") from error
    finally:
        for client in clients:
            client.close()


def takes_orders(node: RedisNode, password: str) -> bool:
    """Whether a restarted master is part of its cluster again."""
    client = _client(node, password)
    try:
        return _info(client)["cluster_state"] == "ok"
    except RedisError:
        return False
    finally:
        client.close()


def _is_complete(client: "Redis", masters: int) -> bool:
    info = _info(client)
    return (info["cluster_state"], info["cluster_slots_assigned"], info["cluster_size"]) == ("ok", str(SLOTS), str(masters))


def _slots_of(number: int, masters: int) -> tuple[int, int]:
    """The first and the last slot of a master."""
    return SLOTS * number // masters, SLOTS * (number + 1) // masters - 1


def _client(node: RedisNode, password: str) -> "Redis":
    return Redis(host=HOST, port=node.port, password=password, socket_timeout=TIMEOUT_SECONDS)


def _info(client: "Redis") -> dict[str, str]:
    answer = _ask(client, "CLUSTER INFO")
    if isinstance(answer, dict):
        return {str(name): str(value) for name, value in answer.items()}
    text = answer.decode() if isinstance(answer, bytes) else str(answer)
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _ask(client: Any, *words: str) -> Any:
    return client.execute_command(*words)
