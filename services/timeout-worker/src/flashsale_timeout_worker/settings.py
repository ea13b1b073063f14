"""The timeout-worker's settings, read once from the environment."""

from dataclasses import dataclass
from pathlib import Path

from flashsale_core import topology
from flashsale_core.broker_urls import broker_url
from flashsale_core.keys import INSTALLATION_DEFAULT, SHARDS_DEFAULT
from flashsale_core.settings import Environment
from flashsale_core.tls import with_certificates
from flashsale_redis import checked_url


@dataclass(frozen=True, slots=True)
class Settings:
    amqp_url: str
    """AMQP_URL: the RabbitMQ to consume from.

    FLASHSALE_AMQP_HOSTS: further nodes of it, HOST:PORT with commas between; FLASHSALE_AMQP_CONNECT_TIMEOUT_SECONDS: how long a node may
    take to open a connection before the next one is tried.
    """
    redis_url: str
    """REDIS_URL: the Redis or Valkey that holds the sales."""
    lua_dir: Path
    """FLASHSALE_LUA_DIR: the folder of the Lua scripts."""
    shards: int
    """FLASHSALE_SHARDS: number of shards; fixed while data exists."""
    installation: str
    """FLASHSALE_INSTALLATION: the name of the installation; a Redis that has another name in its fence is refused."""
    payment_windows: tuple[int, ...]
    """FLASHSALE_PAYMENT_WINDOWS: the payment windows the broker has wait queues for, in seconds."""
    probe_host: str
    """FLASHSALE_PROBE_HOST: the address that serves /metrics, /healthz and /readyz."""
    probe_port: int
    """FLASHSALE_PROBE_PORT: the port that serves /metrics, /healthz and /readyz."""
    consume: bool
    """FLASHSALE_TIMEOUT_WORKER_CONSUME: whether holds are expired from the queue `payment.timeout`; the sweeper alone is enough."""
    sweep: bool
    """FLASHSALE_TIMEOUT_WORKER_SWEEP: whether sweeps expire overdue holds; the queue alone is enough while RabbitMQ loses no message."""
    sweep_interval_ms: int
    """FLASHSALE_TIMEOUT_WORKER_SWEEP_INTERVAL_MS: pause between two sweeps."""
    sweep_grace_ms: int
    """FLASHSALE_TIMEOUT_WORKER_SWEEP_GRACE_MS: how long after its deadline a hold is left to the queue before the sweeper expires it."""
    sweep_pages_max: int
    """FLASHSALE_TIMEOUT_WORKER_SWEEP_PAGES_MAX: most pages of 512 deadlines per shard and sweep."""
    sale_retention_seconds: int
    """FLASHSALE_SALE_RETENTION_SECONDS: how long a closed or ended sale of /admin without live holds stays in Redis; 0 for ever."""
    batch_messages: int
    """FLASHSALE_TIMEOUT_WORKER_BATCH_MESSAGES: most messages gathered before their orders are expired."""
    gather_ms: int
    """FLASHSALE_TIMEOUT_WORKER_GATHER_MS: how long a batch waits for more messages after its first."""
    amqp_timeout_seconds: float
    """FLASHSALE_TIMEOUT_WORKER_AMQP_TIMEOUT_SECONDS: how long opening or closing a session, parking and acknowledging may take."""
    probe_interval_seconds: float
    """FLASHSALE_TIMEOUT_WORKER_PROBE_INTERVAL_SECONDS: pause between two probes through the wait queues."""
    probe_timeout_seconds: float
    """FLASHSALE_TIMEOUT_WORKER_PROBE_TIMEOUT_SECONDS: how long a probe through an empty wait queue may take."""
    redis_timeout_seconds: float
    """FLASHSALE_REDIS_TIMEOUT_SECONDS: how long one Redis command may take."""
    retry_seconds: float
    """FLASHSALE_TIMEOUT_WORKER_RETRY_SECONDS: pause before a batch or a sweep is retried while Redis is away."""
    shutdown_timeout_seconds: float
    """FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS: how long the running batch may take to finish after SIGTERM."""
    log_level: str
    """FLASHSALE_LOG_LEVEL: DEBUG, INFO, WARNING or ERROR."""


def read_settings(environment: Environment | None = None) -> Settings:
    """Raises SettingsError naming the variable that is missing or wrong."""
    env = environment or Environment()
    return Settings(
        amqp_url=broker_url(env.text("AMQP_URL"), env),
        redis_url=with_certificates(checked_url(env.text("REDIS_URL")), env),
        lua_dir=env.directory("FLASHSALE_LUA_DIR", "lua"),
        shards=env.integer("FLASHSALE_SHARDS", SHARDS_DEFAULT, least=1, most=4096),
        installation=env.text("FLASHSALE_INSTALLATION", INSTALLATION_DEFAULT),
        payment_windows=env.integers("FLASHSALE_PAYMENT_WINDOWS", topology.WINDOWS_DEFAULT),
        probe_host=env.text("FLASHSALE_PROBE_HOST", "0.0.0.0"),  # noqa: S104 - a pod listens on all its addresses
        probe_port=env.integer("FLASHSALE_PROBE_PORT", 9102, most=65535),
        consume=env.flag("FLASHSALE_TIMEOUT_WORKER_CONSUME", default=True),
        sweep=env.flag("FLASHSALE_TIMEOUT_WORKER_SWEEP", default=True),
        sweep_interval_ms=env.integer("FLASHSALE_TIMEOUT_WORKER_SWEEP_INTERVAL_MS", 500, least=10, most=60_000),
        sweep_grace_ms=env.integer("FLASHSALE_TIMEOUT_WORKER_SWEEP_GRACE_MS", 250, most=60_000),
        sweep_pages_max=env.integer("FLASHSALE_TIMEOUT_WORKER_SWEEP_PAGES_MAX", 200, least=1, most=10_000),
        sale_retention_seconds=env.integer("FLASHSALE_SALE_RETENTION_SECONDS", 7 * 24 * 3600, most=10 * 366 * 24 * 3600),
        batch_messages=env.integer("FLASHSALE_TIMEOUT_WORKER_BATCH_MESSAGES", 64, least=1, most=10_000),
        gather_ms=env.integer("FLASHSALE_TIMEOUT_WORKER_GATHER_MS", 10, most=10_000),
        amqp_timeout_seconds=env.number("FLASHSALE_TIMEOUT_WORKER_AMQP_TIMEOUT_SECONDS", 10, least=0.1, most=300),
        probe_interval_seconds=env.number("FLASHSALE_TIMEOUT_WORKER_PROBE_INTERVAL_SECONDS", 30, least=0.1, most=3600),
        probe_timeout_seconds=env.number("FLASHSALE_TIMEOUT_WORKER_PROBE_TIMEOUT_SECONDS", 5, least=0.1, most=300),
        redis_timeout_seconds=env.number("FLASHSALE_REDIS_TIMEOUT_SECONDS", 3, least=0.05, most=60),
        retry_seconds=env.number("FLASHSALE_TIMEOUT_WORKER_RETRY_SECONDS", 0.5, least=0.01, most=60),
        shutdown_timeout_seconds=env.number("FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS", 20, least=1, most=600),
        log_level=env.log_level("FLASHSALE_LOG_LEVEL"),
    )
