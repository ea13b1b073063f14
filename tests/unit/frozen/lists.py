"""The lists as files: one name a line, sorted."""

from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent


def read(title: str) -> list[str]:
    """The names of a list; none when there is no such file yet."""
    file = FOLDER / f"{title}.txt"
    return file.read_text().splitlines() if file.exists() else []


def write(title: str, names: Iterable[str]) -> None:
    (FOLDER / f"{title}.txt").write_text("".join(f"{name}\n" for name in names))
