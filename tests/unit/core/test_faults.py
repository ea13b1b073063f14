import pytest

from flashsale_core.faults import Server, describe_error


class AuthenticationError(Exception):
    pass


class InvalidPasswordError(Exception):
    pass


class InvalidCatalogNameError(Exception):
    pass


class DuplicatePreparedStatementError(Exception):
    pass


class InsufficientPrivilegeError(Exception):
    pass


@pytest.mark.parametrize(
    ("server", "error", "cure"),
    [
        (Server.REDIS, Exception("WRONGPASS invalid username-password pair or user is disabled."), "look at REDIS_URL and"),
        (Server.REDIS, Exception("NOAUTH Authentication required."), "look at REDIS_URL and the Secret it comes from"),
        (Server.REDIS, Exception("NOPERM User gateway has no permissions"), "the user of REDIS_URL lacks a right"),
        (Server.RABBITMQ, AuthenticationError("ACCESS_REFUSED - Login was refused using"), "look at AMQP_URL and"),
        (Server.RABBITMQ, Exception("ACCESS_REFUSED - read access to queue 'orders' refused"), "the user of AMQP_URL lacks a right"),
        (Server.RABBITMQ, Exception("NOT_ALLOWED - vhost nope not found"), "no such vhost, or its user may not enter: look at AMQP"),
        (Server.POSTGRES, InvalidPasswordError('password authentication failed for user "worker"'), "look at DATABASE_URL and the Secret"),
        (Server.POSTGRES, InvalidCatalogNameError('database "nope" does not exist'), "no such database, or its user"),
        (Server.POSTGRES, DuplicatePreparedStatementError('prepared statement "s" already exists'), "FLASHSALE_DATABASE_STATEMENT_CACHE=0"),
        (Server.POSTGRES, InsufficientPrivilegeError("permission denied for table orders"), "the user of DATABASE_URL lacks a right"),
        (Server.REDIS, Exception("[SSL: CERTIFICATE_VERIFY_FAILED]"), "look at FLASHSALE_TLS_CA_FILE and REDIS_URL"),
        (Server.REDIS, Exception("[SSL: CERTIFICATE_VERIFY_FAILED] Hostname mismatch"), "use one of its names in REDIS_URL"),
        (Server.RABBITMQ, Exception("IP address mismatch, not valid for '10.1.2.3'"), "names in AMQP_URL and FLASHSALE_AMQP_HOSTS"),
        (Server.POSTGRES, Exception("connection requires a valid client certificate"), "look at FLASHSALE_TLS_CERT_FILE"),
        (Server.RABBITMQ, Exception("[SSL: WRONG_VERSION_NUMBER]"), "there is no TLS on this port: look at the scheme"),
    ],
)  # fmt: skip
def test_refusal_names_the_variable_to_look_at(server: Server, error: Exception, cure: str) -> None:
    words = describe_error(server, error)
    assert words.startswith(f"{server}: ")
    assert str(error) in words
    assert cure in words


@pytest.mark.parametrize(
    ("error", "words"),
    [(TimeoutError(), "Redis: TimeoutError"), (OSError("refused"), "Redis: OSError: refused")],
)
def test_server_that_is_away_is_only_named(error: Exception, words: str) -> None:
    assert describe_error(Server.REDIS, error) == words
