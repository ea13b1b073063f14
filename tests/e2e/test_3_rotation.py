"""Every password, token and secret of a release is replaced while a crowd orders, as docs/rotation.md says."""

import json
import shlex
import time
from secrets import token_hex

from tests.e2e import rotation
from tests.e2e.crowd import REST, Crowd, wait_until_sold_out
from tests.e2e.kube import Namespace, flash_sale, last_json, psql, redis_client, report, until
from tests.e2e.rotation import (
    CREDENTIALS,
    IDENTITY,
    LEDGER_API,
    LISTS,
    ORDER_IDS,
    OWNER,
    RABBITMQ,
    REDIS,
    ROLES,
    STOREFRONT,
    USERS_OF_REDIS,
)

STOCK = 12_000


def test_every_secret_is_replaced_while_a_crowd_orders(shop: Namespace) -> None:
    """No order is refused for longer than a second, although each order waits for RabbitMQ, and the old values end.

    Buyers prove who they are by service keys and buyer tokens, and the shop's backend changes to the new ones between two rollouts.
    A request that is repeated after each step is the same order, whatever the key of order ids.
    All services are restarted twice, so this is the test of a rollout under load as well.
    """
    for name, stock in (("rotated", STOCK), ("rotated-small", 100)):
        shop.apply(flash_sale(name, stock, paymentWindowSeconds=900, durability="confirmed"))
        until(lambda name=name: shop.ready(name), 20, f"{name} is Ready")  # type: ignore[misc]
    rotation.patch(shop, CREDENTIALS, {"admin-keys": f"ops:{token_hex(16)}"})
    old = rotation.read(shop)
    new = rotation.other(old)
    key, new_key = rotation.order_id_keys(shop)
    crowd = Crowd(shop, "rotated").start(buyers_at_the_end=REST + 2000)
    begun = time.monotonic()
    accept_both(shop, old, new)
    rotation.patch(shop, CREDENTIALS, {ORDER_IDS: rotation.both(key, new_key)})
    rotation.restart(shop)
    (refused_old, order), (refused_new, repeated) = ask(shop, old), ask(shop, new)
    assert order is not None
    assert (refused_old, refused_new, repeated) == (set(), set(), order)
    crowd.replace({value: new[name][key] for name, keys in old.items() for key, value in keys.items()})
    use_new(shop, old, new)
    rotation.patch(shop, CREDENTIALS, {ORDER_IDS: rotation.both(new_key, key)})
    rotation.restart(shop)
    for name in USERS_OF_REDIS:
        rotation.patch(shop, name, {f"{key}.previous": None for key in old[name]})
    rotation.load(shop, "redis")
    seconds = time.monotonic() - begun
    crowd.wait_for_order()
    stock = crowd.leave(REST)
    result = crowd.stop()
    report("every secret replaced under load, with two rollouts", seconds=f"{seconds:.1f}", **result.outcomes)
    assert result.outcomes == {"accepted": result.accepted}, "an order was refused"
    assert ask(shop, old) == ({key for name in LISTS for key in old[name]}, None)
    assert ask(shop, new) == (set(), order)
    assert logins(shop, old) == set()
    assert logins(shop, new) == {(name, key) for name in SERVERS for key in new[name]} - NOT_ASKED
    wait_until_sold_out(shop, "rotated", stock)


def accept_both(shop: Namespace, old: rotation.Values, new: rotation.Values) -> None:
    """The servers and the gateways accept the new values as well, or have them already where no buyer waits."""
    shop.postgres(f"alter role flashsale password '{new[OWNER]['password']}'")
    shop.postgres(f"alter role postgres password '{new[ROLES]['postgres']}'", "postgres", "postgres")
    for name in (OWNER, ROLES, LEDGER_API, RABBITMQ):
        rotation.patch(shop, name, new[name])
    for name in USERS_OF_REDIS:
        rotation.patch(shop, name, {f"{key}.next": value for key, value in new[name].items()})
    for name in LISTS:
        rotation.patch(shop, name, {key: rotation.both(value, new[name][key]) for key, value in old[name].items()})
    rotation.load(shop, "redis", "rabbitmq")
    # The migration Job sets the passwords of the roles.
    shop.install(release_command="upgrade")


def use_new(shop: Namespace, old: rotation.Values, new: rotation.Values) -> None:
    """Services have only the new values; Redis accepts the old passwords until they are removed."""
    for name in USERS_OF_REDIS:
        previous = {f"{key}.previous": value for key, value in old[name].items()}
        rotation.patch(shop, name, new[name] | previous | {f"{key}.next": None for key in old[name]})
    for name in LISTS:
        rotation.patch(shop, name, new[name])
    rotation.load(shop, "redis")


ASK = """
import json, os, sys, time
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from flashsale_core.buyer_token import BuyerTokens
from flashsale_core.webhook_signature import webhook_signature

shop, admin, now = os.environ["FLASHSALE_URL"], os.environ["FLASHSALE_ADMIN_URL"], int(time.time())

def send(url, document, headers, method="POST"):
    body = json.dumps(document).encode()
    for _ in range(30):
        try:
            with urlopen(Request(url, body, {"content-type": "application/json"} | headers, method=method), timeout=10) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            if error.code != 503:
                return error.code, {}
        # A disk that stands still for seconds: a patient client asks again.
        time.sleep(1)
    return 503, {}

def administer(token):
    return send(f"{admin}/admin/stock", {"productId": "rotated-ask", "stock": 1}, {"authorization": f"Bearer {token}"})[0]

def order(user, token, request):
    wish = {"userId": user, "productId": "rotated-small", "quantity": 1, "requestId": request}
    return send(f"{shop}/order", wish, {"authorization": f"Bearer {token}"})

def open_session(key):
    status, session = send(f"{shop}/session", {"userId": "ann"}, {"authorization": f"Bearer {key}"})
    return order("ann", session["token"], os.urandom(8).hex())[0] if status == 200 else status

def pay(secret):
    body = {"type": "customer.created"}
    signature = webhook_signature(secret, "m", now, json.dumps(body).encode())
    return send(f"{shop}/payments/webhook", body, {"webhook-id": "m", "webhook-timestamp": str(now), "webhook-signature": signature})[0]

values = json.loads(sys.argv[1])
service_key = values["service-keys"].partition(":")[2]
print(json.dumps({"order": order("cid", service_key, "same-each-time")[1].get("orderId"), "statuses": {
    "admin-token": administer(values["admin-token"]),
    "admin-keys": administer(values["admin-keys"].partition(":")[2]),
    "webhook-secret": pay(values["webhook-secret"]),
    "service-keys": open_session(service_key),
    "buyer-token-key": order("bob", BuyerTokens([values["buyer-token-key"].encode()]).sign("bob", now + 60), os.urandom(8).hex())[0],
}}))
"""


def ask(shop: Namespace, values: rotation.Values) -> tuple[set[str], str | None]:
    """The keys of gateways whose values they refuse with 401, and the order of a request that is the same each time."""
    words = ["python", "-c", ASK, json.dumps(values[CREDENTIALS] | values[IDENTITY])]
    answers = last_json(shop.cli(shlex.join(words)).logs)
    statuses = answers["statuses"]
    assert set(statuses.values()) <= {200, 201, 401}, answers
    return {key for key, status in statuses.items() if status == 401}, answers["order"]


SERVERS = (REDIS, STOREFRONT, RABBITMQ, ROLES, LEDGER_API, OWNER)
NOT_ASKED = {(RABBITMQ, key) for key in rotation.KEYS[RABBITMQ][1:]}
"""`rabbitmqctl` takes seconds for each user."""


def logins(shop: Namespace, values: rotation.Values) -> set[tuple[str, str]]:
    """The Secrets and keys whose values the servers accept as passwords."""
    redis = {(name, user): [*redis_client(user, password), "ping"] for name in USERS_OF_REDIS for user, password in values[name].items()}
    roles = {
        (name, key): [*psql(ROLE_NAMES.get(key, f"flashsale_{key.replace('-', '_')}"), password), "select 'PONG'"]
        for name in (ROLES, LEDGER_API, OWNER)
        for key, password in values[name].items()
    }
    broker = {(RABBITMQ, "gateway"): ["rabbitmqctl", "--quiet", "authenticate_user", "gateway", values[RABBITMQ]["gateway"]]}
    return (
        rotation.accepting(shop, "redis", redis)
        | rotation.accepting(shop, "postgresql", roles)
        | rotation.accepting(shop, "rabbitmq", broker)
    )


ROLE_NAMES = {"password": "flashsale", "postgres": "postgres"}
"""The roles of the keys that belong to no service."""
