"""`flashsale console user`: a line of the console's users file."""

import secrets
from typing import Annotated

import typer

from flashsale_core.errors import SettingsError
from flashsale_core.on_behalf import RULE, is_person
from flashsale_core.passwords import hash_password

ROLES = ("viewer", "merchant")
app = typer.Typer(no_args_is_help=True, help="Name the people who may log in to the console.")


@app.callback()
def console() -> None:
    """Without it, the only command would have no name of its own."""


@app.command()
def user(
    name: Annotated[str, typer.Argument(help=f"Who logs in: {RULE}.")],
    role: Annotated[str, typer.Option(help="viewer, who changes nothing, or merchant.")] = "viewer",
    generate: Annotated[bool, typer.Option(help="Make a password and print it on stderr, instead of asking for one.")] = False,
) -> None:
    """Print the person's line for the users file (FLASHSALE_CONSOLE_USERS_FILE). A new line for a name ends the person's sessions."""
    if not is_person(name):
        raise SettingsError(f"NAME must be {RULE}")
    if role not in ROLES:
        raise SettingsError(f"--role must be {' or '.join(ROLES)}")
    password = secrets.token_urlsafe(15) if generate else typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    try:
        line = f"{name}:{role}:{hash_password(password)}"
    except ValueError as error:
        raise SettingsError(str(error)) from None
    if generate:
        typer.echo(f"password of {name}: {password}", err=True)
    typer.echo(line)
