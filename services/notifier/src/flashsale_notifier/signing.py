"""Signs a webhook as Standard Webhooks describes it. Pure. https://github.com/standard-webhooks/standard-webhooks, "Signature scheme"."""

from collections.abc import Mapping, Sequence

from flashsale_core.webhook_signature import webhook_signature


def signed_headers(event_id: str, at_seconds: int, body: bytes, secrets: Sequence[str]) -> Mapping[str, str]:
    """The headers of one attempt. While a secret is replaced there are two, and a receiver accepts the signature of either."""
    return {
        "content-type": "application/json",
        "user-agent": "flashsale-notifier",
        "webhook-id": event_id,
        "webhook-timestamp": str(at_seconds),
        "webhook-signature": " ".join(webhook_signature(secret, event_id, at_seconds, body) for secret in secrets),
    }
