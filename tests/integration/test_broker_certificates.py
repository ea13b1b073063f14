"""RabbitMQ's nodes with TLS: which certificate a client accepts, what it says about another one, and its renewal under load."""

import asyncio
import os
import shutil
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aio_pika
import pytest

from flashsale_core import topology
from flashsale_core.broker import broker_session
from flashsale_core.broker_urls import broker_url
from flashsale_core.faults import Server, describe_error
from flashsale_core.settings import Environment
from flashsale_local_stack import Stack
from tests.certificates import Authority, Certificate
from tests.integration.broker import until
from tests.integration.tls_broker import forget_files, tls_listener

SERVICE, WILDCARD = "flashsale-rabbitmq", "*.flashsale-rabbitmq-nodes.shop.svc"
NODES = [f"flashsale-rabbitmq-{number}.flashsale-rabbitmq-nodes.shop.svc" for number in range(3)]
SESSION_SECONDS = 10
SESSIONS_EACH_SIDE = 10


class Listener(NamedTuple):
    stack: Stack
    authority: Authority
    current: Path
    """The folder of the certificate that the broker reads, a link, as the kubelet makes it."""
    port: int

    def issue(self, name: str, *hosts: str) -> None:
        """Replace certificate and key at once."""
        made = self.authority.issue(name, *hosts)
        folder = self.current.with_name(name)
        folder.mkdir(exist_ok=True)
        for source, path in zip(made, ("tls.crt", "tls.key"), strict=True):
            shutil.copy(source, folder / path)
        link = self.current.with_name("next")
        link.symlink_to(folder)
        os.replace(link, self.current)
        forget_files(self.stack)

    def url(self, *hosts: str) -> str:
        """The URL for a client, which has the first hosts from FLASHSALE_AMQP_HOSTS and the last one from AMQP_URL."""
        login = urlsplit(self.stack.env()["AMQP_URL"])
        *nodes, last = [f"{host}:{self.port}" for host in hosts]
        variables = {"FLASHSALE_TLS_CA_FILE": str(self.authority.cert), "FLASHSALE_AMQP_HOSTS": ",".join(nodes)}
        return broker_url(f"amqps://{login.username}:{login.password}@{last}/", Environment(variables))


@pytest.fixture(autouse=True)
def every_name_is_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of a cluster, which no server here knows."""
    original = socket.getaddrinfo

    def resolve(host: Any, *words: Any, **options: Any) -> Any:
        return original("127.0.0.1" if host in (SERVICE, *NODES) else host, *words, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.fixture(scope="module")
def listener(infra_stack: Stack, infra: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    folder = tmp_path_factory.mktemp("broker")
    authority, current = Authority(folder), folder / "current"
    files = Certificate(current / "tls.crt", current / "tls.key")
    Listener(infra_stack, authority, current, 0).issue("first", SERVICE, WILDCARD)
    with tls_listener(infra_stack, authority.cert, files, verify_clients=False) as port:
        yield Listener(infra_stack, authority, current, port)


async def connect(url: str) -> None:
    async with broker_session(aio_pika.connect, url, SESSION_SECONDS):
        pass


async def test_certificate_with_the_wildcard_serves_each_node(listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    listener.issue("wildcard", SERVICE, WILDCARD)
    for host in (*NODES, SERVICE):
        await connect(listener.url(host))
    await connect(listener.url(*NODES, SERVICE))
    assert "broker.node_failed" not in caplog.messages


async def test_certificate_of_the_service_alone_is_used_and_its_gap_is_logged(
    listener: Listener, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener.issue("service", SERVICE)
    # In the order of the URL: the nodes first.
    monkeypatch.setattr("random.sample", lambda urls, _: list(urls))
    await connect(listener.url(NODES[0], SERVICE))
    (failed,) = [vars(record) for record in caplog.records if record.message == "broker.node_failed"]
    assert failed["node"] == f"{NODES[0]}:{listener.port}"
    assert f"certificate is not valid for '{NODES[0]}'" in failed["reason"]
    assert "add this host to its names, or use one of its names in AMQP_URL and FLASHSALE_AMQP_HOSTS" in failed["reason"]


async def test_certificate_without_any_of_the_names_is_an_error_with_its_cure(listener: Listener) -> None:
    listener.issue("stranger", "other.example")
    with pytest.raises(ConnectionError) as refused:
        await connect(listener.url(NODES[0], SERVICE))
    reason = describe_error(Server.RABBITMQ, refused.value)
    assert all(f"certificate is not valid for '{host}'" in reason for host in (NODES[0], SERVICE)), reason
    assert "add this host to its names" in reason


async def test_renewed_certificate_is_presented_while_clients_publish(listener: Listener) -> None:
    """No session fails and no confirm is missing: old connections stay, and new ones get the new certificate."""
    listener.issue("before", SERVICE, WILDCARD)
    url, renewed, sessions = listener.url(*NODES, SERVICE), asyncio.Event(), {False: 0, True: 0}

    async def publish(connection: Any, times: int) -> None:
        channel = await connection.channel()
        for _ in range(times):
            await channel.default_exchange.publish(aio_pika.Message(b"order"), topology.PARKED_ORDERS_QUEUE)

    async def come_and_go() -> None:
        while min(sessions.values()) < SESSIONS_EACH_SIDE:
            after = renewed.is_set()
            async with broker_session(aio_pika.connect, url, SESSION_SECONDS) as connection:
                await publish(connection, 3)
            sessions[after] += 1

    async def presented() -> bool:
        wanted = ssl.PEM_cert_to_DER_cert((listener.current / "tls.crt").read_text())
        context = ssl.create_default_context(cafile=listener.authority.cert)
        _, writer = await asyncio.open_connection(SERVICE, listener.port, ssl=context)
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return bool(shown == wanted)

    async with broker_session(aio_pika.connect, url, SESSION_SECONDS) as staying:
        coming = asyncio.create_task(come_and_go())
        await until(lambda: coming.done() or sessions[False] >= SESSIONS_EACH_SIDE)
        assert not coming.done(), coming.result()
        before = (listener.current / "tls.crt").read_bytes()
        await asyncio.to_thread(listener.issue, "after", SERVICE, WILDCARD)
        assert (listener.current / "tls.crt").read_bytes() != before
        await until(presented)
        renewed.set()
        await coming
        await publish(staying, 3)
        await (await (await staying.channel()).get_queue(topology.PARKED_ORDERS_QUEUE)).purge()
