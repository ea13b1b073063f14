"""Buyer tokens: `fsb1.<user>.<expires>.<mac>`, by which a shop states who a buyer is. Pure.

The shop's backend signs one for a buyer who is logged in, and the buyer's browser sends it with each order. `clients/fsb1_vectors.json` has
examples for signers in other languages.
"""

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from hmac import compare_digest

from flashsale_core import credentials
from flashsale_core.errors import Rejected
from flashsale_core.ids import ID_LENGTH_MAX, ID_RULES, USER_ID_PATTERN, UserId
from flashsale_core.macs import mac_with

PREFIX = "fsb1"
KEY_CHARACTERS_MIN = 32
"""Buyers have tokens, so they can try keys at home."""
COMMAND = "openssl rand -hex 32"
EXPIRES_MAX = 253_402_300_799
"""The last second of the year 9999."""
_MAC_BYTES = 18
"""The beginning of HMAC-SHA-256: more than its half, as RFC 2104 asks for, and 24 characters of base64url without padding."""
# Each character is one that a header may have (RFC 6750, "b64token"). Possessive, so that a hostile token costs no backtracking, and a loop
# over escapes only, so that a user without one costs nothing for them.
_USER_TEXT = r"(?!\.)[A-Za-z0-9_-]*+(?:~[0-9A-Fa-f]{2}[A-Za-z0-9_-]*+)*+"
_TOKEN = re.compile(rf"({PREFIX}\.({_USER_TEXT})\.([1-9][0-9]{{0,11}}))\.([A-Za-z0-9_-]{{24}})".encode())
BEARER = re.compile(b"Bearer " + _TOKEN.pattern)
"""An Authorization header with a token, as nearly every client writes it. Its match is what `BuyerTokens.check` takes."""
_ESCAPED = re.compile(r"~([0-9A-Fa-f]{2})")
_TO_ESCAPE = re.compile(r"[^A-Za-z0-9_-]")
_USER = re.compile(USER_ID_PATTERN)
_URLSAFE = bytes.maketrans(b"+/", b"-_")
_STANDARD = bytes.maketrans(b"-_", b"+/")

MALFORMED = "malformed"
FORGED = "forged"
"""No key of this installation signed it."""
EXPIRED = "expired"


class BuyerTokens:
    """Signs with the first key, and accepts tokens of every key: so a key can be replaced."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._macs = tuple(mac_with(key) for key in keys)

    def sign(self, user_id: str, expires: int) -> str:
        """The token of a buyer until `expires`, in seconds since the Unix epoch. Raises ValueError for what `verify` would refuse."""
        if not _USER.match(user_id):
            raise ValueError(f"a user id has {ID_RULES[USER_ID_PATTERN]}")
        if not 0 < expires <= EXPIRES_MAX:
            raise ValueError("expires must be a time in seconds since the Unix epoch")
        signed = f"{PREFIX}.{_TO_ESCAPE.sub(_escape, user_id)}.{expires}"
        mac = self._macs[0](signed.encode())[:_MAC_BYTES]
        return f"{signed}.{b2a_base64(mac, newline=False).translate(_URLSAFE).decode()}"

    def verify(self, token: bytes, now: float) -> UserId:
        """The buyer. Raises Rejected, whose reason is MALFORMED, FORGED or EXPIRED; `now` is in seconds since the Unix epoch."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise Rejected(MALFORMED)
        return self.check(match, now)

    def check(self, match: re.Match[bytes], now: float) -> UserId:
        """The buyer of a token that has its form; otherwise as `verify`, without a second call for each order."""
        signed, user, expires, mac_text = match.groups()
        # Each text of 24 characters stands for other 18 bytes, so no token has a second form.
        given = a2b_base64(mac_text.translate(_STANDARD))
        for mac in self._macs:
            if compare_digest(mac(signed)[:_MAC_BYTES], given):
                break
        else:
            raise Rejected(FORGED)
        # A float has 12 digits exactly, and reading one takes half the time of an int.
        if now >= float(expires):
            raise Rejected(EXPIRED)
        user_id = user.decode()
        # A signer of the shop may have made a mistake, so the id of a genuine token is checked too.
        if "~" in user_id or len(user_id) > ID_LENGTH_MAX:
            return _unescaped(user_id)
        return user_id  # type: ignore[return-value] # UserId(...) is a call, for each order


def keys_of(text: str, variable: str) -> tuple[bytes, ...]:
    """The keys of a setting: one, or several with one blank between. Raises SettingsError, which names the variable and the fix."""
    return tuple(key.encode() for key in credentials.tokens(text, variable, KEY_CHARACTERS_MIN, COMMAND))


def _unescaped(escaped: str) -> UserId:
    user_id = _ESCAPED.sub(_unescape, escaped)
    if not _USER.match(user_id):
        raise Rejected(MALFORMED)
    return UserId(user_id)


def _escape(character: re.Match[str]) -> str:
    return f"~{ord(character[0]):02X}"


def _unescape(code: re.Match[str]) -> str:
    return chr(int(code[1], 16))
