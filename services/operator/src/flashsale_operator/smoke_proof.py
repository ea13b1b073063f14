"""How the orders of `helm test` prove who buys: by a service key or a buyer token, whichever the gateways accept."""

import time
from collections.abc import Callable, Mapping

from flashsale_core.api_keys import read_keys
from flashsale_core.buyer_token import BuyerTokens, keys_of
from flashsale_core.settings import Environment

TOKEN_SECONDS = 600
Proof = Callable[[str], Mapping[str, str]]
"""Returns the headers of a buyer's request."""


def proof_of(env: Environment) -> Proof | None:
    """None if the gateways accept only proofs that cannot be made here: a JWT, or the header of a proxy. Raises SettingsError."""
    service, buyer = "FLASHSALE_SERVICE_KEYS", "FLASHSALE_BUYER_TOKEN_KEY"
    if keys := read_keys(env.optional(service), service):
        return lambda _: _bearer(keys[0].key)
    if env.optional(buyer):
        tokens = BuyerTokens(keys_of(env.text(buyer), buyer))
        return lambda user: _bearer(tokens.sign(user, int(time.time()) + TOKEN_SECONDS))
    return (lambda _: {}) if "body" in env.text("FLASHSALE_IDENTITY", "body").split(",") else None


def _bearer(token: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"}
