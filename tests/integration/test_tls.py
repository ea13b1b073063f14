"""TLS with a private authority on all three servers, whose client certificates it signs: Redis, its Sentinel, RabbitMQ and Postgres."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import aio_pika
import asyncpg
import pytest

from flashsale_cli.environment import CliEnvironment
from flashsale_cli.server_urls import amqp_url, database_url, redis_url
from flashsale_core.broker import broker_session
from flashsale_core.faults import Server, describe_error
from flashsale_local_stack import Stack, binaries, free_ports
from flashsale_redis import open_redis
from tests.certificates import Authority, Certificate
from tests.integration.broker import control, until
from tests.integration.tls_broker import tls_listener

HOST, VHOST, USER = "localhost", "shop/eu", "flashsale"
Ask = Callable[[CliEnvironment], Awaitable[None]]


class Made(NamedTuple):
    """Two authorities: the servers trust the first, and have certificates of it."""

    folder: Path
    authority: Authority
    other: Authority
    server: Certificate
    client: Certificate
    stranger: Certificate
    """A client certificate of the second authority."""


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    # The user of Postgres has to reach it.
    folder = Path(mkdtemp(prefix="flashsale-tls-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        authority, other = Authority(folder), Authority(folder, "other")
        yield Made(folder, authority, other, authority.issue("server", HOST), authority.issue("client"), other.issue("stranger"))
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
async def servers(made: Made, infra_stack: Stack) -> AsyncIterator[Mapping[str, str]]:
    """URLs of servers that ask for a client certificate. The broker and Postgres are those of the other tests."""
    with _redis(made) as redis_urls, _rabbitmq(made, infra_stack) as amqps_url:
        async with _postgres(made, infra_stack) as postgres_url:
            yield {**redis_urls, "AMQP_URL": amqps_url, "DATABASE_URL": postgres_url}


@contextmanager
def _redis(made: Made) -> Iterator[Mapping[str, str]]:
    port, sentinel_port = free_ports(2)
    conf = made.folder / "sentinel.conf"
    conf.write_text(f"sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\nsentinel monitor sales {HOST} {port} 1\n")
    processes = []
    try:
        for words in (["--tls-port", port, "--save", ""], [conf, "--sentinel", "--tls-port", sentinel_port, "--tls-replication", "yes"]):
            files = ["--tls-cert-file", made.server.cert, "--tls-key-file", made.server.key, "--tls-ca-cert-file", made.authority.cert]
            command = [binaries.redis_server(None), *map(str, [*words, "--port", "0", *files])]
            processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=made.folder))
        yield {"REDIS_URL": f"rediss://{HOST}:{port}/0", "SENTINEL_URL": f"rediss+sentinel://{HOST}:{sentinel_port}/sales"}
    finally:
        for process in processes:
            process.terminate()
            process.wait(10)


@contextmanager
def _rabbitmq(made: Made, stack: Stack) -> Iterator[str]:
    """A further listener of the running broker, and a vhost with a slash in its name."""
    rights = ", ".join(f'<<"{text}">>' for text in (USER, VHOST, ".*", ".*", ".*", "test"))
    with tls_listener(stack, made.authority.cert, made.server, verify_clients=True) as port:
        control(stack, "eval", f'''
            rabbit_vhost:add(<<"{VHOST}">>, <<"test">>),
            rabbit_auth_backend_internal:set_permissions({rights}).
        ''')  # fmt: skip
        try:
            password = urlsplit(stack.env()["AMQP_URL"]).password
            yield f"amqps://{USER}:{password}@{HOST}:{port}/{quote(VHOST, safe='')}"
        finally:
            control(stack, "eval", f'rabbit_vhost:delete(<<"{VHOST}">>, <<"test">>).')


@asynccontextmanager
async def _postgres(made: Made, stack: Stack) -> AsyncIterator[str]:
    """Only the database `postgres`, which no other test uses, asks for a client certificate."""
    url = stack.env()["DATABASE_URL"]
    connection = await asyncpg.connect(url)
    hba, data = [Path(await connection.fetchval(f"show {name}")) for name in ("hba_file", "data_directory")]
    rules = hba.read_text()
    os.chown(made.server.key, data.stat().st_uid, data.stat().st_gid)
    try:
        hba.write_text(f"hostssl postgres all all scram-sha-256 clientcert=verify-ca\n{rules}")
        settings = {"ssl": "on", "ssl_ca_file": made.authority.cert, "ssl_cert_file": made.server.cert, "ssl_key_file": made.server.key}
        for name, value in settings.items():
            await connection.execute(f"alter system set {name} = '{value}'")
        await connection.execute("select pg_reload_conf()")
        parts = urlsplit(url)
        yield f"postgresql://{USER}:{parts.password}@{HOST}:{parts.port}/postgres?sslmode=verify-full"
    finally:
        hba.write_text(rules)
        for name in settings:
            await connection.execute(f"alter system reset {name}")
        await connection.execute("select pg_reload_conf()")
        await connection.close()


async def _ask_redis(environment: CliEnvironment) -> None:
    async with open_redis(redis_url(environment), 5, 1) as redis:
        assert await redis.time()


async def _ask_rabbitmq(environment: CliEnvironment) -> None:
    async with broker_session(aio_pika.connect, amqp_url(environment), 10) as connection:
        await (await connection.channel()).declare_queue(exclusive=True)


async def _ask_postgres(environment: CliEnvironment) -> None:
    connection = await asyncpg.connect(database_url(environment), timeout=10)
    try:
        assert await connection.fetchval("select ssl from pg_stat_ssl where pid = pg_backend_pid()")
    finally:
        await connection.close()


CONNECTIONS = [
    pytest.param(Server.REDIS, "REDIS_URL", _ask_redis, id="redis"),
    pytest.param(Server.REDIS, "SENTINEL_URL", _ask_redis, id="sentinel"),
    pytest.param(Server.RABBITMQ, "AMQP_URL", _ask_rabbitmq, id="rabbitmq"),
    pytest.param(Server.POSTGRES, "DATABASE_URL", _ask_postgres, id="postgres"),
]


def environment(server: Server, url: str, ca: Path, client: Certificate | None) -> CliEnvironment:
    files = {"CA": ca, **({"CERT": client.cert, "KEY": client.key} if client else {})}
    return CliEnvironment({server.variable: url, **{f"FLASHSALE_TLS_{name}_FILE": str(path) for name, path in files.items()}})


async def reason(server: Server, ask: Ask, given: CliEnvironment) -> str:
    """What refused the connection, in the words of logs and conditions; empty if nothing did."""
    try:
        await ask(given)
    except Exception as error:
        return describe_error(server, error)
    return ""


@pytest.mark.parametrize(("server", "name", "ask"), CONNECTIONS)
async def test_connection_needs_the_authority_and_the_client_certificate(
    made: Made, servers: Mapping[str, str], server: Server, name: str, ask: Ask
) -> None:
    url, authority = servers[name], made.authority.cert
    trusted = environment(server, url, authority, made.client)

    async def works() -> bool:
        return not await reason(server, ask, trusted)

    await until(works)
    assert "FLASHSALE_TLS_CA_FILE" in await reason(server, ask, environment(server, url, made.other.cert, made.client))
    # A server may reset the connection before its reason was read.
    refused = await reason(server, ask, environment(server, url, authority, None))
    assert "FLASHSALE_TLS_CERT_FILE" in refused or "Connection reset by peer" in refused, refused
    assert "names another host" in await reason(server, ask, environment(server, url.replace(HOST, "127.0.0.1"), authority, made.client))


@pytest.mark.parametrize(("server", "name", "ask"), CONNECTIONS)
async def test_next_connection_uses_a_renewed_certificate(
    made: Made, servers: Mapping[str, str], server: Server, name: str, ask: Ask, tmp_path: Path
) -> None:
    client = Certificate(tmp_path / "tls.crt", tmp_path / "tls.key")
    given = environment(server, servers[name], made.authority.cert, client)
    for issued, works in ((made.stranger, False), (made.client, True)):
        for source, path in zip(issued, client, strict=True):
            shutil.copy(source, path)
        assert (await reason(server, ask, given) == "") is works
