"""User ids of identity providers, as the engine keeps them. Pure."""

import base64
import re
from hashlib import sha256

from flashsale_core.ids import USER_ID_PATTERN, UserId

_FITS = re.compile(USER_ID_PATTERN)
_MAPPED = re.compile(r"u_[A-Za-z0-9_-]{22}")
_MAPPED_CHARACTERS = 22


def to_user_id(issuer: str, subject: str) -> UserId:
    """`subject` as it is, if the scripts can keep it; otherwise `u_` and 22 characters (132 bits) of SHA-256 over issuer and subject.

    A subject that looks like such an id is hashed too: nobody may choose the id of somebody else.
    """
    if _FITS.match(subject) and not _MAPPED.fullmatch(subject):
        return UserId(subject)
    digest = sha256(f"{issuer}\0{subject}".encode("utf-8", "surrogatepass")).digest()
    return UserId("u_" + base64.urlsafe_b64encode(digest).decode()[:_MAPPED_CHARACTERS])
