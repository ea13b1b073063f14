"""Whose requests administer: FLASHSALE_ADMIN_KEYS and FLASHSALE_ADMIN_TOKEN, in every service that administrators call alike."""

from flashsale_core import credentials
from flashsale_core.api_keys import ApiKey, read_keys, with_admin_tokens
from flashsale_core.errors import SettingsError
from flashsale_core.settings import Environment

TOKEN_CHARACTERS_MIN = 8


def read_admin_keys(env: Environment) -> tuple[ApiKey, ...]:
    """The keys of both variables; FLASHSALE_ADMIN_TOKEN may list several with a blank between. Raises SettingsError if neither is set."""
    token = env.optional("FLASHSALE_ADMIN_TOKEN")
    tokens = credentials.tokens(token, "FLASHSALE_ADMIN_TOKEN", TOKEN_CHARACTERS_MIN, "openssl rand -hex 24") if token else ()
    keys = with_admin_tokens(tokens, read_keys(env.optional("FLASHSALE_ADMIN_KEYS"), "FLASHSALE_ADMIN_KEYS"))
    if not keys:
        raise SettingsError("FLASHSALE_ADMIN_KEYS is not set, nor is FLASHSALE_ADMIN_TOKEN; set one of them to start this service")
    return keys
