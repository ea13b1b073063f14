"""The console's settings, read once from the environment."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from flashsale_core import credentials
from flashsale_core.errors import SettingsError
from flashsale_core.keys import INSTALLATION_DEFAULT, SHARDS_DEFAULT
from flashsale_core.settings import Environment
from flashsale_core.tls import with_certificates
from flashsale_redis import checked_url

PORT_DEFAULT = 8004
ORIGINS_DEFAULT = f"http://127.0.0.1:{PORT_DEFAULT},http://localhost:{PORT_DEFAULT}"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
METRICS_URLS_MAX = 8
_KEY_COMMAND = "openssl rand -hex 32"
_ORIGIN = re.compile(r"https?://(\[[0-9A-Fa-f:]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Settings:
    host: str
    """FLASHSALE_HOST: the address to listen on."""
    port: int
    """FLASHSALE_CONSOLE_PORT: the port to listen on."""
    origins: tuple[str, ...]
    """FLASHSALE_CONSOLE_ORIGINS: where browsers open the console, such as https://console.example; only their pages may change anything.

    Several with commas between. Without TLS only loopback is accepted, as through `kubectl port-forward`.
    """
    users_file: Path
    """FLASHSALE_CONSOLE_USERS_FILE: the people who may log in, one line of `flashsale console user` each; changes take effect at once."""
    session_keys: tuple[str, ...]
    """FLASHSALE_CONSOLE_SESSION_KEY: signs sessions. Two with one blank between: the first signs, both are accepted."""
    session_seconds: float
    """FLASHSALE_CONSOLE_SESSION_SECONDS: how long a session lasts, whatever is done in it."""
    idle_seconds: float
    """FLASHSALE_CONSOLE_IDLE_SECONDS: how long a session lasts without a page being opened."""
    gateway_url: str
    """FLASHSALE_ADMIN_URL: the gateway's port that serves /admin, by which sales are changed."""
    ledger_api_url: str
    """FLASHSALE_LEDGER_API_URL: the ledger-api, by which refunds are settled."""
    admin_key: str
    """FLASHSALE_CONSOLE_ADMIN_KEY: the console's own admin key; gateway and ledger-api have it in FLASHSALE_ADMIN_KEYS."""
    metrics_urls: tuple[str, ...]
    """FLASHSALE_CONSOLE_METRICS_URLS: /metrics of keeper and workers, with commas between: audit findings and parked messages.

    Every address of a name is asked, so a headless Service names all replicas.
    """
    redis_url: str
    """REDIS_URL: the Redis or Valkey that holds the sales; it is only read."""
    database_url: str
    """DATABASE_URL: the Postgres that holds the ledger; it is only read."""
    shards: int
    """FLASHSALE_SHARDS: number of shards."""
    installation: str
    """FLASHSALE_INSTALLATION: the name of the installation; a ledger of another one is refused."""
    statement_cache: int
    """FLASHSALE_DATABASE_STATEMENT_CACHE: most prepared statements a connection keeps; use 0 behind a pooler in transaction mode."""
    statement_timeout_seconds: float
    """FLASHSALE_CONSOLE_STATEMENT_TIMEOUT_SECONDS: how long one statement, or the wait for a connection, may take."""
    redis_timeout_seconds: float
    """FLASHSALE_REDIS_TIMEOUT_SECONDS: how long one Redis command may take."""
    engine_timeout_seconds: float
    """FLASHSALE_CONSOLE_ENGINE_TIMEOUT_SECONDS: how long the gateway, the ledger-api or a service's /metrics may take to answer."""
    connections_max: int
    """FLASHSALE_CONSOLE_CONNECTIONS_MAX: the most connections to Postgres, and to each Redis server."""
    requests_max: int
    """FLASHSALE_CONSOLE_REQUESTS_MAX: the most client connections at once; further ones get 503."""
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
        port=env.integer("FLASHSALE_CONSOLE_PORT", PORT_DEFAULT, most=65535),
        origins=_origins(env.text("FLASHSALE_CONSOLE_ORIGINS", ORIGINS_DEFAULT)),
        users_file=Path(env.text("FLASHSALE_CONSOLE_USERS_FILE")),
        session_keys=credentials.tokens(env.text("FLASHSALE_CONSOLE_SESSION_KEY"), "FLASHSALE_CONSOLE_SESSION_KEY", 32, _KEY_COMMAND),
        session_seconds=env.number("FLASHSALE_CONSOLE_SESSION_SECONDS", 43_200, least=60, most=7 * 86_400),
        idle_seconds=env.number("FLASHSALE_CONSOLE_IDLE_SECONDS", 3600, least=60, most=86_400),
        gateway_url=_url(env.text("FLASHSALE_ADMIN_URL"), "FLASHSALE_ADMIN_URL"),
        ledger_api_url=_url(env.text("FLASHSALE_LEDGER_API_URL"), "FLASHSALE_LEDGER_API_URL"),
        admin_key=credentials.token(env.text("FLASHSALE_CONSOLE_ADMIN_KEY"), "FLASHSALE_CONSOLE_ADMIN_KEY", 16, "openssl rand -hex 24"),
        metrics_urls=_metrics_urls(env.optional("FLASHSALE_CONSOLE_METRICS_URLS")),
        redis_url=with_certificates(checked_url(env.text("REDIS_URL")), env),
        database_url=with_certificates(credentials.database_url(env.text("DATABASE_URL")), env),
        shards=env.integer("FLASHSALE_SHARDS", SHARDS_DEFAULT, least=1, most=4096),
        installation=env.text("FLASHSALE_INSTALLATION", INSTALLATION_DEFAULT),
        statement_cache=env.integer("FLASHSALE_DATABASE_STATEMENT_CACHE", 100, most=10_000),
        statement_timeout_seconds=env.number("FLASHSALE_CONSOLE_STATEMENT_TIMEOUT_SECONDS", 5, least=0.1, most=600),
        redis_timeout_seconds=env.number("FLASHSALE_REDIS_TIMEOUT_SECONDS", 5, least=0.1, most=60),
        engine_timeout_seconds=env.number("FLASHSALE_CONSOLE_ENGINE_TIMEOUT_SECONDS", 10, least=0.1, most=60),
        connections_max=env.integer("FLASHSALE_CONSOLE_CONNECTIONS_MAX", 4, least=1, most=100),
        requests_max=env.integer("FLASHSALE_CONSOLE_REQUESTS_MAX", 64, least=1, most=10_000),
        body_bytes_max=env.integer("FLASHSALE_BODY_BYTES_MAX", 16_384, least=256),
        body_timeout_seconds=env.number("FLASHSALE_BODY_TIMEOUT_SECONDS", 10, least=0.1, most=300),
        probe_host=env.text("FLASHSALE_PROBE_HOST", "0.0.0.0"),  # noqa: S104 - a pod listens on all its addresses
        probe_port=env.integer("FLASHSALE_PROBE_PORT", 9108, most=65535),
        shutdown_timeout_seconds=env.number("FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS", 20, least=1, most=600),
        log_level=env.log_level("FLASHSALE_LOG_LEVEL"),
    )


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip().lower() for part in text.split(","))
    for origin in origins:
        if _ORIGIN.fullmatch(origin) is None:
            fix = "use https://HOST or https://HOST:PORT, without a path"
            raise SettingsError(f"FLASHSALE_CONSOLE_ORIGINS has {origin[:80]!r}; {fix}")
        if origin.startswith("http:") and urlsplit(origin).hostname not in LOOPBACK:
            raise SettingsError(
                f"FLASHSALE_CONSOLE_ORIGINS has {origin!r}: passwords and sessions would cross a network without TLS; use https"
            )
    return origins


def _metrics_urls(text: str) -> tuple[str, ...]:
    urls = tuple(_url(part.strip(), "FLASHSALE_CONSOLE_METRICS_URLS") for part in text.split(",")) if text else ()
    if len(urls) > METRICS_URLS_MAX:
        raise SettingsError(f"FLASHSALE_CONSOLE_METRICS_URLS has {len(urls)} URLs; at most {METRICS_URLS_MAX} are read")
    return urls


def _url(text: str, variable: str) -> str:
    return credentials.server_url(text, variable, ("http", "https"), "http://HOST:PORT").rstrip("/")
