"""The machine's Node, or the one that comes with Playwright, which `scripts/servers.sh test` installs."""

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

VERSION_MIN = 18


def find_node() -> str | None:
    """A Node that is new enough."""
    return next((path for path in (_installed(), shutil.which("node")) if path and _version(path) >= VERSION_MIN), None)


def _installed() -> str | None:
    spec = find_spec("playwright")
    return str(Path(spec.origin).parent / "driver" / "node") if spec and spec.origin else None


def _version(path: str) -> int:
    shown = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    return int(shown.removeprefix("v").partition(".")[0] or 0)
