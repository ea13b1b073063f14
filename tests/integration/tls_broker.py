"""A further listener of the stack's RabbitMQ, with TLS."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flashsale_local_stack import Stack, free_ports
from tests.certificates import Certificate
from tests.integration.broker import control


@contextmanager
def tls_listener(stack: Stack, authority: Path, server: Certificate, *, verify_clients: bool) -> Iterator[int]:
    """The port on 127.0.0.1 of a listener with this certificate; `authority` is whose clients it trusts."""
    (port,) = free_ports(1)
    paths = {"cacertfile": authority, "certfile": server.cert, "keyfile": server.key}
    files = ", ".join(f'{{{name}, "{path}"}}' for name, path in paths.items())
    verify = "verify_peer" if verify_clients else "verify_none"
    options = f"[{files}, {{verify, {verify}}}, {{fail_if_no_peer_cert, {str(verify_clients).lower()}}}]"
    control(stack, "eval", f'rabbit_networking:start_ssl_listener({{"127.0.0.1", {port}}}, {options}, 1).')
    try:
        yield port
    finally:
        control(stack, "eval", f'rabbit_networking:stop_tcp_listener({{"127.0.0.1", {port}}}).')


def forget_files(stack: Stack) -> None:
    """Let the broker read its certificates again, as it does by itself every two minutes (ssl_pem_cache_clean of Erlang's ssl)."""
    control(stack, "eval", "ssl:clear_pem_cache().")
