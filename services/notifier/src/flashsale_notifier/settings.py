"""The notifier's settings, read once from the environment."""

from dataclasses import dataclass

import msgspec

from flashsale_core import credentials
from flashsale_core.broker_urls import broker_url
from flashsale_core.errors import SettingsError
from flashsale_core.keys import INSTALLATION_DEFAULT
from flashsale_core.networks import Network
from flashsale_core.settings import Environment
from flashsale_core.shop_events import ENDPOINTS_MAX, endpoint_name, endpoint_url, event_types
from flashsale_core.tls import with_certificates
from flashsale_notifier.addresses import parse_networks
from flashsale_notifier.retries import RETRIES_SECONDS

ENDPOINTS = "FLASHSALE_NOTIFIER_ENDPOINTS"
SECRET_PREFIX = "FLASHSALE_NOTIFIER_SECRET_"  # noqa: S105 - the beginning of a variable's name


@dataclass(frozen=True, slots=True)
class NamedEndpoint:
    """An endpoint that the settings name, not `flashsale webhook add`."""

    name: str
    url: str
    types: tuple[str, ...]
    secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    amqp_url: str
    """AMQP_URL: the RabbitMQ to consume from.

    FLASHSALE_AMQP_HOSTS: further nodes of it, HOST:PORT with commas between; FLASHSALE_AMQP_CONNECT_TIMEOUT_SECONDS: how long a node may
    take to open a connection before the next one is tried.
    """
    database_url: str
    """DATABASE_URL: the Postgres that holds the ledger, with the events and the endpoints."""
    installation: str
    """FLASHSALE_INSTALLATION: the name of the installation; a ledger of another one is refused."""
    statement_cache: int
    """FLASHSALE_DATABASE_STATEMENT_CACHE: most prepared statements a connection keeps; use 0 behind a pooler in transaction mode."""
    probe_host: str
    """FLASHSALE_PROBE_HOST: the address that serves /metrics, /healthz and /readyz."""
    probe_port: int
    """FLASHSALE_PROBE_PORT: the port that serves /metrics, /healthz and /readyz."""
    endpoints: tuple[NamedEndpoint, ...]
    """FLASHSALE_NOTIFIER_ENDPOINTS: endpoints as JSON, [{"name", "url", "types"}]; the secret is FLASHSALE_NOTIFIER_SECRET_<NAME>."""
    allowed_networks: tuple[Network, ...]
    """FLASHSALE_NOTIFIER_ALLOWED_NETWORKS: networks besides the internet, with commas between, to which events may go, also by http."""
    with_reserved: bool
    """FLASHSALE_NOTIFIER_RESERVED: whether `order.reserved` is an event; its messages must be routed to the queue `shop.events`."""
    attempt_timeout_seconds: float
    """FLASHSALE_NOTIFIER_ATTEMPT_TIMEOUT_SECONDS: how long one attempt may take, name resolution and connection included."""
    retries_seconds: tuple[int, ...]
    """FLASHSALE_NOTIFIER_RETRY_SECONDS: pauses after failed attempts, with commas between; after the last one a delivery is given up."""
    disable_after_seconds: float
    """FLASHSALE_NOTIFIER_DISABLE_AFTER_SECONDS: an endpoint whose attempts all fail for this long is disabled.

    The time begins again after a fifth of it in which nothing was due or tried.
    """
    retention_seconds: float
    """FLASHSALE_NOTIFIER_RETENTION_SECONDS: how long events and attempts are kept, for the feed and for replays."""
    attempts_max: int
    """FLASHSALE_NOTIFIER_ATTEMPTS_MAX: about how many attempts are kept, each with up to 2 KiB of its answer; older ones are deleted."""
    batch_messages: int
    """FLASHSALE_NOTIFIER_BATCH_MESSAGES: most messages in one transaction."""
    gather_ms: int
    """FLASHSALE_NOTIFIER_GATHER_MS: how long a batch waits for more messages after its first."""
    amqp_timeout_seconds: float
    """FLASHSALE_NOTIFIER_AMQP_TIMEOUT_SECONDS: how long opening or closing a session, parking and acknowledging may take."""
    statement_timeout_seconds: float
    """FLASHSALE_NOTIFIER_STATEMENT_TIMEOUT_SECONDS: how long one statement may take."""
    retry_seconds: float
    """FLASHSALE_NOTIFIER_DATABASE_RETRY_SECONDS: pause before the next try while Postgres is away."""
    shutdown_timeout_seconds: float
    """FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS: how long the running batch and attempts may take to finish after SIGTERM."""
    log_level: str
    """FLASHSALE_LOG_LEVEL: DEBUG, INFO, WARNING or ERROR."""


class _Endpoint(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    url: str
    types: list[str] = msgspec.field(default_factory=list)


_decoder = msgspec.json.Decoder(list[_Endpoint])


def read_settings(environment: Environment | None = None) -> Settings:
    """Raises SettingsError naming the variable that is missing or wrong."""
    env = environment or Environment()
    allowed = parse_networks(env.optional("FLASHSALE_NOTIFIER_ALLOWED_NETWORKS"), "FLASHSALE_NOTIFIER_ALLOWED_NETWORKS")
    return Settings(
        amqp_url=broker_url(env.text("AMQP_URL"), env),
        database_url=with_certificates(credentials.database_url(env.text("DATABASE_URL")), env),
        installation=env.text("FLASHSALE_INSTALLATION", INSTALLATION_DEFAULT),
        statement_cache=env.integer("FLASHSALE_DATABASE_STATEMENT_CACHE", 100, most=10_000),
        probe_host=env.text("FLASHSALE_PROBE_HOST", "0.0.0.0"),  # noqa: S104 - a pod listens on all its addresses
        probe_port=env.integer("FLASHSALE_PROBE_PORT", 9106, most=65535),
        endpoints=_read_endpoints(env),
        allowed_networks=allowed,
        with_reserved=env.flag("FLASHSALE_NOTIFIER_RESERVED", default=False),
        attempt_timeout_seconds=env.number("FLASHSALE_NOTIFIER_ATTEMPT_TIMEOUT_SECONDS", 15, least=0.1, most=60),
        retries_seconds=env.integers("FLASHSALE_NOTIFIER_RETRY_SECONDS", RETRIES_SECONDS),
        disable_after_seconds=env.number("FLASHSALE_NOTIFIER_DISABLE_AFTER_SECONDS", 5 * 24 * 3600, least=1, most=30 * 24 * 3600),
        retention_seconds=env.number("FLASHSALE_NOTIFIER_RETENTION_SECONDS", 30 * 24 * 3600, least=60, most=366 * 24 * 3600),
        attempts_max=env.integer("FLASHSALE_NOTIFIER_ATTEMPTS_MAX", 500_000, least=1000, most=100_000_000),
        batch_messages=env.integer("FLASHSALE_NOTIFIER_BATCH_MESSAGES", 64, least=1, most=10_000),
        gather_ms=env.integer("FLASHSALE_NOTIFIER_GATHER_MS", 20, most=10_000),
        amqp_timeout_seconds=env.number("FLASHSALE_NOTIFIER_AMQP_TIMEOUT_SECONDS", 10, least=0.1, most=300),
        statement_timeout_seconds=env.number("FLASHSALE_NOTIFIER_STATEMENT_TIMEOUT_SECONDS", 30, least=0.1, most=600),
        retry_seconds=env.number("FLASHSALE_NOTIFIER_DATABASE_RETRY_SECONDS", 1, least=0.01, most=60),
        shutdown_timeout_seconds=env.number("FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS", 20, least=1, most=600),
        log_level=env.log_level("FLASHSALE_LOG_LEVEL"),
    )


def _read_endpoints(env: Environment) -> tuple[NamedEndpoint, ...]:
    try:
        entries = _decoder.decode(env.text(ENDPOINTS, "[]"))
    except msgspec.MsgspecError as error:
        raise SettingsError(f'{ENDPOINTS} must be JSON such as [{{"name": "shop", "url": "https://..."}}]: {error}') from None
    names = [entry.name for entry in entries]
    if len(set(names)) < len(names):
        raise SettingsError(f"{ENDPOINTS} has two endpoints of one name")
    if len(entries) > ENDPOINTS_MAX:
        raise SettingsError(f"{ENDPOINTS} has {len(entries)} endpoints; use at most {ENDPOINTS_MAX}")
    return tuple(_named(env, entry) for entry in entries)


def _named(env: Environment, entry: _Endpoint) -> NamedEndpoint:
    variable = SECRET_PREFIX + endpoint_name(entry.name, f"{ENDPOINTS}: name").upper().replace("-", "_")
    secrets = credentials.webhook_secrets(env.text(variable), variable)
    types = event_types(entry.types, f"{ENDPOINTS}: types of {entry.name}")
    return NamedEndpoint(entry.name, endpoint_url(entry.url, f"{ENDPOINTS}: url of {entry.name}"), types, secrets)
