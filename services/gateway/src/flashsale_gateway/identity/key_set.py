"""The public keys of an identity provider: a JSON Web Key Set (RFC 7517). Each key verifies one algorithm, whatever a token asks for."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from jwt import PyJWK
from jwt.exceptions import PyJWTError

RSA_BITS_MIN = 2048
"""RFC 7518, 3.3."""
ALGORITHMS = {("RSA", ""): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
"""The algorithm of a key, by its type and curve."""


class VerificationKey(NamedTuple):
    kid: str
    """Empty if it has none."""
    algorithm: str
    key: Any


class KeySet:
    def __init__(self, keys: Iterable[VerificationKey]) -> None:
        self._keys = tuple(keys)

    def find(self, kid: str, algorithm: str) -> VerificationKey | None:
        """The key of that id and algorithm. A token without an id may use the only key of its algorithm."""
        fitting = [key for key in self._keys if key.algorithm == algorithm and (not kid or key.kid == kid)]
        return fitting[0] if len(fitting) == 1 else None

    @property
    def names(self) -> list[str]:
        """The key ids, sorted."""
        return sorted(key.kid for key in self._keys)


def parse(document: bytes) -> KeySet:
    """The keys of a document that can verify a signature; others are passed over. Raises ValueError when there is none."""
    try:
        decoded = msgspec.json.decode(document)
    except RecursionError:
        raise ValueError("the document is nested too deeply") from None
    members = decoded.get("keys") if isinstance(decoded, dict) else None
    if not isinstance(members, list):
        raise ValueError("the document has no list `keys`")
    keys = [key for member in members if isinstance(member, dict) and (key := _key_of(member)) is not None]
    if not keys:
        raise ValueError("no key of the document is an RSA key of 2048 bits or more, an EC key on P-256 or an Ed25519 key")
    return KeySet(keys)


def _key_of(member: Mapping[str, Any]) -> VerificationKey | None:
    kind = str(member.get("kty"))
    algorithm = ALGORITHMS.get((kind, "" if kind == "RSA" else str(member.get("crv"))))
    if algorithm is None or member.get("use", "sig") != "sig" or member.get("alg", algorithm) != algorithm:
        return None
    try:
        key = PyJWK(dict(member), algorithm).key
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    if getattr(key, "key_size", RSA_BITS_MIN) < RSA_BITS_MIN and kind == "RSA":
        return None
    kid = member.get("kid", "")
    return VerificationKey(kid if isinstance(kid, str) else "", algorithm, key)
