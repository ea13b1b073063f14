"""Each part can do what it needs and nothing else."""

import pytest

from tests.e2e.kube import Namespace, run

OPERATOR = {
    "flashsales.flashsale.dev": {"get", "list", "watch", "patch"},
    "flashsales.flashsale.dev/status": {"patch"},
    "events": {"create"},
}


def granted(shop: Namespace, account: str) -> dict[str, set[str]]:
    """What a service account may do in the namespace beyond what every account may."""

    def table(name: str) -> dict[str, set[str]]:
        text = run("kubectl", "auth", "can-i", "--list", "-n", shop.name, f"--as=system:serviceaccount:{shop.name}:{name}")
        rows = [line for line in text.splitlines()[1:] if line.strip() and not line.startswith(" ")]
        return {row.split()[0]: set(row[row.rindex("[") + 1 : row.rindex("]")].split()) for row in rows}

    everybody = table("default")
    found = {resource: verbs - everybody.get(resource, set()) for resource, verbs in table(account).items()}
    return {resource: verbs for resource, verbs in found.items() if verbs}


def test_the_operator_may_do_this_and_no_more(shop: Namespace) -> None:
    assert granted(shop, "flashsale-operator") == OPERATOR


def test_the_services_may_do_nothing_in_the_cluster(shop: Namespace) -> None:
    assert granted(shop, "flashsale") == {}
    for component in ("gateway", "order-worker", "timeout-worker", "redis", "rabbitmq", "postgresql"):
        assert all(pod["spec"]["automountServiceAccountToken"] is False for pod in shop.pods(component))


@pytest.mark.parametrize("user", ["gateway", "timeout-worker", "operator", "audit", "probe"])
def test_a_redis_user_has_its_commands_and_keys_only(shop: Namespace, user: str) -> None:
    assert shop.redis("PING", user=user) == "PONG"
    for words in (
        ("FLUSHALL",),
        ("CONFIG", "SET", "save", ""),
        ("KEYS", "*"),
        ("ACL", "LIST"),
        ("SHUTDOWN",),
        ("HGETALL", "other"),
        ("EVAL", "return redis.call('get', 'other')", "0"),
    ):
        assert "no permissions to" in shop.redis(*words, user=user).lower(), words


def test_nobody_is_let_in_without_a_name(shop: Namespace) -> None:
    answer = shop.kubectl("exec", "flashsale-redis-0", "-c", "redis", "--", "env", "-u", "REDISCLI_AUTH", "valkey-cli", "PING", check=False)
    assert "NOAUTH" in answer


DECLARE = """
import asyncio, os, sys, aio_pika
async def attempt(what):
    connection = await aio_pika.connect(os.environ["AMQP_URL"])
    async with connection:
        channel = await connection.channel()
        try:
            await what(channel)
        except Exception as error:
            return type(error).__name__, str(error)
        return "allowed", ""
async def main():
    tries = {
        "declare": lambda c: c.declare_queue("mine", durable=True),
        "delete": lambda c: c.queue_delete("orders"),
        "exchange": lambda c: c.declare_exchange("mine"),
        "consume": lambda c: consume(c),
    }
    for name, what in tries.items():
        print(name, *(await attempt(what)))
async def consume(channel):
    queue = await channel.get_queue("unrouted", ensure=False)
    await queue.consume(print)
asyncio.run(main())
"""


@pytest.mark.parametrize("component", ["gateway", "order-worker", "timeout-worker"])
def test_a_broker_user_declares_and_deletes_nothing(shop: Namespace, component: str) -> None:
    pod = shop.pods(component)[0]["metadata"]["name"]
    lines = shop.kubectl("exec", pod, "--", "python", "-c", DECLARE).splitlines()
    assert [line.split()[0] for line in lines] == ["declare", "delete", "exchange", "consume"]
    assert all("ACCESS_REFUSED" in line or "AccessRefused" in line for line in lines), lines
