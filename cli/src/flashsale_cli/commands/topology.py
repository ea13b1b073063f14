"""`flashsale topology`: the broker's definitions document."""

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from flashsale_cli.console import write_json
from flashsale_cli.environment import CliEnvironment
from flashsale_core.settings import Environment
from flashsale_core.topology import WINDOWS_DEFAULT, User, definitions, password_hash, service_users

SERVICES = ("gateway", "order-worker", "timeout-worker")


def topology(
    user: Annotated[str, typer.Option(help="The services' one user.")] = "flashsale",
    per_service: Annotated[bool, typer.Option("--per-service", help="A user for each service, with least rights, instead.")] = False,
    windows: Annotated[str | None, typer.Option(help="Payment windows in seconds; else FLASHSALE_PAYMENT_WINDOWS.")] = None,
    vhost: Annotated[str, typer.Option(help="The virtual host all of it is in.")] = "/",
    output: Annotated[Path | None, typer.Option(help="Write it to this file instead, readable by its owner and group only.")] = None,
) -> None:
    """Print the RabbitMQ definitions, to be loaded into a broker.

    The user's password is FLASHSALE_AMQP_PASSWORD; with --per-service FLASHSALE_AMQP_GATEWAY_PASSWORD, FLASHSALE_AMQP_ORDER_WORKER_PASSWORD
    and FLASHSALE_AMQP_TIMEOUT_WORKER_PASSWORD.
    """
    chosen = Environment({"FLASHSALE_PAYMENT_WINDOWS": windows or os.environ.get("FLASHSALE_PAYMENT_WINDOWS", "")})
    users = _service_users() if per_service else [User(user, _hashed("FLASHSALE_AMQP_PASSWORD"))]
    document = definitions(users, chosen.integers("FLASHSALE_PAYMENT_WINDOWS", WINDOWS_DEFAULT), vhost)
    if output is None:
        write_json(document)
        return
    output.touch(mode=0o640)
    output.write_bytes(msgspec.json.encode(document))


def _service_users() -> list[User]:
    return service_users({name: _hashed(f"FLASHSALE_AMQP_{name.upper().replace('-', '_')}_PASSWORD") for name in SERVICES})


def _hashed(variable: str) -> str:
    # An option would show the password to everyone who can list processes.
    return password_hash(CliEnvironment().text(variable))
