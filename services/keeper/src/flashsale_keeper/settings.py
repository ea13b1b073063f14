"""The keeper's settings, read once from the environment."""

from dataclasses import dataclass
from pathlib import Path

from flashsale_core import credentials
from flashsale_core.broker_urls import broker_url
from flashsale_core.errors import SettingsError
from flashsale_core.keys import INSTALLATION_DEFAULT, SHARDS_DEFAULT
from flashsale_core.settings import Environment
from flashsale_core.tls import with_certificates
from flashsale_redis import checked_url

RESEAL_LEDGER, RESEAL_DISK = "ledger", "disk"


@dataclass(frozen=True, slots=True)
class Settings:
    amqp_url: str
    """AMQP_URL: the RabbitMQ whose queue `orders` is drained before a rebuild.

    FLASHSALE_AMQP_HOSTS: further nodes of it, HOST:PORT with commas between; FLASHSALE_AMQP_CONNECT_TIMEOUT_SECONDS: how long a node may
    take to open a connection before the next one is tried.
    """
    redis_url: str
    """REDIS_URL: the Redis or Valkey that holds the sales."""
    database_url: str
    """DATABASE_URL: the Postgres that holds the ledger."""
    lua_dir: Path
    """FLASHSALE_LUA_DIR: the folder of the Lua scripts."""
    shards: int
    """FLASHSALE_SHARDS: number of shards; fixed while data exists."""
    installation: str
    """FLASHSALE_INSTALLATION: the name of the installation; a ledger or a Redis of another name is refused."""
    reseal: str
    """FLASHSALE_RESEAL: who decides that a restarted Redis has everything: `ledger`, or `disk` for a single server while Postgres is away.

    The risk of `disk` is a disk that was replaced by an older copy: without the ledger, only gateways that are alive can tell.
    """
    poll_ms: int
    """FLASHSALE_KEEPER_POLL_MS: pause between two looks at Redis."""
    attest_seconds: float
    """FLASHSALE_KEEPER_ATTEST_SECONDS: how long gateways may be silent before the ledger alone decides.

    It must be longer than `confirm_timeout_seconds`: a later confirm may be of an entry that is too late.
    """
    confirm_timeout_seconds: float
    """FLASHSALE_CONFIRM_TIMEOUT_SECONDS: the limit that the gateways have; the keeper only compares it with its own."""
    drain_seconds: float
    """FLASHSALE_KEEPER_DRAIN_SECONDS: how long the queue may take to be drained before Redis is opened without it, in a new incarnation."""
    holes_seconds: float
    """FLASHSALE_KEEPER_HOLES_SECONDS: how long entries that the ledger lacks are waited for before they count as lost.

    Up to four times as long if an order-worker is slow to write a batch: that must be longer than its statement timeout.
    """
    workers_seconds: float
    """FLASHSALE_KEEPER_WORKERS_SECONDS: how long every order-worker may take to write what it has, if a gateway is silent or unknown.

    It must be longer than RabbitMQ needs to give the messages of a frozen worker to another one: three heartbeats, 6 s.
    """
    grace_seconds: int
    """FLASHSALE_KEEPER_GRACE_SECONDS: how long buyers have, at least, to pay a hold after a rebuild."""
    statement_cache: int
    """FLASHSALE_DATABASE_STATEMENT_CACHE: most prepared statements a connection keeps. The keeper needs a connection without a pooler."""
    statement_timeout_seconds: float
    """FLASHSALE_KEEPER_STATEMENT_TIMEOUT_SECONDS: how long one statement may take."""
    amqp_timeout_seconds: float
    """FLASHSALE_KEEPER_AMQP_TIMEOUT_SECONDS: how long opening or closing a session and sending a marker may take."""
    probe_host: str
    """FLASHSALE_PROBE_HOST: the address that serves /metrics, /healthz and /readyz."""
    probe_port: int
    """FLASHSALE_PROBE_PORT: the port that serves /metrics, /healthz and /readyz."""
    redis_timeout_seconds: float
    """FLASHSALE_REDIS_TIMEOUT_SECONDS: how long one Redis command may take."""
    log_level: str
    """FLASHSALE_LOG_LEVEL: DEBUG, INFO, WARNING or ERROR."""


def read_settings(environment: Environment | None = None) -> Settings:
    """Raises SettingsError naming the variable that is missing or wrong."""
    env = environment or Environment()
    attest_seconds, confirm_timeout_seconds = _limits_of_gateways(env)
    return Settings(
        amqp_url=broker_url(env.text("AMQP_URL"), env),
        redis_url=with_certificates(checked_url(env.text("REDIS_URL")), env),
        database_url=with_certificates(credentials.database_url(env.text("DATABASE_URL")), env),
        lua_dir=env.directory("FLASHSALE_LUA_DIR", "lua"),
        shards=env.integer("FLASHSALE_SHARDS", SHARDS_DEFAULT, least=1, most=4096),
        installation=env.text("FLASHSALE_INSTALLATION", INSTALLATION_DEFAULT),
        reseal=_reseal(env),
        poll_ms=env.integer("FLASHSALE_KEEPER_POLL_MS", 200, least=10, most=10_000),
        attest_seconds=attest_seconds,
        confirm_timeout_seconds=confirm_timeout_seconds,
        drain_seconds=env.number("FLASHSALE_KEEPER_DRAIN_SECONDS", 2, least=0.1, most=300),
        holes_seconds=env.number("FLASHSALE_KEEPER_HOLES_SECONDS", 10, least=0.1, most=3600),
        workers_seconds=env.number("FLASHSALE_KEEPER_WORKERS_SECONDS", 7, least=0.1, most=3600),
        grace_seconds=env.integer("FLASHSALE_KEEPER_GRACE_SECONDS", 60, most=24 * 3600),
        statement_cache=env.integer("FLASHSALE_DATABASE_STATEMENT_CACHE", 100, most=10_000),
        statement_timeout_seconds=env.number("FLASHSALE_KEEPER_STATEMENT_TIMEOUT_SECONDS", 60, least=0.1, most=3600),
        amqp_timeout_seconds=env.number("FLASHSALE_KEEPER_AMQP_TIMEOUT_SECONDS", 10, least=0.1, most=300),
        probe_host=env.text("FLASHSALE_PROBE_HOST", "0.0.0.0"),  # noqa: S104 - a pod listens on all its addresses
        probe_port=env.integer("FLASHSALE_PROBE_PORT", 9104, most=65535),
        redis_timeout_seconds=env.number("FLASHSALE_REDIS_TIMEOUT_SECONDS", 3, least=0.05, most=60),
        log_level=env.log_level("FLASHSALE_LOG_LEVEL"),
    )


def _limits_of_gateways(env: Environment) -> tuple[float, float]:
    attest_seconds = env.number("FLASHSALE_KEEPER_ATTEST_SECONDS", 5, least=0.1, most=300)
    confirm_seconds = env.number("FLASHSALE_CONFIRM_TIMEOUT_SECONDS", 3, least=0.1, most=4)
    if attest_seconds <= confirm_seconds:
        raise SettingsError(
            f"FLASHSALE_KEEPER_ATTEST_SECONDS is {attest_seconds:g}, and must be longer than FLASHSALE_CONFIRM_TIMEOUT_SECONDS "
            f"of the gateways, which is {confirm_seconds:g}: otherwise a recovery forgets orders that are confirmed meanwhile"
        )
    return attest_seconds, confirm_seconds


def _reseal(env: Environment) -> str:
    value = env.text("FLASHSALE_RESEAL", RESEAL_LEDGER)
    if value not in (RESEAL_LEDGER, RESEAL_DISK):
        raise SettingsError(f"FLASHSALE_RESEAL must be {RESEAL_LEDGER} or {RESEAL_DISK}, not {value!r}")
    return value
