"""Passwords of people, as scrypt hashes (RFC 7914) in one line of text. Pure.

The cost is that of the OWASP Password Storage Cheat Sheet, "scrypt": N=2^15, r=8, p=3, which takes 32 MiB and some 0.3 s for each check.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets

LENGTH_MIN, LENGTH_MAX = 12, 256
"""Characters of a password. The longest bounds what a login may make the server hash."""
LOG_N, R, P = 15, 8, 3
_SALT_BYTES, _HASH_BYTES = 16, 32
_MEMORY_BYTES = 64 * 2**20
_HASH = re.compile(r"scrypt:([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2}):([A-Za-z0-9_-]{22}):([A-Za-z0-9_-]{43})")


def hash_password(password: str, salt: bytes | None = None) -> str:
    """`scrypt:<log2 N>:<r>:<p>:<salt>:<hash>`, both in base64url. Raises ValueError if the password is too short or too long."""
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        raise ValueError(f"a password has {LENGTH_MIN} to {LENGTH_MAX} characters")
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    return f"scrypt:{LOG_N}:{R}:{P}:{_text(salt)}:{_text(_scrypt(password, salt, LOG_N, R, P))}"


def is_hash(text: str) -> bool:
    """Whether `text` is a hash that `is_password` can check, of no more than this release's cost."""
    match = _HASH.fullmatch(text)
    return match is not None and 10 <= int(match[1]) <= LOG_N and 1 <= int(match[2]) <= R and 1 <= int(match[3]) <= P


def is_password(password: str, hashed: str) -> bool:
    """Whether `hashed` is the hash of `password`. False as well if it is no hash, or the password is too long."""
    match = _HASH.fullmatch(hashed)
    if match is None or not is_hash(hashed) or len(password) > LENGTH_MAX:
        return False
    log_n, r, p, salt, wanted = match.groups()
    try:
        return hmac.compare_digest(_scrypt(password, _bytes(salt), int(log_n), int(r), int(p)), _bytes(wanted))
    except (binascii.Error, ValueError):
        return False


def _scrypt(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    text = password.encode(errors="surrogatepass")
    return hashlib.scrypt(text, salt=salt, n=2**log_n, r=r, p=p, maxmem=_MEMORY_BYTES, dklen=_HASH_BYTES)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
