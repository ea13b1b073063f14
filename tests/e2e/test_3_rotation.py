"""Every password, token and secret of a release is replaced while a crowd orders, as docs/rotation.md says."""

import time

from tests.e2e import rotation
from tests.e2e.crowd import Crowd, wait_until_sold_out
from tests.e2e.kube import Namespace, flash_sale, report, until
from tests.e2e.rotation import CREDENTIALS, LEDGER_API, OWNER, RABBITMQ, REDIS, ROLES, STOREFRONT, USERS_OF_REDIS

STOCK = 12_000


def test_every_secret_is_replaced_while_a_crowd_orders(shop: Namespace) -> None:
    """No order is refused for longer than a second, although each order waits for RabbitMQ, and the old values end.

    All services are restarted twice, so this is the test of a rollout under load as well.
    """
    for name, stock in (("rotated", STOCK), ("rotated-small", 10)):
        shop.apply(flash_sale(name, stock, paymentWindowSeconds=900, durability="confirmed"))
        until(lambda name=name: shop.ready(name), 20, f"{name} is Ready")  # type: ignore[misc]
    old = rotation.read(shop)
    new = rotation.other(old)
    crowd = Crowd(shop, "rotated").start(buyers_at_the_end=STOCK + 2000)
    begun = time.monotonic()
    accept_both(shop, old, new)
    rotation.restart(shop)
    assert accepted(shop, old, new) == {"old token": True, "new token": True, "old webhook": True, "new webhook": True}
    use_new(shop, old, new)
    rotation.restart(shop)
    for name in USERS_OF_REDIS:
        rotation.patch(shop, name, {f"{key}.previous": None for key in old[name]})
    rotation.load(shop, "redis")
    seconds = time.monotonic() - begun
    crowd.wait_for_order()
    result = crowd.stop()
    report("every secret replaced under load, with two rollouts", seconds=f"{seconds:.1f}", **result.outcomes)
    assert result.outcomes == {"accepted": result.accepted}, "an order was refused"
    assert accepted(shop, old, new) == {"old token": False, "new token": True, "old webhook": False, "new webhook": True}
    servers = (REDIS, STOREFRONT, RABBITMQ, ROLES, OWNER)
    assert logins(shop, old) == dict.fromkeys(servers, False)
    assert logins(shop, new) == dict.fromkeys(servers, True)
    wait_until_sold_out(shop, "rotated", STOCK)


def accept_both(shop: Namespace, old: rotation.Values, new: rotation.Values) -> None:
    """The servers and the gateways accept the new values as well, or have them already where no buyer waits."""
    shop.postgres(f"alter role flashsale password '{new[OWNER]['password']}'")
    rotation.patch(shop, OWNER, new[OWNER])
    rotation.patch(shop, ROLES, new[ROLES])
    rotation.patch(shop, LEDGER_API, new[LEDGER_API])
    rotation.patch(shop, RABBITMQ, new[RABBITMQ])
    for name in USERS_OF_REDIS:
        rotation.patch(shop, name, {f"{key}.next": value for key, value in new[name].items()})
    rotation.patch(shop, CREDENTIALS, {key: f"{value} {new[CREDENTIALS][key]}" for key, value in old[CREDENTIALS].items()})
    rotation.load(shop, "redis", "rabbitmq")
    # The migration Job sets the passwords of the roles.
    shop.install(release_command="upgrade")


def use_new(shop: Namespace, old: rotation.Values, new: rotation.Values) -> None:
    """Services have only the new values; Redis accepts the old passwords until they are removed."""
    for name in USERS_OF_REDIS:
        previous = {f"{key}.previous": value for key, value in old[name].items()}
        rotation.patch(shop, name, new[name] | previous | {f"{key}.next": None for key in old[name]})
    rotation.patch(shop, CREDENTIALS, new[CREDENTIALS])
    rotation.load(shop, "redis")


ASK = """accepts() { name=$1; shift; "$@" >/dev/null 2>&1 && echo "accepted: $name" || echo "refused: $name"; }
flashsale load --product rotated-small --buyers 1 --orders-out /tmp/orders >/dev/null
"""
TOKEN = 'accepts "{name} token" flashsale sale set rotated-token --stock 1 --token {value}\n'
WEBHOOK = 'accepts "{name} webhook" flashsale pay --result failed --orders-in /tmp/orders --secret {value}\n'


def accepted(shop: Namespace, old: rotation.Values, new: rotation.Values) -> dict[str, bool]:
    """Whether the gateways accept a token and a signature of each value."""
    lines = [
        text.format(name=name, value=values[CREDENTIALS][key])
        for key, text in (("admin-token", TOKEN), ("webhook-secret", WEBHOOK))
        for name, values in (("old", old), ("new", new))
    ]
    logs = shop.cli("rotated-ask", ASK + "".join(lines)).logs
    answers = [line.split(": ", 1) for line in logs.splitlines() if line.startswith(("accepted: ", "refused: "))]
    return {name: answer == "accepted" for answer, name in answers}


def logins(shop: Namespace, values: rotation.Values) -> dict[str, bool]:
    """Whether the servers accept these passwords, by Secret; asked with one user of each."""
    broker = ["rabbitmqctl", "--quiet", "authenticate_user", "gateway", values[RABBITMQ]["gateway"]]
    return {
        **{name: "PONG" in _exec(shop, "redis", _ping(next(iter(values[name].items())))) for name in USERS_OF_REDIS},
        RABBITMQ: "Success" in _exec(shop, "rabbitmq", broker),
        ROLES: _exec(shop, "postgresql", _psql("flashsale_writer", values[ROLES]["writer"])) == "1",
        OWNER: _exec(shop, "postgresql", _psql("flashsale", values[OWNER]["password"])) == "1",
    }


def _ping(user: tuple[str, str]) -> list[str]:
    name, password = user
    return ["env", f"REDISCLI_AUTH={password}", "valkey-cli", "--user", name, "--no-auth-warning", "ping"]


def _psql(role: str, password: str) -> list[str]:
    return ["env", f"PGPASSWORD={password}", "psql", "-h", "127.0.0.1", "-U", role, "-At", "flashsale", "-c", "select 1"]


def _exec(shop: Namespace, server: str, words: list[str]) -> str:
    return shop.kubectl("exec", f"flashsale-{server}-0", "-c", server, "--", *words, check=False).strip()
