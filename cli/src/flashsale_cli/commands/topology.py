"""`flashsale topology`: the broker's definitions document."""

import os
from typing import Annotated

import typer

from flashsale_cli.console import write_json
from flashsale_cli.environment import Surroundings
from flashsale_core.settings import Environment
from flashsale_core.topology import WINDOWS_DEFAULT, definitions, password_hash


def topology(
    user: Annotated[str, typer.Option(help="The services' user.")] = "flashsale",
    windows: Annotated[str | None, typer.Option(help="Payment windows in seconds; else FLASHSALE_PAYMENT_WINDOWS.")] = None,
    vhost: Annotated[str, typer.Option(help="The virtual host all of it is in.")] = "/",
) -> None:
    """Print the RabbitMQ definitions, to be loaded into a broker. The user's password is FLASHSALE_AMQP_PASSWORD."""
    chosen = Environment({"FLASHSALE_PAYMENT_WINDOWS": windows or os.environ.get("FLASHSALE_PAYMENT_WINDOWS", "")})
    # An option would show the password to everyone who can list processes.
    password = Surroundings().text("FLASHSALE_AMQP_PASSWORD")
    write_json(definitions(user, password_hash(password), chosen.integers("FLASHSALE_PAYMENT_WINDOWS", WINDOWS_DEFAULT), vhost))
