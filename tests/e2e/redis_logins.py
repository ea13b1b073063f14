"""The logins of replicas and Sentinels in a release with values-production.yaml, and how docs/rotation.md replaces their passwords."""

import time
from collections.abc import Mapping
from secrets import token_hex

from tests.e2e import rotation
from tests.e2e.kube import Namespace

SECRET = "shop-redis"
USERS = ("replica", "sentinel")
REDIS = [f"flashsale-redis-{number}:6379" for number in range(3)]
SENTINELS = [f"flashsale-redis-{number}:26379" for number in range(3)]
ADDRESSES_OF_USERS = {("replica", address) for address in REDIS} | {("sentinel", address) for address in (*REDIS, *SENTINELS)}
TLS = ("--tls", "--cacert", "/tls/ca/ca.crt", "--cert", "/tls/client/tls.crt", "--key", "/tls/client/tls.key")


def rotate_logins(shop: Namespace) -> tuple[float, Mapping[str, str], Mapping[str, str]]:
    """Replace the passwords of both users; returns (the seconds it took, the old ones, the new ones)."""
    begun = time.monotonic()
    old = {user: shop.secret(SECRET, user) for user in USERS}
    new = {user: token_hex(16) for user in USERS}
    steps: tuple[Mapping[str, str | None], ...] = (
        {f"{user}.next": new[user] for user in USERS},
        new | {f"{user}.previous": old[user] for user in USERS} | dict.fromkeys(f"{user}.next" for user in USERS),
        dict.fromkeys(f"{user}.previous" for user in USERS),
    )
    for values in steps:
        rotation.patch(shop, SECRET, values)
        rotation.load(shop, "redis")
    return time.monotonic() - begun, old, new


def accepting(shop: Namespace, passwords: Mapping[str, str]) -> set[tuple[str, str]]:
    """(user, address) of the servers and Sentinels that accept the passwords."""
    attempts = {(user, address): [*_client(user, passwords[user], address), "ping"] for user, address in ADDRESSES_OF_USERS}
    return rotation.accepting(shop, "redis", attempts)


def refused(shop: Namespace) -> int:
    """How many logins all servers and Sentinels have refused since they started."""
    password = shop.secret(SECRET, "sentinel")
    commands = [" ".join([*_client("sentinel", password, address), "info", "stats"]) for address in (*REDIS, *SENTINELS)]
    answers = shop.execute("redis", "sh", "-c", "\n".join(commands)).split()
    counts = [int(answer.partition(":")[2]) for answer in answers if answer.startswith("acl_access_denied_auth:")]
    assert len(counts) == len(commands), answers
    return sum(counts)


def _client(user: str, password: str, address: str) -> list[str]:
    """The words of a client in a pod of Redis, which has the certificates."""
    host, _, port = address.partition(":")
    return ["env", f"REDISCLI_AUTH={password}", "valkey-cli", *TLS, "-h", host, "-p", port, "--user", user, "--no-auth-warning"]
