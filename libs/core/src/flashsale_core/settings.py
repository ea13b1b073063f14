"""Reading settings from the environment, once, with errors that name the variable and the fix."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from flashsale_core.errors import SettingsError

T = TypeVar("T")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class Environment:
    """A reader over environment variables. An empty variable counts as not set."""

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = os.environ if variables is None else variables

    def text(self, name: str, default: str | None = None) -> str:
        value = self._variables.get(name, "") or default
        if value is None:
            raise SettingsError(f"{name} is not set; set it to start this service")
        return value

    def optional(self, name: str) -> str:
        """Empty when it is not set."""
        return self._variables.get(name, "")

    def integer(self, name: str, default: int, *, least: int = 0, most: int = 2**31) -> int:
        return self._number(name, default, int, "a whole number", least, most)

    def number(self, name: str, default: float, *, least: float = 0, most: float = 1e9) -> float:
        return self._number(name, default, float, "a number", least, most)

    def flag(self, name: str, *, default: bool) -> bool:
        raw = self._variables.get(name, "").lower()
        if raw not in ("", "true", "false"):
            raise SettingsError(f"{name} must be true or false, not {raw!r}")
        return default if not raw else raw == "true"

    def integers(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        raw = self._variables.get(name, "")
        if not raw:
            return default
        try:
            values = tuple(int(part) for part in raw.split(","))
        except ValueError:
            raise SettingsError(f"{name} must be whole numbers with commas between, not {raw!r}") from None
        if any(value <= 0 for value in values):
            raise SettingsError(f"{name} must be whole numbers above 0, not {raw!r}")
        return values

    def log_level(self, name: str) -> str:
        """In capitals; INFO when it is not set."""
        level = self.text(name, "INFO").upper()
        if level not in LOG_LEVELS:
            raise SettingsError(f"{name} must be one of {', '.join(LOG_LEVELS)}, not {level!r}")
        return level

    def directory(self, name: str, default: str) -> Path:
        path = Path(self.text(name, default))
        if not path.is_dir():
            raise SettingsError(f"{name} must be a directory; {str(path)!r} is not one")
        return path

    def _number(self, name: str, default: T, parse: Callable[[str], T], words: str, least: float, most: float) -> T:
        raw = self._variables.get(name, "")
        if not raw:
            return default
        try:
            value = parse(raw)
        except ValueError:
            raise SettingsError(f"{name} must be {words}, not {raw!r}") from None
        if not least <= value <= most:  # type: ignore[operator]
            raise SettingsError(f"{name} must be between {least} and {most}, not {raw!r}")
        return value
