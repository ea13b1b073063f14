"""The passwords of replicas and Sentinels are replaced as docs/rotation.md says, with the chart's own scripts and real servers."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex

import pytest
from redis.exceptions import RedisError

from flashsale_local_stack import wait_until
from tests.chart.redis_pods import PODS, RedisPods, missing, redis_pods

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")
LOADED, LOGGED_IN = "loaded the users of the Secret", "log in with the passwords of the Secret"
ROTATED = ("replica", "sentinel")
WRITE_EVERY_SECONDS = 0.02
JOIN_TIMEOUT_SECONDS = FAILOVER_TIMEOUT_SECONDS = 30


def test_replicas_and_sentinels_get_new_passwords_without_a_failover() -> None:
    """Nothing is refused meanwhile, and every connection that is opened afterwards uses the new ones."""
    with redis_pods() as pods:
        old, new = {name: pods.secret[name] for name in ROTATED}, {name: token_hex(16) for name in ROTATED}
        before, syncs = pods.newest_failover(), pods.syncs(0)
        with writes(pods) as refused:
            rotate(pods, old, new)
            time.sleep(1)
        assert refused == []
        assert (pods.newest_failover(), pods.syncs(0)) == (before, syncs), "a replica connected again, or the master was replaced"
        break_every_connection(pods)
        assert pods.refused_logins() == 0, "something still logs in with an old password"
        assert [value for name in ROTATED for value in pods.accepts(name, old[name])] == [False] * 9
        assert [value for name in ROTATED for value in pods.accepts(name, new[name])] == [True] * 9


def rotate(pods: RedisPods, old: dict[str, str], new: dict[str, str]) -> None:
    """The pods load each step one after the other, as kubelets do, so that every mixture is there for a moment."""
    steps: tuple[tuple[dict[str, str], str], ...] = (
        ({f"{name}.next": new[name] for name in ROTATED}, LOADED),
        ({name: new[name] for name in ROTATED} | {f"{name}.previous": old[name] for name in ROTATED}, LOGGED_IN),
        ({}, LOADED),
    )
    for changed, line in steps:
        kept = {key: value for key, value in pods.secret.items() if not key.endswith((".next", ".previous"))}
        pods.secret = kept | changed
        for number in PODS:
            pods.load_secret(number, line)


def break_every_connection(pods: RedisPods) -> None:
    """Close those of replicas and Sentinels, restart a Sentinel, kill the master, and have it come back."""
    for number in PODS:
        with pods.server(number, "sentinel") as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "replica")
            client.execute_command("CLIENT", "KILL", "USER", "sentinel", "SKIPME", "yes")
    pods.wait_until_complete()
    pods.kill_container(0, "sentinel")
    pods.start_container(0, "sentinel")
    pods.wait_until_complete()
    epoch, master = pods.newest_failover()
    pods.kill_container(master, "redis")
    assert wait_until(lambda: pods.newest_failover()[0] > epoch, FAILOVER_TIMEOUT_SECONDS), "no replica became the master"
    pods.start_container(master, "redis")
    pods.wait_until_complete()


@contextmanager
def writes(pods: RedisPods) -> Iterator[list[str]]:
    """Write to the master as a gateway does, on a connection that stays and on new ones; yields what was refused."""
    refused: list[str] = []
    ended = threading.Event()

    def write() -> None:
        with pods.server(0) as kept:
            for number in itertools.count():
                if ended.wait(WRITE_EVERY_SECONDS):
                    return
                try:
                    kept.hset("fs:{sale}:order", str(number), "held")
                    with pods.server(0) as opened:
                        opened.hset("fs:{sale}:order", str(number), "paid")
                except RedisError as error:
                    refused.append(f"{number}: {error!r}")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield refused
    finally:
        ended.set()
        thread.join(JOIN_TIMEOUT_SECONDS)
