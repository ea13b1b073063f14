"""Options that name a file to write, such as an HTML report. One that cannot be written is refused before the run, not after it."""

import os
from pathlib import Path

import typer

from flashsale_cli.html_report.document import Document
from flashsale_cli.html_report.page import render


def refuse_unwritable(path: Path | None) -> Path | None:
    """The callback of such an option. Raises typer.BadParameter."""
    if path is None:
        return None
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}; create it, or name another file")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise typer.BadParameter(f"{path} cannot be written; name another file")
    return path


def write_report(document: Document, path: Path) -> None:
    path.write_text(render(document), encoding="utf-8")
