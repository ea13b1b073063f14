"""What a server's error means to who runs the services, in words that name the cure. Pure: it is given the error and imports no client."""

from enum import StrEnum


class Server(StrEnum):
    REDIS = "Redis"
    RABBITMQ = "RabbitMQ"
    POSTGRES = "Postgres"

    @property
    def variable(self) -> str:
        """The environment variable that says where it is, and as whom to log in."""
        return {Server.REDIS: "REDIS_URL", Server.RABBITMQ: "AMQP_URL", Server.POSTGRES: "DATABASE_URL"}[self]


# Words of an error, or the name of its type. The order counts: RabbitMQ begins a refused login as it does a right that is lacking.
_LOGIN = (
    "WRONGPASS", "NOAUTH", "invalid username-password",
    "Login was refused", "AuthenticationError",
    "InvalidPasswordError", "InvalidAuthorizationSpecificationError",
)  # fmt: skip
# A broker that lets one into none of its vhosts closes the connection while aiormq expects it to open; its words are lost then.
_PLACE = ("vhost", "Connection.OpenOk", "InvalidCatalogNameError")
_REPLICA = ("ReadOnlyError", "ReadOnlySQLTransactionError")
# A pooler gave the next transaction another connection of Postgres', which knows other prepared statements.
_POOLER = ("DuplicatePreparedStatementError", "InvalidSQLStatementNameError")
_RIGHT = ("NOPERM", "NoPermissionError", "ACCESS_REFUSED", "InsufficientPrivilegeError")


def describe_error(server: Server, error: BaseException) -> str:
    """`Redis: WRONGPASS ... (the user or the password is wrong: ...)`. The text is the server's own, which repeats no password."""
    # asyncpg appends a dozen lines of advice about its own options.
    name, text = type(error).__name__, str(error).partition("\nHINT:  \nNOTE: pgbouncer")[0]
    said = f"{name}: {text}" if text else name
    cure = _cure(server, said)
    return f"{server}: {said} ({cure})" if cure else f"{server}: {said}"


def _cure(server: Server, said: str) -> str | None:
    variable = server.variable
    if any(word in said for word in _LOGIN):
        return f"the user or the password is wrong: look at {variable} and the Secret it comes from"
    if server is not Server.REDIS and any(word in said for word in _PLACE):
        what = "vhost" if server is Server.RABBITMQ else "database"
        return f"there is no such {what}, or its user may not enter: look at {variable}"
    if any(word in said for word in _REPLICA):
        return f"this server is a replica, or takes no writes: look at where {variable} leads"
    if any(word in said for word in _POOLER):
        return f"{variable} leads through a pooler in transaction mode: set FLASHSALE_DATABASE_STATEMENT_CACHE=0"
    if any(word in said for word in _RIGHT):
        return f"the user of {variable} lacks a right"
    return None
