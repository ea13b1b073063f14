"""The storefront's settings, read once from the environment."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from flashsale_core import credentials
from flashsale_core.errors import SettingsError
from flashsale_core.keys import INSTALLATION_DEFAULT, SHARDS_DEFAULT
from flashsale_core.settings import Environment
from flashsale_core.tls import with_certificates
from flashsale_redis import checked_url
from flashsale_storefront.links import Links, link, origin
from flashsale_storefront.ordering import Ordering, ordering_of

PORT_DEFAULT = 8003


@dataclass(frozen=True, slots=True)
class Demo:
    """A simulated sign-in and payment, so that a demo needs no shop."""

    gateway_url: str
    webhook_secret: str


@dataclass(frozen=True, slots=True)
class Settings:
    host: str
    """FLASHSALE_HOST: the address to listen on."""
    port: int
    """FLASHSALE_STOREFRONT_PORT: the port to listen on."""
    redis_url: str
    """REDIS_URL: the Redis with the sales; the storefront only reads it."""
    redis_timeout_seconds: float
    """FLASHSALE_REDIS_TIMEOUT_SECONDS: how long one Redis command may take."""
    installation: str
    """FLASHSALE_INSTALLATION: the name of the installation; a Redis of another one is shown as recovering."""
    shards: int
    """FLASHSALE_SHARDS: the number of shards; it must not change while there is data."""
    links: Links
    """FLASHSALE_STOREFRONT_API_URL, _SIGN_IN_URL and _PAY_URL: where the page sends orders and buyers; see links.py."""
    ordering: Ordering
    """FLASHSALE_IDENTITY: the gateway's, by which the page knows who can order on it. Unset: whoever clicks."""
    shop_name: str
    """FLASHSALE_STOREFRONT_SHOP_NAME: the name at the top of the page."""
    demo: Demo | None
    """FLASHSALE_STOREFRONT_DEMO: a simulated sign-in and payment; refused unless FLASHSALE_HOST is a loopback address."""
    refresh_ms: int
    """FLASHSALE_STOREFRONT_REFRESH_MS: how often the watched sales are read."""
    stale_seconds: float
    """FLASHSALE_STOREFRONT_STALE_SECONDS: a sale that was not read for this long is shown as recovering."""
    watch_seconds: float
    """FLASHSALE_STOREFRONT_WATCH_SECONDS: a sale that nobody asked for in this time is no longer read."""
    sales_max: int
    """FLASHSALE_STOREFRONT_SALES_MAX: the most sales that are watched at once; for further ones the answer is 503."""
    streams_max: int
    """FLASHSALE_STOREFRONT_STREAMS_MAX: the most event streams at once; further pages poll. 0: all pages poll."""
    streams_per_address_max: int
    """FLASHSALE_STOREFRONT_STREAMS_PER_ADDRESS_MAX: the same for the streams of one client address."""
    keepalive_seconds: float
    """FLASHSALE_STOREFRONT_KEEPALIVE_SECONDS: how often each stream is told the time, so that both sides notice a dead connection."""
    trusted_proxies: tuple[str, ...]
    """FLASHSALE_STOREFRONT_TRUSTED_PROXIES: addresses and networks, with commas between, whose X-Forwarded-For names the client."""
    connections_max: int
    """FLASHSALE_CONNECTIONS_MAX: the most client connections at once; further ones get 503."""
    head_timeout_seconds: float
    """FLASHSALE_HEAD_TIMEOUT_SECONDS: how long the head of a request may take to arrive."""
    body_timeout_seconds: float
    """FLASHSALE_BODY_TIMEOUT_SECONDS: how long the body of a simulated payment may take to arrive."""
    keep_alive_seconds: float
    """FLASHSALE_KEEP_ALIVE_SECONDS: how long an idle connection is kept."""
    write_timeout_seconds: float
    """FLASHSALE_WRITE_TIMEOUT_SECONDS: how long a client may leave an answer unread."""
    probe_host: str
    """FLASHSALE_PROBE_HOST: the address that serves /metrics, /healthz and /readyz."""
    probe_port: int
    """FLASHSALE_PROBE_PORT: the port that serves /metrics, /healthz and /readyz."""
    shutdown_timeout_seconds: int
    """FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS: how long running requests may take to finish after SIGTERM; streams end at once."""
    log_level: str
    """FLASHSALE_LOG_LEVEL: DEBUG, INFO, WARNING or ERROR."""


def read_settings(environment: Environment | None = None) -> Settings:
    """Raises SettingsError naming the variable that is missing or wrong."""
    env = environment or Environment()
    host = env.text("FLASHSALE_HOST", "0.0.0.0")  # noqa: S104 - a pod listens on all its addresses
    demo = _demo(env, host)
    refresh_ms = env.integer("FLASHSALE_STOREFRONT_REFRESH_MS", 1000, least=50, most=60_000)
    return Settings(
        host=host,
        port=env.integer("FLASHSALE_STOREFRONT_PORT", PORT_DEFAULT, most=65535),
        redis_url=with_certificates(checked_url(env.text("REDIS_URL")), env),
        redis_timeout_seconds=env.number("FLASHSALE_REDIS_TIMEOUT_SECONDS", 3, least=0.05, most=60),
        installation=env.text("FLASHSALE_INSTALLATION", INSTALLATION_DEFAULT),
        shards=env.integer("FLASHSALE_SHARDS", SHARDS_DEFAULT, least=1, most=4096),
        links=_links(env),
        ordering=ordering_of(env.optional("FLASHSALE_IDENTITY")) if demo is None else Ordering.ANYBODY,
        shop_name=env.text("FLASHSALE_STOREFRONT_SHOP_NAME", "Flash sale"),
        demo=demo,
        refresh_ms=refresh_ms,
        stale_seconds=_stale_seconds(env, refresh_ms),
        watch_seconds=env.number("FLASHSALE_STOREFRONT_WATCH_SECONDS", 60, least=1, most=3600),
        sales_max=env.integer("FLASHSALE_STOREFRONT_SALES_MAX", 1000, least=1, most=20_000),
        streams_max=env.integer("FLASHSALE_STOREFRONT_STREAMS_MAX", 5000, most=100_000),
        streams_per_address_max=env.integer("FLASHSALE_STOREFRONT_STREAMS_PER_ADDRESS_MAX", 500, least=1, most=100_000),
        keepalive_seconds=env.number("FLASHSALE_STOREFRONT_KEEPALIVE_SECONDS", 15, least=0.1, most=60),
        trusted_proxies=_networks(env, "FLASHSALE_STOREFRONT_TRUSTED_PROXIES"),
        connections_max=env.integer("FLASHSALE_CONNECTIONS_MAX", 20_000, least=1),
        head_timeout_seconds=env.number("FLASHSALE_HEAD_TIMEOUT_SECONDS", 10, least=0.1, most=300),
        body_timeout_seconds=env.number("FLASHSALE_BODY_TIMEOUT_SECONDS", 10, least=0.1, most=300),
        keep_alive_seconds=env.number("FLASHSALE_KEEP_ALIVE_SECONDS", 75, least=0.1, most=3600),
        write_timeout_seconds=env.number("FLASHSALE_WRITE_TIMEOUT_SECONDS", 10, least=0.1, most=300),
        probe_host=env.text("FLASHSALE_PROBE_HOST", "0.0.0.0"),  # noqa: S104 - a pod listens on all its addresses
        probe_port=env.integer("FLASHSALE_PROBE_PORT", 9107, most=65535),
        shutdown_timeout_seconds=env.integer("FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS", 20, least=1, most=600),
        log_level=env.log_level("FLASHSALE_LOG_LEVEL"),
    )


def _links(env: Environment) -> Links:
    return Links(
        origin(env.optional("FLASHSALE_STOREFRONT_API_URL"), "FLASHSALE_STOREFRONT_API_URL"),
        link(env.optional("FLASHSALE_STOREFRONT_SIGN_IN_URL"), "FLASHSALE_STOREFRONT_SIGN_IN_URL", "{sale}"),
        link(env.optional("FLASHSALE_STOREFRONT_PAY_URL"), "FLASHSALE_STOREFRONT_PAY_URL", "{orderId}"),
    )


def _stale_seconds(env: Environment, refresh_ms: int) -> float:
    seconds = env.number("FLASHSALE_STOREFRONT_STALE_SECONDS", 5, least=0.1, most=300)
    if seconds * 1000 <= refresh_ms:
        raise SettingsError("FLASHSALE_STOREFRONT_STALE_SECONDS must be longer than FLASHSALE_STOREFRONT_REFRESH_MS")
    return seconds


def _demo(env: Environment, host: str) -> Demo | None:
    if not env.flag("FLASHSALE_STOREFRONT_DEMO", default=False):
        return None
    if not _is_loopback(host):
        raise SettingsError("FLASHSALE_STOREFRONT_DEMO pays for everybody who asks; set FLASHSALE_HOST to 127.0.0.1, or leave it out")
    secrets = credentials.webhook_secrets(env.text("FLASHSALE_WEBHOOK_SECRET"), "FLASHSALE_WEBHOOK_SECRET")
    return Demo(origin(env.text("FLASHSALE_URL"), "FLASHSALE_URL"), secrets[0])


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _networks(env: Environment, name: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in env.optional(name).split(",") if part.strip())
    for part in names:
        try:
            ip_network(part)
        except ValueError as error:
            raise SettingsError(f"{name} must be addresses and networks with commas between, such as 10.0.0.0/8: {error}") from None
    return names
