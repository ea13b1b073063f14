"""The output of commands: tables for people, JSON for programs, and exit codes."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

EXIT_FAILED = 1
"""The command ran, and its check failed."""
EXIT_USAGE = 2
"""An option or a setting is missing or wrong."""
EXIT_UNREACHABLE = 3
"""A server did not answer or refused the request."""

JSON_OPTION = typer.Option("--json", help="Print JSON instead of tables.")
FILE_WIDTH = 120
"""Columns of output that does not go to a terminal: enough for every table."""


def console() -> Console:
    """A console of the terminal's width, or of FILE_WIDTH for a file or a pipe.

    It reads no markup: `[...]` in a reason or in a payment's id, which is the provider's, is text.
    """
    terminal = Console(highlight=False, markup=False)
    return terminal if terminal.is_terminal else Console(highlight=False, markup=False, width=FILE_WIDTH)


def write_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """A table. The first column, and columns whose title starts with a blank, contain words; the others contain numbers."""
    result = Table(title=title or None, title_justify="left", title_style="bold", header_style="dim", box=None, padding=(0, 2, 0, 0))
    for position, column in enumerate(columns):
        is_words = position == 0 or column.startswith(" ")
        result.add_column(column.strip(), justify="left" if is_words else "right", no_wrap=not is_words)
    for row in rows:
        # As texts: `[...]` in a payment's id, a reason or an answer is no markup.
        result.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return result


def verdict(passed: bool) -> Text:
    return Text("PASS", "bold green") if passed else Text("FAIL", "bold red")


def number(value: float) -> str:
    return f"{value:,.0f}"
