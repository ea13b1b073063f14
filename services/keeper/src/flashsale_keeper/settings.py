"""The keeper's settings, read once from the environment."""

from dataclasses import dataclass
from pathlib import Path

from flashsale_core import credentials
from flashsale_core.keys import SHARDS_DEFAULT
from flashsale_core.settings import Environment
from flashsale_redis import checked_url


@dataclass(frozen=True, slots=True)
class Settings:
    amqp_url: str
    """AMQP_URL: the RabbitMQ whose queue `orders` is drained before a rebuild."""
    redis_url: str
    """REDIS_URL: the Redis or Valkey that holds the sales."""
    database_url: str
    """DATABASE_URL: the Postgres that holds the ledger."""
    lua_dir: Path
    """FLASHSALE_LUA_DIR: the folder of the Lua scripts."""
    shards: int
    """FLASHSALE_SHARDS: number of shards; fixed while data exists."""
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
    return Settings(
        amqp_url=credentials.amqp_url(env.text("AMQP_URL")),
        redis_url=checked_url(env.text("REDIS_URL")),
        database_url=credentials.database_url(env.text("DATABASE_URL")),
        lua_dir=env.directory("FLASHSALE_LUA_DIR", "lua"),
        shards=env.integer("FLASHSALE_SHARDS", SHARDS_DEFAULT, least=1, most=4096),
        probe_host=env.text("FLASHSALE_PROBE_HOST", "0.0.0.0"),  # noqa: S104 - a pod listens on all its addresses
        probe_port=env.integer("FLASHSALE_PROBE_PORT", 9104, most=65535),
        redis_timeout_seconds=env.number("FLASHSALE_REDIS_TIMEOUT_SECONDS", 3, least=0.05, most=60),
        log_level=env.log_level("FLASHSALE_LOG_LEVEL"),
    )
