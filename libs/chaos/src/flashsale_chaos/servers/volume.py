"""The data folder of a Redis that is ended: emptied, copied and replaced."""

import shutil
from pathlib import Path

COPIES_MAX = 20


def empty(folder: Path) -> None:
    """Remove what is in the folder, not the folder: it may be a file system of its own."""
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def copy(source: Path, target: Path) -> None:
    """Copy the folder of a Redis that may run. Raises OSError if each of COPIES_MAX copies met a rewrite of the append-only file."""
    for attempt in range(COPIES_MAX):
        before = _files(source)
        try:
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target)
        except (OSError, shutil.Error):
            if attempt == COPIES_MAX - 1:
                raise
            continue
        # The manifest names the files of a rewrite, so a copy with files of before and after one could not be loaded.
        if _files(source) == before:
            return
    raise OSError(f"{source} was rewritten during each of {COPIES_MAX} copies")


def replace(folder: Path, source: Path) -> None:
    """Put what is in `source` into the folder, in place of what is there; `source` is gone afterwards."""
    empty(folder)
    for entry in source.iterdir():
        shutil.move(entry, folder / entry.name)
    shutil.rmtree(source)


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
