"""An identity provider for tests: its keys, the document it publishes, and the JWTs that it signs."""

import json
import time
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from flashsale_gateway.identity_settings import JwtSettings

ISSUER, AUDIENCE = "https://login.example.com/", "shop"
SECRET = "a-shared-secret-of-32-characters"
SETTINGS = JwtSettings(ISSUER, AUDIENCE, "sub", 0, (SECRET,), "", None, 300, 30, 5, 100_000)
_ALGORITHMS: Mapping[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


class IdentityProvider:
    def __init__(self) -> None:
        self.private: dict[str, Any] = {
            "RS256": rsa.generate_private_key(65537, 2048),
            "ES256": ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        }

    def published(self, **more: str) -> list[dict[str, Any]]:
        """The keys of its document, whose ids are their algorithms."""
        return [
            json.loads(_ALGORITHMS[algorithm].to_jwk(key.public_key())) | {"kid": algorithm, **more}
            for algorithm, key in self.private.items()
        ]

    def document(self) -> bytes:
        return json.dumps({"keys": self.published()}).encode()

    def token(self, algorithm: str, subject: Any = "ann", *, kid: str | None = None, key: Any = None, **claims: Any) -> str:
        """A JWT that is valid for an hour; a claim of None is left out."""
        all_claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "exp": int(time.time()) + 3600, **claims}
        signing = key if key is not None else SECRET if algorithm == "HS256" else self.private[algorithm]
        present = {name: value for name, value in all_claims.items() if value is not None}
        return jwt.encode(present, signing, algorithm, {"kid": algorithm if kid is None else kid})
