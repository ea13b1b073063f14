"""`flashsale topology`: the document of RabbitMQ definitions."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from flashsale_cli.commands.report_option import refuse_unwritable
from flashsale_cli.console import write_json
from flashsale_cli.environment import CliEnvironment
from flashsale_core.settings import Environment
from flashsale_core.topology import WINDOWS_DEFAULT, Events, User, definitions, password_hash, service_users

SERVICES = ("gateway", "order-worker", "timeout-worker", "keeper")
NOTIFIER = "notifier"


def topology(
    user: Annotated[str, typer.Option(help="The name of the user that all services share.")] = "flashsale",
    per_service: Annotated[bool, typer.Option("--per-service", help="Create a user with least rights for each service instead.")] = False,
    windows: Annotated[
        str | None, typer.Option(help="Payment windows in seconds, separated by commas. Default: FLASHSALE_PAYMENT_WINDOWS.")
    ] = None,
    vhost: Annotated[str, typer.Option(help="The virtual host of all definitions.")] = "/",
    events: Annotated[
        Events, typer.Option(help="on: add the notifier's queue, shop.events. with-reserved: it also gets order.reserved.")
    ] = Events.OFF,
    output: Annotated[
        Path | None,
        typer.Option(help="Write to this file, which only its owner and group can read, instead of printing.", callback=refuse_unwritable),
    ] = None,
) -> None:
    """Print the RabbitMQ definitions that a broker must load.

    The user's password is FLASHSALE_AMQP_PASSWORD. With --per-service, the passwords are FLASHSALE_AMQP_GATEWAY_PASSWORD,
    FLASHSALE_AMQP_ORDER_WORKER_PASSWORD, FLASHSALE_AMQP_TIMEOUT_WORKER_PASSWORD and FLASHSALE_AMQP_KEEPER_PASSWORD; with --events also
    FLASHSALE_AMQP_NOTIFIER_PASSWORD.
    """
    chosen = Environment({"FLASHSALE_PAYMENT_WINDOWS": CliEnvironment().text("FLASHSALE_PAYMENT_WINDOWS", windows, "")})
    users = _service_users(events) if per_service else [User(user, _hashed("FLASHSALE_AMQP_PASSWORD"))]
    document = definitions(users, chosen.integers("FLASHSALE_PAYMENT_WINDOWS", WINDOWS_DEFAULT), vhost, events)
    if output is None:
        write_json(document)
        return
    output.touch(mode=0o640)
    output.write_bytes(msgspec.json.encode(document))


def _service_users(events: Events) -> list[User]:
    names = SERVICES if events is Events.OFF else (*SERVICES, NOTIFIER)
    return service_users({name: _hashed(f"FLASHSALE_AMQP_{name.upper().replace('-', '_')}_PASSWORD") for name in names})


def _hashed(variable: str) -> str:
    # Not an option, because everyone who can list processes would see the password.
    return password_hash(CliEnvironment().text(variable))
