"""Reads the file of order ids that an option names, before the run."""

from pathlib import Path

import typer


def read_ids(path: Path | None, option: str) -> list[str]:
    """The words of the file; none without a file. Raises typer.BadParameter, naming the option, if it is no text."""
    if path is None:
        return []
    try:
        return path.read_text(encoding="utf-8").split()
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{path} is no text; name a file with order ids, one per line", param_hint=option) from error
