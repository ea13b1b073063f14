"""The gateway's settings, read once from the environment."""

from dataclasses import dataclass
from pathlib import Path

from flashsale_core import credentials, topology
from flashsale_core.keys import SHARDS_DEFAULT
from flashsale_core.settings import Environment
from flashsale_redis import checked_url


@dataclass(frozen=True, slots=True)
class Settings:
    host: str
    """FLASHSALE_HOST: the address to listen on."""
    port: int
    """FLASHSALE_PORT: the port to listen on."""
    redis_url: str
    """REDIS_URL: the Redis or Valkey that holds the sales."""
    amqp_url: str
    """AMQP_URL: the RabbitMQ the relay publishes to."""
    lua_dir: Path
    """FLASHSALE_LUA_DIR: the folder of the Lua scripts."""
    shards: int
    """FLASHSALE_SHARDS: number of shards; fixed while data exists."""
    payment_windows: tuple[int, ...]
    """FLASHSALE_PAYMENT_WINDOWS: the payment windows the broker has wait queues for, in seconds."""
    order_id_key: bytes
    """FLASHSALE_ORDER_ID_KEY: the secret of order ids, at least 16 bytes; the same in every gateway, fixed while data exists."""
    admin_token: str
    """FLASHSALE_ADMIN_TOKEN: the bearer token of /admin."""
    webhook_secret: str
    """FLASHSALE_WEBHOOK_SECRET: the Standard Webhooks secret shared with the payment provider: whsec_ and base64 of 24 to 64 bytes."""
    quantity_max: int
    """FLASHSALE_QUANTITY_MAX: most units in one order."""
    connections_max: int
    """FLASHSALE_CONNECTIONS_MAX: most connections of clients at once; past it 503."""
    head_bytes_max: int
    """FLASHSALE_HEAD_BYTES_MAX: longest request head, which is path and headers."""
    head_timeout_seconds: float
    """FLASHSALE_HEAD_TIMEOUT_SECONDS: how long a request head may take to arrive, and the first of a connection to begin."""
    keep_alive_seconds: float
    """FLASHSALE_KEEP_ALIVE_SECONDS: how long a connection may rest between two requests; longer than a load balancer in front keeps it."""
    body_bytes_max: int
    """FLASHSALE_BODY_BYTES_MAX: largest request body."""
    body_timeout_seconds: float
    """FLASHSALE_BODY_TIMEOUT_SECONDS: how long a request body may take to arrive."""
    write_timeout_seconds: float
    """FLASHSALE_WRITE_TIMEOUT_SECONDS: how long a client may read nothing of the answers it is owed before its connection ends."""
    batch_max: int
    """FLASHSALE_BATCH_MAX: most orders in one script call."""
    waiting_max: int
    """FLASHSALE_WAITING_MAX: most requests that may wait for Redis at once; past it 503."""
    redis_timeout_seconds: float
    """FLASHSALE_REDIS_TIMEOUT_SECONDS: how long one script call may take before its outcome counts as unknown."""
    redis_connections_max: int
    """FLASHSALE_REDIS_CONNECTIONS_MAX: connections to Redis, to each master of a cluster, besides those of relay and reads."""
    reads_max: int
    """FLASHSALE_READS_MAX: most reads and cancellations that ask Redis at once; past it a few wait, and the others get 503."""
    sales_refresh_ms: int
    """FLASHSALE_SALES_REFRESH_MS: how old what GET /sales and /metrics show of a sale may be; each is read at most once in that time."""
    require_durable_redis: bool
    """FLASHSALE_REQUIRE_DURABLE_REDIS: not ready while Redis has no append-only file, answers before it is on disk, or may evict keys."""
    outbox_lag_limit_ms: int
    """FLASHSALE_OUTBOX_LAG_LIMIT_MS: past this age of the oldest unpublished entry, orders get 503."""
    relay_in_flight_max: int
    """FLASHSALE_RELAY_IN_FLIGHT_MAX: most unconfirmed publishes at once."""
    relay_publish_timeout_seconds: float
    """FLASHSALE_RELAY_PUBLISH_TIMEOUT_SECONDS: how long a confirm, and opening or closing a session, may take."""
    relay_block_ms: int
    """FLASHSALE_RELAY_BLOCK_MS: how long one blocking read of the outbox waits."""
    relay_linger_ms: int
    """FLASHSALE_RELAY_LINGER_MS: pause after a round that found entries, so that the next finds more."""
    relay_forget_ms: int
    """FLASHSALE_RELAY_FORGET_MS: pause between two deletions of confirmed entries."""
    relay_claim_idle_ms: int
    """FLASHSALE_RELAY_CLAIM_IDLE_MS: entries another gateway has held this long without publishing are taken over."""
    shutdown_timeout_seconds: int
    """FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS: how long accepted requests may take to finish after SIGTERM."""
    log_level: str
    """FLASHSALE_LOG_LEVEL: DEBUG, INFO, WARNING or ERROR."""


def read_settings(environment: Environment | None = None) -> Settings:
    """Raises SettingsError naming the variable that is missing or wrong."""
    env = environment or Environment()
    return Settings(
        host=env.text("FLASHSALE_HOST", "0.0.0.0"),  # noqa: S104 - a pod listens on all its addresses
        port=env.integer("FLASHSALE_PORT", 8000, least=1, most=65535),
        redis_url=checked_url(env.text("REDIS_URL")),
        amqp_url=credentials.amqp_url(env.text("AMQP_URL")),
        lua_dir=env.directory("FLASHSALE_LUA_DIR", "lua"),
        shards=env.integer("FLASHSALE_SHARDS", SHARDS_DEFAULT, least=1, most=4096),
        payment_windows=env.integers("FLASHSALE_PAYMENT_WINDOWS", topology.WINDOWS_DEFAULT),
        order_id_key=credentials.token(env.text("FLASHSALE_ORDER_ID_KEY"), "FLASHSALE_ORDER_ID_KEY", 16, "openssl rand -hex 32").encode(),
        admin_token=credentials.token(env.text("FLASHSALE_ADMIN_TOKEN"), "FLASHSALE_ADMIN_TOKEN", 8, "openssl rand -hex 24"),
        webhook_secret=credentials.webhook_secret(env.text("FLASHSALE_WEBHOOK_SECRET")),
        quantity_max=env.integer("FLASHSALE_QUANTITY_MAX", 100, least=1, most=1_000_000),
        connections_max=env.integer("FLASHSALE_CONNECTIONS_MAX", 20_000, least=1),
        head_bytes_max=env.integer("FLASHSALE_HEAD_BYTES_MAX", 32_768, least=1024, most=1_048_576),
        head_timeout_seconds=env.number("FLASHSALE_HEAD_TIMEOUT_SECONDS", 10, least=0.1, most=300),
        keep_alive_seconds=env.number("FLASHSALE_KEEP_ALIVE_SECONDS", 75, least=0.1, most=3600),
        body_bytes_max=env.integer("FLASHSALE_BODY_BYTES_MAX", 16_384, least=256, most=1_048_576),
        body_timeout_seconds=env.number("FLASHSALE_BODY_TIMEOUT_SECONDS", 10, least=0.1, most=300),
        write_timeout_seconds=env.number("FLASHSALE_WRITE_TIMEOUT_SECONDS", 10, least=0.1, most=300),
        batch_max=env.integer("FLASHSALE_BATCH_MAX", 256, least=1, most=256),
        waiting_max=env.integer("FLASHSALE_WAITING_MAX", 20_000, least=1),
        redis_timeout_seconds=env.number("FLASHSALE_REDIS_TIMEOUT_SECONDS", 3.0, least=0.05, most=60),
        redis_connections_max=env.integer("FLASHSALE_REDIS_CONNECTIONS_MAX", 64, least=4, most=10_000),
        reads_max=env.integer("FLASHSALE_READS_MAX", 16, least=1, most=10_000),
        sales_refresh_ms=env.integer("FLASHSALE_SALES_REFRESH_MS", 1000, least=10, most=60_000),
        require_durable_redis=env.flag("FLASHSALE_REQUIRE_DURABLE_REDIS", default=True),
        outbox_lag_limit_ms=env.integer("FLASHSALE_OUTBOX_LAG_LIMIT_MS", 300_000, least=100),
        relay_in_flight_max=env.integer("FLASHSALE_RELAY_IN_FLIGHT_MAX", 256, least=1, most=1000),
        relay_publish_timeout_seconds=env.number("FLASHSALE_RELAY_PUBLISH_TIMEOUT_SECONDS", 10.0, least=0.1, most=300),
        relay_block_ms=env.integer("FLASHSALE_RELAY_BLOCK_MS", 1000, least=10, most=10_000),
        relay_linger_ms=env.integer("FLASHSALE_RELAY_LINGER_MS", 25, most=10_000),
        relay_forget_ms=env.integer("FLASHSALE_RELAY_FORGET_MS", 100, least=1, most=10_000),
        relay_claim_idle_ms=env.integer("FLASHSALE_RELAY_CLAIM_IDLE_MS", 15_000, least=100),
        shutdown_timeout_seconds=env.integer("FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS", 20, least=1, most=600),
        log_level=env.log_level("FLASHSALE_LOG_LEVEL"),
    )
