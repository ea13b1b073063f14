"""A gateway with FLASHSALE_ADMIN_PORT: each port serves its own paths, and the other's are as if they were not there."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from signal import SIGTERM
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from flashsale_local_stack import Stack, free_ports
from tests.integration.client import Client
from tests.integration.wire import gateway, wait_for

PROBES = {"/healthz", "/readyz"}
ADMIN_ONLY = {"/metrics", "/admin/stock", "/admin/sales/x", "/%61dmin/stock", "/admin/openapi.json", "/admin/docs"}
BUYERS_ONLY = {"/sales", "/sales/x", "/orders/x.0", "/order", "/payments/webhook", "/openapi.json", "/docs"}
END_SECONDS = 30


class Ports(NamedTuple):
    process: "subprocess.Popen[bytes]"
    buyers: Client
    admin: Client


@pytest.fixture(scope="module")
def ports(stack: Stack) -> Iterator[Ports]:
    (port,) = free_ports(1)
    with gateway(stack, FLASHSALE_ADMIN_PORT=str(port), FLASHSALE_CONNECTIONS_MAX="8") as (process, buyers):
        yield Ports(process, buyers, Client({**buyers.env, "FLASHSALE_URL": f"http://127.0.0.1:{port}"}))


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", sorted(PROBES | ADMIN_ONLY | BUYERS_ONLY))
def test_path_of_the_other_port_is_not_there(ports: Ports, path: str, method: str) -> None:
    for port, hidden in ((ports.buyers, ADMIN_ONLY), (ports.admin, BUYERS_ONLY)):
        nothing, answer = port.send(method, "/nothing"), port.send(method, path)
        assert ((answer.status, answer.raw) == (nothing.status, nothing.raw)) == (path in hidden)


def test_each_port_describes_its_own_paths(ports: Ports) -> None:
    buyers, admin = ports.buyers.get("/openapi.json").body["paths"], ports.admin.get("/admin/openapi.json").body["paths"]
    for port, paths in ((ports.buyers, buyers), (ports.admin, admin)):
        nothing = port.get("/nothing").raw
        assert [path for path in paths if port.get(path).raw == nothing] == []
    assert set(buyers) & set(admin) == PROBES


def test_sale_is_defined_on_the_admin_port_and_sold_on_the_other(ports: Ports) -> None:
    sale = ports.admin.new_sale(5)
    assert ports.buyers.order(sale, "ann").status == 200
    assert (ports.admin.order(sale, "ann").status, ports.buyers.stock(sale)) == (404, (5, 4, 1, 0))
    assert ports.admin.end_sale(sale, "?mode=close").status == 200
    assert b"flashsale_sale_stock_units" in ports.admin.get("/metrics").raw


def test_crowd_that_takes_every_connection_keeps_no_administrator_out(ports: Ports) -> None:
    address = urlsplit(ports.buyers.env["FLASHSALE_URL"])
    crowd = [socket.create_connection((str(address.hostname), address.port)) for _ in range(8)]
    try:
        wait_for(lambda: ports.buyers.get("/healthz").status == 503)
        assert [ports.admin.get(path).status for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3
    finally:
        for connection in crowd:
            connection.close()


def test_port_that_is_taken_ends_the_gateway(stack: Stack, ports: Ports) -> None:
    taken = str(urlsplit(ports.admin.env["FLASHSALE_URL"]).port)
    env = os.environ | stack.env() | {"FLASHSALE_PORT": str(free_ports(1)[0]), "FLASHSALE_ADMIN_PORT": taken}
    done = subprocess.run([sys.executable, "-m", "flashsale_gateway"], env=env, capture_output=True, timeout=END_SECONDS, check=False)
    assert (done.returncode != 0, b"Address already in use" in done.stderr) == (True, True), done.stderr


def test_terminated_gateway_finishes_requests_of_both_ports(ports: Ports) -> None:
    """Last in this file, because it ends the gateway."""
    begun = [_begun(ports.buyers, "/order"), _begun(ports.admin, "/admin/stock")]
    ports.process.terminate()
    for connection in begun:
        connection.send(b"{}")
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
        connection.close()
    assert ports.process.wait(END_SECONDS) in (0, -SIGTERM)


def _begun(port: Client, path: str) -> socket.socket:
    """A connection with a request whose body has not arrived."""
    address = urlsplit(port.env["FLASHSALE_URL"])
    connection = socket.create_connection((str(address.hostname), address.port), timeout=END_SECONDS)
    # An order with a bearer token that is no buyer's gets 401 before its body is read.
    credentials = [f"authorization: Bearer {port.env['FLASHSALE_ADMIN_TOKEN']}"] if path.startswith("/admin") else []
    lines = f"POST {path} HTTP/1.1", "host: x", *credentials, "content-type: application/json", "content-length: 2"
    connection.send("\r\n".join((*lines, "", "")).encode())
    return connection
