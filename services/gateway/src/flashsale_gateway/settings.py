"""The gateway's settings, read once from the environment."""

from dataclasses import dataclass
from pathlib import Path

from flashsale_core import credentials, topology
from flashsale_core.admin_keys import read_admin_keys
from flashsale_core.api_keys import ApiKey
from flashsale_core.broker_urls import broker_url
from flashsale_core.errors import SettingsError
from flashsale_core.keys import INSTALLATION_DEFAULT, SHARDS_DEFAULT
from flashsale_core.origins import read_origins
from flashsale_core.settings import Environment
from flashsale_core.tls import with_certificates
from flashsale_gateway.identity_settings import IdentitySettings, read_identity
from flashsale_redis import checked_url

QUANTITY_MAX_DEFAULT = 100
ORDER_ID_KEYS_MAX = 2


@dataclass(frozen=True, slots=True)
class Settings:
    host: str
    """FLASHSALE_HOST: the address to listen on."""
    port: int
    """FLASHSALE_PORT: the port to listen on."""
    admin_port: int
    """FLASHSALE_ADMIN_PORT: the port of /admin and /metrics, which the other port then does not serve; 0 for one port with everything."""
    redis_url: str
    """REDIS_URL: the Redis or Valkey that holds the sales."""
    amqp_url: str
    """AMQP_URL: the RabbitMQ the relay publishes to.

    FLASHSALE_AMQP_HOSTS: further nodes of it, HOST:PORT with commas between; FLASHSALE_AMQP_CONNECT_TIMEOUT_SECONDS: how long a node may
    take to open a connection before the next one is tried.
    """
    lua_dir: Path
    """FLASHSALE_LUA_DIR: the folder of the Lua scripts."""
    shards: int
    """FLASHSALE_SHARDS: the number of shards; it must not change while there is data."""
    installation: str
    """FLASHSALE_INSTALLATION: the name of the installation; a Redis that has another name in its fence is refused."""
    payment_windows: tuple[int, ...]
    """FLASHSALE_PAYMENT_WINDOWS: the payment windows that the broker has wait queues for, in seconds."""
    order_id_keys: tuple[bytes, ...]
    """FLASHSALE_ORDER_ID_KEY: the secret of order ids, at least 16 bytes; the same in every gateway.

    Two with one blank between while it is replaced: the first makes the ids of orders, and orders are also found by the second.
    """
    admin_keys: tuple[ApiKey, ...]
    """FLASHSALE_ADMIN_KEYS: the bearer keys for /admin: name:key, with commas between; FLASHSALE_ADMIN_TOKEN: the keys named admin."""
    identity: IdentitySettings
    """Who proves who a buyer is."""
    cors_origins: tuple[str, ...]
    """FLASHSALE_CORS_ORIGINS: origins whose pages may call the API, such as https://shop.example, with commas between; default: none."""
    webhook_secrets: tuple[str, ...]
    """FLASHSALE_WEBHOOK_SECRET: the provider's Standard Webhooks secret: whsec_ and base64 of 24 to 64 bytes; several, as for tokens."""
    quantity_max: int
    """FLASHSALE_QUANTITY_MAX: the most units in one order."""
    connections_max: int
    """FLASHSALE_CONNECTIONS_MAX: the most client connections at once; further ones get 503."""
    head_bytes_max: int
    """FLASHSALE_HEAD_BYTES_MAX: the longest request head, which is path and headers."""
    head_timeout_seconds: float
    """FLASHSALE_HEAD_TIMEOUT_SECONDS: how long a request head may take to arrive, and how long a new connection may send nothing."""
    keep_alive_seconds: float
    """FLASHSALE_KEEP_ALIVE_SECONDS: how long a connection may be idle between two requests; longer than the load balancer's own limit."""
    body_bytes_max: int
    """FLASHSALE_BODY_BYTES_MAX: the largest request body."""
    body_timeout_seconds: float
    """FLASHSALE_BODY_TIMEOUT_SECONDS: how long a request body may take to arrive."""
    write_timeout_seconds: float
    """FLASHSALE_WRITE_TIMEOUT_SECONDS: how long a client may leave its answers unread before its connection is closed."""
    batch_max: int
    """FLASHSALE_BATCH_MAX: the most orders in one script call."""
    waiting_max: int
    """FLASHSALE_WAITING_MAX: the most requests that may wait for Redis at once; further ones get 503."""
    redis_timeout_seconds: float
    """FLASHSALE_REDIS_TIMEOUT_SECONDS: how long one script call may take before its outcome counts as unknown."""
    redis_connections_max: int
    """FLASHSALE_REDIS_CONNECTIONS_MAX: the most connections to Redis, or to each master of a cluster; relay and reads have others."""
    reads_max: int
    """FLASHSALE_READS_MAX: the most reads and cancellations in Redis at once; past it a few requests wait, and the others get 503."""
    sales_refresh_ms: int
    """FLASHSALE_SALES_REFRESH_MS: how old the sales in GET /sales and /metrics may be; each sale is read at most once in that time."""
    require_durable_redis: bool
    """FLASHSALE_REQUIRE_DURABLE_REDIS: not ready while Redis has no append-only file, answers before writing to disk, or may evict keys."""
    outbox_lag_limit_ms: int
    """FLASHSALE_OUTBOX_LAG_LIMIT_MS: orders get 503 while the oldest unpublished entry is older than this."""
    relay_in_flight_max: int
    """FLASHSALE_RELAY_IN_FLIGHT_MAX: the most unconfirmed messages at once."""
    relay_publish_timeout_seconds: float
    """FLASHSALE_RELAY_PUBLISH_TIMEOUT_SECONDS: how long a confirm may take, and the opening or closing of a session."""
    confirm_timeout_seconds: float
    """FLASHSALE_CONFIRM_TIMEOUT_SECONDS: how long after the start of its script call a confirm may arrive; then the request gets 503."""
    relay_block_ms: int
    """FLASHSALE_RELAY_BLOCK_MS: how long one read of the shared outbox waits for new entries."""
    relay_linger_ms: int
    """FLASHSALE_RELAY_LINGER_MS: the pause after a round with entries, so that the next round has more of them."""
    relay_forget_ms: int
    """FLASHSALE_RELAY_FORGET_MS: the pause between two deletions of confirmed entries."""
    relay_claim_idle_ms: int
    """FLASHSALE_RELAY_CLAIM_IDLE_MS: how long another gateway may hold an entry unpublished before it is taken over."""
    shutdown_timeout_seconds: int
    """FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS: how long accepted requests may take to finish after SIGTERM."""
    leave_timeout_seconds: float
    """FLASHSALE_LEAVE_TIMEOUT_SECONDS: how long the gateway may take after that to publish what is left and to leave its servers."""
    log_level: str
    """FLASHSALE_LOG_LEVEL: DEBUG, INFO, WARNING or ERROR."""

    @property
    def relay_read_seconds(self) -> float:
        """How long Redis may take to answer the relay, whose reads block."""
        return self.redis_timeout_seconds + self.relay_block_ms / 1000


def read_settings(environment: Environment | None = None) -> Settings:
    """Raises SettingsError, which names the variable that is missing or wrong."""
    env = environment or Environment()
    port, admin_port = _ports(env)
    return Settings(
        host=env.text("FLASHSALE_HOST", "0.0.0.0"),  # noqa: S104 - a pod listens on all its addresses
        port=port,
        admin_port=admin_port,
        redis_url=with_certificates(checked_url(env.text("REDIS_URL")), env),
        amqp_url=broker_url(env.text("AMQP_URL"), env),
        lua_dir=env.directory("FLASHSALE_LUA_DIR", "lua"),
        shards=env.integer("FLASHSALE_SHARDS", SHARDS_DEFAULT, least=1, most=4096),
        installation=env.text("FLASHSALE_INSTALLATION", INSTALLATION_DEFAULT),
        payment_windows=env.integers("FLASHSALE_PAYMENT_WINDOWS", topology.WINDOWS_DEFAULT),
        order_id_keys=_order_id_keys(env),
        admin_keys=read_admin_keys(env),
        identity=read_identity(env),
        cors_origins=read_origins(env.optional("FLASHSALE_CORS_ORIGINS"), "FLASHSALE_CORS_ORIGINS"),
        webhook_secrets=credentials.webhook_secrets(env.text("FLASHSALE_WEBHOOK_SECRET")),
        quantity_max=env.integer("FLASHSALE_QUANTITY_MAX", QUANTITY_MAX_DEFAULT, least=1, most=1_000_000),
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
        confirm_timeout_seconds=env.number("FLASHSALE_CONFIRM_TIMEOUT_SECONDS", 3.0, least=0.1, most=4),
        relay_block_ms=env.integer("FLASHSALE_RELAY_BLOCK_MS", 1000, least=10, most=10_000),
        relay_linger_ms=env.integer("FLASHSALE_RELAY_LINGER_MS", 25, most=10_000),
        relay_forget_ms=env.integer("FLASHSALE_RELAY_FORGET_MS", 100, least=1, most=10_000),
        relay_claim_idle_ms=env.integer("FLASHSALE_RELAY_CLAIM_IDLE_MS", 15_000, least=100),
        shutdown_timeout_seconds=env.integer("FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS", 20, least=1, most=600),
        leave_timeout_seconds=env.number("FLASHSALE_LEAVE_TIMEOUT_SECONDS", 5, least=0.5, most=60),
        log_level=env.log_level("FLASHSALE_LOG_LEVEL"),
    )


def _order_id_keys(env: Environment) -> tuple[bytes, ...]:
    name = "FLASHSALE_ORDER_ID_KEY"
    keys = credentials.tokens(env.text(name), name, 16, "openssl rand -hex 32")
    if len(keys) > ORDER_ID_KEYS_MAX:
        raise SettingsError(
            f"{name} has {len(keys)} keys; an order is looked for by at most {ORDER_ID_KEYS_MAX}: the new one and the one before"
        )
    return tuple(key.encode() for key in keys)


def _ports(env: Environment) -> tuple[int, int]:
    port = env.integer("FLASHSALE_PORT", 8000, least=1, most=65535)
    admin_port = env.integer("FLASHSALE_ADMIN_PORT", 0, most=65535)
    if admin_port == port:
        raise SettingsError(f"FLASHSALE_ADMIN_PORT is {admin_port}, as FLASHSALE_PORT; choose another port, or leave it unset for one port")
    return port, admin_port
