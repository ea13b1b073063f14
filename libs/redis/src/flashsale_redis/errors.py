"""What an error means about the server that it comes from. Pure."""

from redis.exceptions import BusyLoadingError, MasterDownError, ReadOnlyError, RedisError, ResponseError

from flashsale_core.faults import Server

# Codes that redis-py has no type for: a master cut off from its replicas, and a blocked read as its master becomes a replica.
_CODES = ("NOREPLICAS", "UNBLOCKED")
REPLICA = "You can't write against a read only replica."
"""The text of the error that this package itself raises for a replica, as a server words it."""


def is_wrong_server(error: BaseException) -> bool:
    """Whether a reply means that this server cannot serve now, although another may. The command was not executed."""
    if isinstance(error, ReadOnlyError | BusyLoadingError | MasterDownError):
        return True
    return isinstance(error, ResponseError) and str(error).startswith(_CODES)


def server_of(error: Exception) -> Server:
    """Where `error` comes from, for a task that talks to Redis and to RabbitMQ."""
    return Server.REDIS if isinstance(error, RedisError) else Server.RABBITMQ
