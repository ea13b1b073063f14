"""Where commands find the stack: an option, else the environment, else `.flashsale/env` as `flashsale stack up` wrote it."""

import os
from collections.abc import Mapping
from pathlib import Path

from flashsale_core.errors import SettingsError
from flashsale_core.keys import SHARDS_DEFAULT
from flashsale_core.settings import Environment

ENV_FILE = Path(".flashsale") / "env"
URL_DEFAULT = "http://127.0.0.1:8000"


class Surroundings:
    """The environment over the file. A missing file is an empty one."""

    def __init__(self, variables: Mapping[str, str] | None = None, file: Path = ENV_FILE) -> None:
        given = os.environ if variables is None else variables
        self._variables = read_env_file(file) | {name: value for name, value in given.items() if value}

    def url(self, option: str | None = None) -> str:
        return self.text("FLASHSALE_URL", option, URL_DEFAULT).rstrip("/")

    def shards(self) -> int:
        return Environment(self._variables).integer("FLASHSALE_SHARDS", SHARDS_DEFAULT, least=1, most=4096)

    def text(self, name: str, option: str | None = None, default: str | None = None) -> str:
        """Raises SettingsError naming the variable and the ways to set it."""
        value = option or self._variables.get(name) or default
        if value is None:
            raise SettingsError(f"{name} is not set: set it, run where {ENV_FILE} is, or start a stack with `flashsale stack up`")
        return value


def read_env_file(path: Path) -> dict[str, str]:
    """`NAME=value` lines; blank lines and lines after '#' say nothing."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    pairs = [line.removeprefix("export ").partition("=") for line in lines if "=" in line and not line.lstrip().startswith("#")]
    return {name.strip(): _unquoted(value.strip()) for name, _, value in pairs}


def _unquoted(value: str) -> str:
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value
