"""Buyer tokens (fsb1): a shop's server signs one to state who a buyer is. clients/fsb1_vectors.json describes the format."""

import base64
import hmac
import re

EXPIRES_MAX = 253_402_300_799
_MAC_BYTES = 18
_USER_ID = re.compile(r"[!$-\[\]-~][!#-\[\]-~]{0,254}")
_TO_ESCAPE = re.compile(r"[^A-Za-z0-9_-]")


def sign_buyer_token(key: str, user_id: str, expires: int) -> str:
    """The token of a buyer until `expires`, in seconds since the Unix epoch; `key` is FLASHSALE_BUYER_TOKEN_KEY of the installation.

    Raises ValueError when the engine would refuse the token.
    """
    if not _USER_ID.fullmatch(user_id):
        raise ValueError("user_id must be 1 to 255 printable ASCII characters without spaces, '\"' and '\\', the first not '#'")
    if not 0 < expires <= EXPIRES_MAX:
        raise ValueError("expires must be a time in seconds since the Unix epoch")
    signed = f"fsb1.{_TO_ESCAPE.sub(_escape, user_id)}.{expires}"
    mac = hmac.digest(key.encode(), signed.encode(), "sha256")[:_MAC_BYTES]
    return f"{signed}.{base64.urlsafe_b64encode(mac).decode()}"


def _escape(character: re.Match[str]) -> str:
    return f"~{ord(character[0]):02X}"
