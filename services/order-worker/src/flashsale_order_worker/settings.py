"""The order-worker's settings, read once from the environment."""

from dataclasses import dataclass

from flashsale_core import credentials
from flashsale_core.broker_urls import broker_url
from flashsale_core.keys import INSTALLATION_DEFAULT
from flashsale_core.settings import Environment
from flashsale_core.tls import with_certificates

STATEMENT_CACHE_DEFAULT = 100


@dataclass(frozen=True, slots=True)
class Settings:
    amqp_url: str
    """AMQP_URL: the RabbitMQ to consume from.

    FLASHSALE_AMQP_HOSTS: further nodes of it, HOST:PORT with commas between; FLASHSALE_AMQP_CONNECT_TIMEOUT_SECONDS: how long a node may
    take to open a connection before the next one is tried.
    """
    database_url: str
    """DATABASE_URL: the Postgres that holds the ledger."""
    installation: str
    """FLASHSALE_INSTALLATION: the name of the installation; a ledger of another one is refused."""
    statement_cache: int
    """FLASHSALE_DATABASE_STATEMENT_CACHE: most prepared statements a connection keeps; use 0 behind a pooler in transaction mode."""
    probe_host: str
    """FLASHSALE_PROBE_HOST: the address that serves /metrics, /healthz and /readyz."""
    probe_port: int
    """FLASHSALE_PROBE_PORT: the port that serves /metrics, /healthz and /readyz."""
    batch_messages: int
    """FLASHSALE_ORDER_WORKER_BATCH_MESSAGES: most messages in one transaction; one message carries up to 256 orders."""
    batch_bytes_max: int
    """FLASHSALE_ORDER_WORKER_BATCH_BYTES_MAX: once the bodies of a batch reach this size, it takes no further message."""
    gather_ms: int
    """FLASHSALE_ORDER_WORKER_GATHER_MS: how long a batch waits for more messages after its first.

    A transaction costs broker, worker and Postgres some milliseconds of CPU time, whether it has one message or ten.
    """
    amqp_timeout_seconds: float
    """FLASHSALE_ORDER_WORKER_AMQP_TIMEOUT_SECONDS: how long opening or closing a session, parking and acknowledging may take."""
    statement_timeout_seconds: float
    """FLASHSALE_ORDER_WORKER_STATEMENT_TIMEOUT_SECONDS: how long one statement may take before the batch is retried.

    It must be shorter than four times the keeper's FLASHSALE_KEEPER_HOLES_SECONDS, which the chart checks.
    """
    retry_seconds: float
    """FLASHSALE_ORDER_WORKER_RETRY_SECONDS: pause before a batch is retried while Postgres is away."""
    refunds_interval_seconds: float
    """FLASHSALE_ORDER_WORKER_REFUNDS_INTERVAL_SECONDS: pause between two counts of the refunds that are due."""
    shutdown_timeout_seconds: float
    """FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS: how long the running batch may take to finish after SIGTERM."""
    log_level: str
    """FLASHSALE_LOG_LEVEL: DEBUG, INFO, WARNING or ERROR."""


def read_settings(environment: Environment | None = None) -> Settings:
    """Raises SettingsError naming the variable that is missing or wrong."""
    env = environment or Environment()
    return Settings(
        amqp_url=broker_url(env.text("AMQP_URL"), env),
        database_url=with_certificates(credentials.database_url(env.text("DATABASE_URL")), env),
        installation=env.text("FLASHSALE_INSTALLATION", INSTALLATION_DEFAULT),
        statement_cache=env.integer("FLASHSALE_DATABASE_STATEMENT_CACHE", STATEMENT_CACHE_DEFAULT, most=10_000),
        probe_host=env.text("FLASHSALE_PROBE_HOST", "0.0.0.0"),  # noqa: S104 - a pod listens on all its addresses
        probe_port=env.integer("FLASHSALE_PROBE_PORT", 9101, most=65535),
        batch_messages=env.integer("FLASHSALE_ORDER_WORKER_BATCH_MESSAGES", 128, least=1, most=10_000),
        batch_bytes_max=env.integer("FLASHSALE_ORDER_WORKER_BATCH_BYTES_MAX", 1_000_000, least=1),
        gather_ms=env.integer("FLASHSALE_ORDER_WORKER_GATHER_MS", 25, most=10_000),
        amqp_timeout_seconds=env.number("FLASHSALE_ORDER_WORKER_AMQP_TIMEOUT_SECONDS", 10, least=0.1, most=300),
        statement_timeout_seconds=env.number("FLASHSALE_ORDER_WORKER_STATEMENT_TIMEOUT_SECONDS", 30, least=0.1, most=600),
        retry_seconds=env.number("FLASHSALE_ORDER_WORKER_RETRY_SECONDS", 1, least=0.01, most=60),
        refunds_interval_seconds=env.number("FLASHSALE_ORDER_WORKER_REFUNDS_INTERVAL_SECONDS", 15, least=0.1, most=3600),
        shutdown_timeout_seconds=env.number("FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS", 20, least=1, most=600),
        log_level=env.log_level("FLASHSALE_LOG_LEVEL"),
    )
