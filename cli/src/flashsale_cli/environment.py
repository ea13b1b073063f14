"""Where a command finds its settings: an option, the environment, or the file that `flashsale stack up` writes."""

import os
from collections.abc import Mapping
from pathlib import Path

from flashsale_core.api_keys import read_keys
from flashsale_core.buyer_token import BuyerTokens, keys_of
from flashsale_core.errors import SettingsError
from flashsale_core.keys import SHARDS_DEFAULT
from flashsale_core.settings import Environment
from flashsale_local_stack import DEFAULT_HOME, read_env_file

ENV_FILE = DEFAULT_HOME / "env"
URL_DEFAULT = "http://127.0.0.1:8000"


class CliEnvironment:
    """The variables of the environment, and those of the file that the environment does not set. A missing file counts as empty."""

    def __init__(self, variables: Mapping[str, str] | None = None, file: Path = ENV_FILE) -> None:
        given = os.environ if variables is None else variables
        self._variables = read_env_file(file) | {name: value for name, value in given.items() if value}

    def url(self, option: str | None = None) -> str:
        """The gateway's address, without a slash at the end."""
        return self.text("FLASHSALE_URL", option, URL_DEFAULT).rstrip("/")

    def admin_url(self, option: str | None = None) -> str:
        """The address of the gateway's /admin and /metrics: that of everything else, unless the gateway has an admin port."""
        return self.text("FLASHSALE_ADMIN_URL", option, self.url()).rstrip("/")

    def ledger_api_url(self, option: str | None = None) -> str:
        """The address of the ledger-api. Raises SettingsError: it has no default."""
        return self.text("FLASHSALE_LEDGER_API_URL", option).rstrip("/")

    def shards(self) -> int:
        """How many shards the Redis keys have. Raises SettingsError."""
        return self.variables().integer("FLASHSALE_SHARDS", SHARDS_DEFAULT, least=1, most=4096)

    def buyer_tokens(self) -> BuyerTokens:
        """Signs with the shop's key. Raises SettingsError."""
        name = "FLASHSALE_BUYER_TOKEN_KEY"
        return BuyerTokens(keys_of(self.text(name), name))

    def service_key(self) -> str:
        """The first of the keys of the shop's backends. Raises SettingsError."""
        name = "FLASHSALE_SERVICE_KEYS"
        return read_keys(self.text(name), name)[0].key

    def variables(self) -> Environment:
        """For settings that a service has as well."""
        return Environment(self._variables)

    def text(self, name: str, option: str | None = None, default: str | None = None) -> str:
        """Raises SettingsError with the variable's name and the ways to set it."""
        value = option or self._variables.get(name) or default
        if value is None:
            raise SettingsError(
                f"{name} is not set: set it, change to the folder that contains {ENV_FILE}, or start a stack with `flashsale stack up`"
            )
        return value
