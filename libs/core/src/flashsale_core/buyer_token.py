"""Buyer tokens: `fsb1.<user>.<expires>.<mac>`, by which a shop states who a buyer is. Pure.

The shop's backend signs one for a buyer who is logged in, and the buyer's browser sends it with each order. `clients/fsb1_vectors.json` has
examples for signers in other languages.
"""

import hmac
import re
from binascii import b2a_base64
from collections.abc import Sequence

from flashsale_core import credentials
from flashsale_core.errors import Rejected
from flashsale_core.ids import ID_LENGTH_MAX, ID_RULES, USER_ID_PATTERN, UserId

PREFIX = "fsb1"
KEY_CHARACTERS_MIN = 32
"""Buyers have tokens, so they can try keys at home."""
COMMAND = "openssl rand -hex 32"
EXPIRES_MAX = 253_402_300_799
"""The last second of the year 9999."""
_MAC_BYTES = 18
"""The beginning of HMAC-SHA-256: more than its half, as RFC 2104 asks for, and 24 characters of base64url without padding."""
_MAC_CHARACTERS = 24
# Possessive, so that a hostile token costs no backtracking. Each character is one that a header may have (RFC 6750, "b64token").
_TOKEN = re.compile(r"fsb1\.((?:[A-Za-z0-9_-]++|~[0-9A-Fa-f]{2})++)\.([1-9][0-9]{0,11})\.[A-Za-z0-9_-]{24}")
_ESCAPED = re.compile(r"~([0-9A-Fa-f]{2})")
_TO_ESCAPE = re.compile(r"[^A-Za-z0-9_-]")
_USER = re.compile(USER_ID_PATTERN)
_URLSAFE = bytes.maketrans(b"+/", b"-_")

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
        return f"{signed}.{_mac(self._keyed[0], signed.encode()).decode()}"

    def verify(self, token: str, now: float) -> UserId:
        """The buyer. Raises Rejected, whose reason is MALFORMED, FORGED or EXPIRED; `now` is in seconds since the Unix epoch."""
        parts = _TOKEN.fullmatch(token)
        if parts is None:
            raise Rejected(MALFORMED)
        encoded = token.encode()
        signed, given = encoded[: -_MAC_CHARACTERS - 1], encoded[-_MAC_CHARACTERS:]
        for keyed in self._keyed:
            if hmac.compare_digest(_mac(keyed, signed), given):
                break
        else:
            raise Rejected(FORGED)
        if now >= int(parts[2]):
            raise Rejected(EXPIRED)
        return _user(parts[1])


def keys_of(text: str, variable: str) -> tuple[bytes, ...]:
    """The keys of a setting: one, or several with one blank between. Raises SettingsError, which names the variable and the fix."""
    return tuple(key.encode() for key in credentials.tokens(text, variable, KEY_CHARACTERS_MIN, COMMAND))


def _mac(keyed: hmac.HMAC, signed: bytes) -> bytes:
    copy = keyed.copy()
    copy.update(signed)
    return b2a_base64(copy.digest()[:_MAC_BYTES], newline=False).translate(_URLSAFE)


def _user(escaped: str) -> UserId:
    """A signer of the shop may have made a mistake, so the id of a genuine token is checked too."""
    if "~" not in escaped and len(escaped) <= ID_LENGTH_MAX:
        return UserId(escaped)
    user_id = _ESCAPED.sub(_unescape, escaped)
    if not _USER.match(user_id):
        raise Rejected(MALFORMED)
    return UserId(user_id)


def _escape(character: re.Match[str]) -> str:
    return f"~{ord(character[0]):02X}"


def _unescape(code: re.Match[str]) -> str:
    return chr(int(code[1], 16))
