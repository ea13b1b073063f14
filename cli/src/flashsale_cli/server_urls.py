"""The URLs of the three servers, checked, with the certificates that connections to them use. Each function raises SettingsError."""

from flashsale_cli.environment import CliEnvironment
from flashsale_core import credentials
from flashsale_core.broker_urls import broker_url
from flashsale_core.tls import with_certificates
from flashsale_redis import checked_url


def redis_url(environment: CliEnvironment) -> str:
    return with_certificates(checked_url(environment.text("REDIS_URL")), environment)


def amqp_url(environment: CliEnvironment, option: str | None = None) -> str:
    return broker_url(environment.text("AMQP_URL", option), environment.variables())


def database_url(environment: CliEnvironment, option: str | None = None) -> str:
    return with_certificates(credentials.database_url(environment.text("DATABASE_URL", option)), environment)
