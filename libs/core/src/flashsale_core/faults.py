"""Describes a server's error for the people who run the services, and names the cure. Pure: it imports no client."""

from enum import StrEnum


class Server(StrEnum):
    REDIS = "Redis"
    RABBITMQ = "RabbitMQ"
    POSTGRES = "Postgres"

    @property
    def variable(self) -> str:
        """The environment variable with its address, user and password."""
        return {Server.REDIS: "REDIS_URL", Server.RABBITMQ: "AMQP_URL", Server.POSTGRES: "DATABASE_URL"}[self]


# The three servers and their clients name these in their own words.
_OTHER_HOST = ("Hostname mismatch", "IP address mismatch")
_UNTRUSTED = ("CERTIFICATE_VERIFY_FAILED", "certificate verify failed")
_CLIENT_CERTIFICATE = ("CERTIFICATE_REQUIRED", "certificate required", "requires a valid client certificate")
_PLAIN = ("WRONG_VERSION_NUMBER", "wrong version number", "rejected SSL upgrade")
# Parts of an error's text, or the name of its type. The order matters: RabbitMQ reports ACCESS_REFUSED for a login and for a right.
_LOGIN = (
    "WRONGPASS", "NOAUTH", "invalid username-password",
    "Login was refused", "AuthenticationError",
    "InvalidPasswordError", "InvalidAuthorizationSpecificationError",
)  # fmt: skip
# If the user may use no vhost, the broker closes the connection while aiormq waits for Connection.OpenOk, and its reason is lost.
_VHOST_OR_DATABASE = ("vhost", "Connection.OpenOk", "InvalidCatalogNameError")
_REPLICA = ("ReadOnlyError", "ReadOnlySQLTransactionError")
# A pooler gave the next transaction another connection to Postgres, which has other prepared statements.
_POOLER = ("DuplicatePreparedStatementError", "InvalidSQLStatementNameError")
_RIGHT = ("NOPERM", "NoPermissionError", "ACCESS_REFUSED", "InsufficientPrivilegeError")


def describe_error(server: Server, error: BaseException) -> str:
    """Such as `Redis: WRONGPASS ... (the user or the password is wrong: ...)`. Servers do not repeat passwords in their errors."""
    # asyncpg appends a dozen lines of advice about its own options.
    name, text = type(error).__name__, str(error).partition("\nHINT:  \nNOTE: pgbouncer")[0]
    described = f"{name}: {text}" if text else name
    cure = _cure(server, described)
    return f"{server}: {described} ({cure})" if cure else f"{server}: {described}"


def _cure(server: Server, described: str) -> str | None:
    variable = server.variable
    if any(word in described for word in _OTHER_HOST):
        where = f"{variable} and FLASHSALE_AMQP_HOSTS" if server is Server.RABBITMQ else variable
        return f"the server's certificate names another host: add this host to its names, or use one of its names in {where}"
    if any(word in described for word in _UNTRUSTED):
        return f"the server's certificate is of another authority, or has ended: look at FLASHSALE_TLS_CA_FILE and {variable}"
    if any(word in described for word in _CLIENT_CERTIFICATE):
        return "the server asks for a client certificate that it trusts: look at FLASHSALE_TLS_CERT_FILE and FLASHSALE_TLS_KEY_FILE"
    if any(word in described for word in _PLAIN):
        return f"there is no TLS on this port: look at the scheme, or sslmode, and the port of {variable}"
    if any(word in described for word in _LOGIN):
        return f"the user or the password is wrong: look at {variable} and the Secret it comes from"
    if server is not Server.REDIS and any(word in described for word in _VHOST_OR_DATABASE):
        what = "vhost" if server is Server.RABBITMQ else "database"
        return f"there is no such {what}, or its user may not enter: look at {variable}"
    if any(word in described for word in _REPLICA):
        return f"this server is a replica, or takes no writes: look at where {variable} leads"
    if any(word in described for word in _POOLER):
        return f"{variable} leads through a pooler in transaction mode: set FLASHSALE_DATABASE_STATEMENT_CACHE=0"
    if any(word in described for word in _RIGHT):
        return f"the user of {variable} lacks a right"
    return None
