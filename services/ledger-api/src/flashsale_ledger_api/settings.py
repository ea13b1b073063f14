"""The ledger-api's settings, read once from the environment."""

from dataclasses import dataclass

from flashsale_core import credentials
from flashsale_core.admin_keys import read_admin_keys
from flashsale_core.api_keys import ApiKey
from flashsale_core.keys import INSTALLATION_DEFAULT
from flashsale_core.settings import Environment
from flashsale_core.tls import with_certificates

PORT_DEFAULT = 8002


@dataclass(frozen=True, slots=True)
class Settings:
    host: str
    """FLASHSALE_HOST: the address to listen on."""
    port: int
    """FLASHSALE_LEDGER_API_PORT: the port to listen on."""
    database_url: str
    """DATABASE_URL: the Postgres that holds the ledger."""
    admin_keys: tuple[ApiKey, ...]
    """FLASHSALE_ADMIN_KEYS and FLASHSALE_ADMIN_TOKEN: whose requests are accepted; one of them must be set."""
    installation: str
    """FLASHSALE_INSTALLATION: the name of the installation; a ledger of another one is refused."""
    statement_cache: int
    """FLASHSALE_DATABASE_STATEMENT_CACHE: most prepared statements a connection keeps; use 0 behind a pooler in transaction mode."""
    statement_timeout_seconds: float
    """FLASHSALE_LEDGER_API_STATEMENT_TIMEOUT_SECONDS: how long one statement, or the wait for a connection, may take."""
    connections_max: int
    """FLASHSALE_LEDGER_API_CONNECTIONS_MAX: the most connections to Postgres."""
    requests_max: int
    """FLASHSALE_LEDGER_API_REQUESTS_MAX: the most client connections at once; further ones get 503."""
    body_bytes_max: int
    """FLASHSALE_BODY_BYTES_MAX: the largest request body."""
    body_timeout_seconds: float
    """FLASHSALE_BODY_TIMEOUT_SECONDS: how long a request body may take to arrive."""
    probe_host: str
    """FLASHSALE_PROBE_HOST: the address that serves /metrics, /healthz and /readyz."""
    probe_port: int
    """FLASHSALE_PROBE_PORT: the port that serves /metrics, /healthz and /readyz."""
    shutdown_timeout_seconds: float
    """FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS: how long running requests may take to finish after SIGTERM."""
    log_level: str
    """FLASHSALE_LOG_LEVEL: DEBUG, INFO, WARNING or ERROR."""


def read_settings(environment: Environment | None = None) -> Settings:
    """Raises SettingsError naming the variable that is missing or wrong."""
    env = environment or Environment()
    return Settings(
        host=env.text("FLASHSALE_HOST", "0.0.0.0"),  # noqa: S104 - a pod listens on all its addresses
        port=env.integer("FLASHSALE_LEDGER_API_PORT", PORT_DEFAULT, most=65535),
        database_url=with_certificates(credentials.database_url(env.text("DATABASE_URL")), env),
        admin_keys=read_admin_keys(env),
        installation=env.text("FLASHSALE_INSTALLATION", INSTALLATION_DEFAULT),
        statement_cache=env.integer("FLASHSALE_DATABASE_STATEMENT_CACHE", 100, most=10_000),
        statement_timeout_seconds=env.number("FLASHSALE_LEDGER_API_STATEMENT_TIMEOUT_SECONDS", 10, least=0.1, most=600),
        connections_max=env.integer("FLASHSALE_LEDGER_API_CONNECTIONS_MAX", 4, least=1, most=100),
        requests_max=env.integer("FLASHSALE_LEDGER_API_REQUESTS_MAX", 64, least=1, most=10_000),
        body_bytes_max=env.integer("FLASHSALE_BODY_BYTES_MAX", 16_384, least=256),
        body_timeout_seconds=env.number("FLASHSALE_BODY_TIMEOUT_SECONDS", 10, least=0.1, most=300),
        probe_host=env.text("FLASHSALE_PROBE_HOST", "0.0.0.0"),  # noqa: S104 - a pod listens on all its addresses
        probe_port=env.integer("FLASHSALE_PROBE_PORT", 9105, most=65535),
        shutdown_timeout_seconds=env.number("FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS", 20, least=1, most=600),
        log_level=env.log_level("FLASHSALE_LOG_LEVEL"),
    )
