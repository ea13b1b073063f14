"""Buyer tokens: `fsb1.<user>.<expires>.<mac>`, by which a shop states who a buyer is. Pure.

The shop's backend signs one for a buyer who is logged in, and the buyer's browser sends it with each order. `clients/fsb1_vectors.json` has
examples for signers in other languages.
"""

import base64
import hmac
import re
from collections.abc import Sequence

from flashsale_core import credentials
from flashsale_core.errors import Rejected
from flashsale_core.ids import ID_RULES, USER_ID_PATTERN, UserId

PREFIX = "fsb1"
KEY_CHARACTERS_MIN = 32
"""Buyers have tokens, so they can try keys at home."""
COMMAND = "openssl rand -hex 32"
EXPIRES_MAX = 253_402_300_799
"""The last second of the year 9999."""
_MAC_BYTES = 18
"""The beginning of HMAC-SHA-256: more than its half, as RFC 2104 asks for, and 24 characters of base64url without padding."""
_ESCAPED = re.compile(r"~([0-9A-Fa-f]{2})")
_WELL_ESCAPED = re.compile(r"(?:[^~]|~[0-9A-Fa-f]{2})*")
_TO_ESCAPE = re.compile(r"[^A-Za-z0-9_-]")
_USER = re.compile(USER_ID_PATTERN)
_EXPIRES = re.compile(r"[1-9][0-9]{0,11}")

MALFORMED = "malformed"
FORGED = "forged"
"""No key of this installation signed it."""
EXPIRED = "expired"


class BuyerTokens:
    """Signs with the first key, and accepts tokens of every key: so a key can be replaced."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        # Hashes to be copied: setting up a key costs more than hashing a token.
        self._keyed = tuple(hmac.new(key, digestmod="sha256") for key in keys)

    def sign(self, user_id: str, expires: int) -> str:
        """The token of a buyer until `expires`, in seconds since the Unix epoch. Raises ValueError for what `verify` would refuse."""
        if not _USER.match(user_id):
            raise ValueError(f"a user id has {ID_RULES[USER_ID_PATTERN]}")
        if not 0 < expires <= EXPIRES_MAX:
            raise ValueError("expires must be a time in seconds since the Unix epoch")
        signed = f"{PREFIX}.{_TO_ESCAPE.sub(_escape, user_id)}.{expires}"
        return f"{signed}.{_mac(self._keyed[0], signed)}"

    def verify(self, token: str, now: float) -> UserId:
        """The buyer. Raises Rejected, whose reason is MALFORMED, FORGED or EXPIRED; `now` is in seconds since the Unix epoch."""
        signed, _, mac = token.rpartition(".")
        parts = signed.split(".")
        if len(parts) != 3 or parts[0] != PREFIX or not token.isascii():
            raise Rejected(MALFORMED)
        for keyed in self._keyed:
            if hmac.compare_digest(_mac(keyed, signed), mac):
                return _buyer(parts[1], parts[2], now)
        raise Rejected(FORGED)


def keys_of(text: str, variable: str) -> tuple[bytes, ...]:
    """The keys of a setting: one, or several with one blank between. Raises SettingsError, which names the variable and the fix."""
    return tuple(key.encode() for key in credentials.tokens(text, variable, KEY_CHARACTERS_MIN, COMMAND))


def _buyer(escaped: str, expires: str, now: float) -> UserId:
    """A signer of the shop may have made a mistake, so what a genuine token contains is checked too."""
    if not _EXPIRES.fullmatch(expires):
        raise Rejected(MALFORMED)
    if now >= int(expires):
        raise Rejected(EXPIRED)
    user_id = _ESCAPED.sub(_unescape, escaped) if "~" in escaped else escaped
    if not _WELL_ESCAPED.fullmatch(escaped) or not _USER.match(user_id):
        raise Rejected(MALFORMED)
    return UserId(user_id)


def _mac(keyed: hmac.HMAC, signed: str) -> str:
    copy = keyed.copy()
    copy.update(signed.encode())
    return base64.urlsafe_b64encode(copy.digest()[:_MAC_BYTES]).decode()


def _escape(character: re.Match[str]) -> str:
    return f"~{ord(character[0]):02X}"


def _unescape(code: re.Match[str]) -> str:
    return chr(int(code[1], 16))
