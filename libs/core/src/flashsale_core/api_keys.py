"""Named keys of the shop's backends and of administrators: `name:key` pairs, and whose key a request bears. Pure.

A name may have several keys, so that one can be replaced while both are accepted. No error repeats a key.
"""

import hmac
import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

from flashsale_core import credentials
from flashsale_core.errors import SettingsError

ADMIN = "admin"
"""The name of the keys in FLASHSALE_ADMIN_TOKEN."""
KEY_CHARACTERS_MIN = 16
_COMMAND = "openssl rand -hex 24"
_NAME = re.compile(r"[a-z0-9-]{1,40}")
# RFC 6750, "b64token", without the dot: so no key looks like a buyer token or a JWT.
_KEY = re.compile(r"[A-Za-z0-9_~+/=-]*")


class ApiKey(NamedTuple):
    name: str
    """Who has the key. It stands in logs and in the ledger."""
    key: str


def read_keys(text: str, variable: str) -> tuple[ApiKey, ...]:
    """The pairs of `name:key,name:key`; none if `text` is empty. Raises SettingsError, which names the variable and the fix."""
    if not text:
        return ()
    keys = tuple(_read_key(pair, variable) for pair in text.split(","))
    if len({key.key for key in keys}) < len(keys):
        raise SettingsError(f"{variable} has one key twice; each name needs keys of its own")
    return keys


def with_admin_tokens(tokens: Iterable[str], keys: Iterable[ApiKey]) -> tuple[ApiKey, ...]:
    """The keys of administrators: those in FLASHSALE_ADMIN_TOKEN have the name `admin`."""
    return (*(ApiKey(ADMIN, token) for token in tokens), *keys)


class ApiKeys:
    """Whose key a bearer token is."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self._digests = tuple((sha256(key.encode()).digest(), name) for name, key in keys)

    def name_of(self, token: str) -> str | None:
        """The name of the key, or None if it is no key. The time it takes shows nothing about the keys."""
        given = sha256(token.encode()).digest()
        bearer = None
        # Every key is compared, and digests have one length, whatever the lengths of the keys.
        for digest, name in self._digests:
            if hmac.compare_digest(given, digest):
                bearer = name
        return bearer

    def name_of_bearer(self, authorization: str) -> str | None:
        """The same for an Authorization header (RFC 9110, 11.6.2). None also if its scheme is not Bearer."""
        return self.name_of(bearer) if (bearer := bearer_token(authorization)) else None


def bearer_token(authorization: str) -> str:
    """The token of an Authorization header whose scheme is Bearer, in any case; empty if it has another scheme."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _read_key(pair: str, variable: str) -> ApiKey:
    fix = f"write name:key, with a comma between two pairs, such as shop:$({_COMMAND})"
    name, colon, key = pair.partition(":")
    if not colon:
        raise SettingsError(f"{variable} has a part without a colon; {fix}")
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{variable} has a name that is not 1 to 40 lower-case letters, digits and '-'; {fix}")
    label = f"{variable}, key of {name},"
    credentials.token(key, label, KEY_CHARACTERS_MIN, _COMMAND)
    if not _KEY.fullmatch(key):
        raise SettingsError(f"{label} has a character other than letters, digits and - _ ~ + / =; try `{_COMMAND}`")
    return ApiKey(name, key)
