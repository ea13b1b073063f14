"""A copy of the sources, in which a bug is planted and which then runs in place of them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.chaos.bugs import Bug

ROOT = Path(__file__).parents[2]
FOLDERS = ("libs", "services", "cli", "lua", "db")
IMPORT_TIMEOUT_SECONDS = 60.0
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", "tests", ".venv", "node_modules")


class PlantError(Exception):
    """The list of bugs does not fit the sources, or the copy is not what runs."""


def occurrences(bug: Bug) -> list[int]:
    """How often the old text of each edit occurs in its file."""
    return [(ROOT / edit.file).read_text().count(edit.old) for edit in bug.edits]


def plant(bug: Bug, folder: Path) -> None:
    """Copy the sources into `folder`, with the bug. Raises PlantError if a text does not occur exactly once."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=IGNORED)
    for edit in bug.edits:
        path = folder / edit.file
        text = path.read_text()
        if text.count(edit.old) != 1:
            raise PlantError(f"{bug.name}: {edit.file} has the text {text.count(edit.old)} times: {edit.old!r}")
        path.write_text(text.replace(edit.old, edit.new))


def environment(folder: Path) -> dict[str, str]:
    """The variables with which a Python, and all that it starts, runs the copy."""
    packages = [str(source) for source in sorted(folder.glob("*/**/src")) if any(source.glob("flashsale_*"))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(packages), "FLASHSALE_ROOT": str(folder)}


def require_copy(folder: Path) -> None:
    """Raises PlantError unless every package of the copy is imported from it."""
    names = sorted({package.name for package in folder.glob("*/**/src/flashsale_*") if package.is_dir()})
    code = f"from importlib.util import find_spec as find; print(*[find(name).origin for name in {names}], sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=IMPORT_TIMEOUT_SECONDS,
        check=False,
    )
    elsewhere = [line for line in done.stdout.splitlines() if not Path(line).is_relative_to(folder.resolve())]
    if done.returncode or elsewhere or not names:
        raise PlantError(f"the copy in {folder} is not what runs: {elsewhere or done.stderr}")
