"""The faults that chaos can inject: what each kind may hit, for how long, and how often. Pure."""

from collections.abc import Mapping

import msgspec

SERVICES = ("gateway", "order-worker", "timeout-worker", "keeper")
SERVERS = ("redis", "rabbitmq", "postgres")
LOSSES = frozenset({"redis.lost_disk", "redis.old_volume", "redis.stale_promotion"})
"""Kinds that take writes away from Redis."""
LINKS = (*SERVERS, "gateway-2.redis", "gateway-2.rabbitmq")


class Fault(msgspec.Struct, frozen=True):
    number: int
    """From 1, over all rounds."""
    at_seconds: float
    """After the beginning of its round."""
    kind: str
    target: str
    """A service, a server, a link, or `service/point` for a crash."""
    lasts_seconds: float
    amount: int
    """By kind: milliseconds, bytes, which pass of a crash point, or whether a link loses what it kept."""


class Kind(msgspec.Struct, frozen=True):
    targets: tuple[str, ...]
    """Each is hit equally often."""
    lasts_seconds: tuple[float, float]
    amount: tuple[int, int] = (0, 0)
    weight: int = 1
    """How many faults of this kind there are among `sum of weights` faults."""


def _points(service: str, *points: str) -> tuple[str, ...]:
    return tuple(f"{service}/{point}" for point in points)


CRASHES = (
    *_points("gateway", "script.calling.reserve", "script.answered.reserve", "script.calling.settle", "script.answered.settle"),
    *_points("gateway", "script.answered.cancel", "script.answered.reclaim", "script.answered.prune_consumers"),
    *_points("gateway", "outbox.publishing", "outbox.confirmed", "outbox.deleting", "outbox.deleted", "outbox.moved"),
    *_points("gateway", "attestation.sending"),
    *_points("order-worker", "batch.received", "ledger.written", "ledger.committed", "batch.handled", "batch.acknowledged"),
    *_points("timeout-worker", "batch.received", "expiry.calling", "expiry.answered", "publication.confirmed", "batch.handled"),
    *_points("timeout-worker", "batch.acknowledged", "probe.published"),
    *_points("keeper", "script.calling.seal", "script.answered.seal", "script.answered.restore", "gateways.attested", "rebuild.verified"),
    *_points("keeper", "incarnation.adding", "incarnation.added", "incarnation.moved", "incarnation.closing", "incarnation.closed"),
    *_points("keeper", "incarnation.opening", "incarnation.opened", "marker.publishing", "marker.confirmed", "marker.received"),
)

KINDS: Mapping[str, Kind] = {
    "crash": Kind(CRASHES, (3.0, 5.0), (1, 3), weight=10),
    "kill": Kind((*SERVICES, "gateway-2"), (0.1, 2.0), weight=3),
    "pause": Kind((*SERVICES, "gateway-2", *SERVERS), (0.1, 4.0), weight=3),
    "restart": Kind((*SERVICES, "gateway-2"), (0.1, 1.0), weight=2),
    "net.delay": Kind(LINKS, (0.5, 3.0), (5, 500)),
    "net.drop_up": Kind(LINKS, (0.1, 3.0), (0, 1)),
    "net.drop_down": Kind(LINKS, (0.1, 3.0), (0, 1)),
    "net.cut": Kind(LINKS, (0.5, 2.0), (1, 20_000)),
    "net.reset": Kind(LINKS, (0.1, 1.0)),
    "net.blackhole": Kind(LINKS, (0.5, 3.0)),
    "server.kill": Kind(SERVERS, (0.1, 2.0)),
    "redis.lost_disk": Kind(("redis",), (0.1, 1.0)),
    "redis.old_volume": Kind(("redis",), (0.1, 1.0), (500, 5_000)),
    "redis.stale_promotion": Kind(("redis",), (0.5, 3.0), (50, 1_500)),
    # A failover takes a second to be noticed. When the keeper has waited, the old master refuses writes and confirms are over.
    "redis.split_brain": Kind(("redis",), (0.5, 4.0), (1_000, 2_500)),
    # Shorter than a confirm may take: the gateway waits for one when it dies.
    "node.lost": Kind(("gateway", "gateway-2"), (0.1, 1.0), (200, 800)),
    "redis.slow_fsync": Kind(("redis",), (0.5, 3.0), (5, 200)),
    "redis.full_disk": Kind(("redis",), (0.5, 2.0)),
    "clock.jump": Kind(("redis",), (0.5, 3.0), (-5_000, 5_000)),
}
