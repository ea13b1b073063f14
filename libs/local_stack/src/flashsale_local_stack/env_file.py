"""The file `<home>/env`: `NAME=value` lines for people, tools and shells."""

import shlex
from collections.abc import Mapping
from pathlib import Path


def read_env_file(path: Path) -> dict[str, str]:
    """The variables in the file; empty if there is no file. Blank lines, comments and lines without `=` are skipped."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    pairs = [line.removeprefix("export ").partition("=") for line in lines if "=" in line and not line.lstrip().startswith("#")]
    return {name.strip(): _unquoted(value.strip()) for name, _, value in pairs}


def write_env_file(path: Path, variables: Mapping[str, str]) -> None:
    """Write the variables so that a shell reads the same values. The file contains secrets: only its owner can read it."""
    path.touch(mode=0o600)
    path.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items()))


def _unquoted(value: str) -> str:
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value
