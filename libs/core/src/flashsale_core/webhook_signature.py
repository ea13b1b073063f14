"""The signature of a webhook. Pure. https://github.com/standard-webhooks/standard-webhooks, "Signature scheme"."""

import base64
import hmac

from flashsale_core.credentials import WEBHOOK_PREFIX


def webhook_signature(secret: str, message_id: str, at_seconds: int, body: bytes) -> str:
    """The value of `webhook-signature` for one secret, `whsec_` and base64; `at_seconds` is that of `webhook-timestamp`."""
    key = base64.b64decode(secret.removeprefix(WEBHOOK_PREFIX))
    content = f"{message_id}.{at_seconds}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, content, 'sha256')).decode()}"
