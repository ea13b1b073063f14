"""Signs a webhook as Standard Webhooks describes it. Pure. https://github.com/standard-webhooks/standard-webhooks, "Signature scheme"."""

import base64
import hmac
from collections.abc import Mapping, Sequence

from flashsale_core.credentials import WEBHOOK_PREFIX


def signed_headers(event_id: str, at_seconds: int, body: bytes, secrets: Sequence[str]) -> Mapping[str, str]:
    """The headers of one attempt. While a secret is replaced there are two, and a receiver accepts the signature of either."""
    content = f"{event_id}.{at_seconds}.".encode() + body
    return {
        "content-type": "application/json",
        "user-agent": "flashsale-notifier",
        "webhook-id": event_id,
        "webhook-timestamp": str(at_seconds),
        "webhook-signature": " ".join(_signature(secret, content) for secret in secrets),
    }


def _signature(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(WEBHOOK_PREFIX))
    return f"v1,{base64.b64encode(hmac.digest(key, content, 'sha256')).decode()}"
