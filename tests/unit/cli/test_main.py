"""The command line as a whole: it finds every command, and imports only what the one that runs needs."""

import subprocess
import sys
from pathlib import Path

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


def test_command_line_alone_imports_no_client_of_a_server() -> None:
    program = f"import sys, flashsale_cli.main; print(sorted(set(sys.modules) & set({CLIENTS})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
