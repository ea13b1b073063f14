"""The command line as a whole: it finds every command, and imports only what the one that runs needs."""

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer

from flashsale_cli import commands
from flashsale_cli.main import COMMANDS, app

CLIENTS = ("aio_pika", "aiohttp", "asyncpg", "redis", "flashsale_local_stack")


def test_every_module_of_commands_has_one() -> None:
    modules = {path.stem for path in Path(commands.__path__[0]).glob("*.py")} - {"__init__", "id_file", "report_option"}
    assert {place.partition(":")[0] for place in COMMANDS.values()} == modules


@pytest.mark.parametrize("name", COMMANDS)
def test_command_has_its_name_and_a_help_text(name: str) -> None:
    command = typer.main.get_group(app).commands[name]
    assert (command.name, bool(command.help)) == (name, True)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_time_and_share_has_bounds(name: str) -> None:
    hints = [get_args(hint) for function in functions(name) for hint in get_type_hints(function, include_extras=True).values()]
    bounds = [(option.min, option.max) for kind, *options in filter(None, hints) for option in options if kind is float]
    assert all(None not in each for each in bounds), bounds


def functions(name: str) -> list[Callable[..., Any]]:
    module, _, attribute = COMMANDS[name].partition(":")
    command = getattr(import_module(f"flashsale_cli.commands.{module}"), attribute)
    return [each.callback for each in command.registered_commands if each.callback] if isinstance(command, typer.Typer) else [command]


def test_command_line_alone_imports_no_client_of_a_server() -> None:
    program = f"import sys, flashsale_cli.main; print(sorted(set(sys.modules) & set({CLIENTS})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
