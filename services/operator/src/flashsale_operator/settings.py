"""The operator's settings, read once from the environment."""

from dataclasses import dataclass
from pathlib import Path

from flashsale_core import topology
from flashsale_core.errors import SettingsError
from flashsale_core.keys import INSTALLATION_DEFAULT, SHARDS_DEFAULT
from flashsale_core.origins import read_origins
from flashsale_core.settings import Environment
from flashsale_core.tls import with_certificates
from flashsale_operator.engine import ENGINE_DEFAULT, Engine
from flashsale_redis import checked_url


@dataclass(frozen=True, slots=True)
class Settings:
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
    require_durable_redis: bool
    """FLASHSALE_REQUIRE_DURABLE_REDIS: no FlashSale is Ready while Redis may lose acknowledged writes; set it as in the gateways."""
    namespaces: tuple[str, ...]
    """FLASHSALE_OPERATOR_NAMESPACE: the namespaces to watch, separated by commas; empty for all namespaces."""
    engine: Engine
    """FLASHSALE_OPERATOR_ENGINE: FlashSales with this spec.engine are served, with FLASHSALE_OPERATOR_ENGINE_DEFAULT also those without."""
    storefront: str
    """FLASHSALE_STOREFRONT_URL: the origin at which buyers reach the storefront, for status.page; empty if there is none."""
    reconcile_seconds: float
    """FLASHSALE_OPERATOR_RECONCILE_SECONDS: pause between two sweeps, which compare every sale with its resource even without an event."""
    status_seconds: float
    """FLASHSALE_OPERATOR_STATUS_SECONDS: shortest pause between two writes of a resource's stock numbers."""
    silence_seconds: float
    """FLASHSALE_OPERATOR_SILENCE_SECONDS: /healthz fails when the sweep has made no progress for this long."""
    delete_without_redis_seconds: float
    """FLASHSALE_OPERATOR_DELETE_WITHOUT_REDIS_SECONDS: how long Redis may keep a deletion from going on. With Retain it then ends
    without Redis; with Drain only if its namespace is being deleted."""
    workers_max: int
    """FLASHSALE_OPERATOR_WORKERS_MAX: most resources handled at the same time."""
    request_timeout_seconds: float
    """FLASHSALE_OPERATOR_REQUEST_TIMEOUT_SECONDS: how long one request to the apiserver may take."""
    watch_timeout_seconds: float
    """FLASHSALE_OPERATOR_WATCH_TIMEOUT_SECONDS: how long one watch stays open before it is replaced."""
    redis_timeout_seconds: float
    """FLASHSALE_REDIS_TIMEOUT_SECONDS: how long one Redis command may take."""
    probe_host: str
    """FLASHSALE_PROBE_HOST: the address that serves /metrics, /healthz and /readyz."""
    probe_port: int
    """FLASHSALE_PROBE_PORT: the port that serves /metrics, /healthz and /readyz."""
    shutdown_timeout_seconds: float
    """FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS: how long running work may take to finish after SIGTERM."""
    log_level: str
    """FLASHSALE_LOG_LEVEL: DEBUG, INFO, WARNING or ERROR."""


def read_settings(environment: Environment | None = None) -> Settings:
    """Raises SettingsError naming the variable that is missing or wrong."""
    env = environment or Environment()
    return Settings(
        redis_url=with_certificates(checked_url(env.text("REDIS_URL")), env),
        lua_dir=env.directory("FLASHSALE_LUA_DIR", "lua"),
        shards=env.integer("FLASHSALE_SHARDS", SHARDS_DEFAULT, least=1, most=4096),
        installation=env.text("FLASHSALE_INSTALLATION", INSTALLATION_DEFAULT),
        payment_windows=env.integers("FLASHSALE_PAYMENT_WINDOWS", topology.WINDOWS_DEFAULT),
        require_durable_redis=env.flag("FLASHSALE_REQUIRE_DURABLE_REDIS", default=True),
        namespaces=tuple(filter(None, env.optional("FLASHSALE_OPERATOR_NAMESPACE").split(","))),
        engine=read_engine(env),
        storefront=_storefront(env),
        reconcile_seconds=env.number("FLASHSALE_OPERATOR_RECONCILE_SECONDS", 5, least=0.5, most=3600),
        status_seconds=env.number("FLASHSALE_OPERATOR_STATUS_SECONDS", 10, least=0, most=3600),
        silence_seconds=env.number("FLASHSALE_OPERATOR_SILENCE_SECONDS", 60, least=5, most=3600),
        delete_without_redis_seconds=env.number("FLASHSALE_OPERATOR_DELETE_WITHOUT_REDIS_SECONDS", 300, least=1, most=86_400),
        workers_max=env.integer("FLASHSALE_OPERATOR_WORKERS_MAX", 200, least=1, most=1000),
        request_timeout_seconds=env.number("FLASHSALE_OPERATOR_REQUEST_TIMEOUT_SECONDS", 15, least=1, most=120),
        watch_timeout_seconds=env.number("FLASHSALE_OPERATOR_WATCH_TIMEOUT_SECONDS", 300, least=30, most=3600),
        redis_timeout_seconds=env.number("FLASHSALE_REDIS_TIMEOUT_SECONDS", 3, least=0.05, most=60),
        probe_host=env.text("FLASHSALE_PROBE_HOST", "0.0.0.0"),  # noqa: S104 - a pod listens on all its addresses
        probe_port=env.integer("FLASHSALE_PROBE_PORT", 9103, most=65535),
        shutdown_timeout_seconds=env.number("FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS", 20, least=1, most=600),
        log_level=env.log_level("FLASHSALE_LOG_LEVEL"),
    )


def _storefront(env: Environment) -> str:
    origins = read_origins(env.optional("FLASHSALE_STOREFRONT_URL"), "FLASHSALE_STOREFRONT_URL")
    if len(origins) > 1:
        raise SettingsError(f"FLASHSALE_STOREFRONT_URL has {len(origins)} origins; name the one that FlashSales show")
    return "".join(origins)


def read_engine(env: Environment) -> Engine:
    return Engine(
        env.text("FLASHSALE_OPERATOR_ENGINE", ENGINE_DEFAULT),
        env.flag("FLASHSALE_OPERATOR_ENGINE_DEFAULT", default=True),
        env.text("FLASHSALE_INSTALLATION", INSTALLATION_DEFAULT),
    )
