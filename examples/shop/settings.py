"""The shop's settings, read once from the environment. Those that begin with FLASHSALE_ are the engine's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

STRIPE_KEY, STRIPE_WEBHOOK_SECRET = "SHOP_STRIPE_KEY", "SHOP_STRIPE_WEBHOOK_SECRET"


@dataclass(frozen=True, slots=True)
class Settings:
    engine_url: str
    """FLASHSALE_URL: the gateway's port for buyers."""
    webhook_secret: str
    """FLASHSALE_WEBHOOK_SECRET: signs what the payment provider reports to the engine."""
    buyer_token_key: str
    """FLASHSALE_BUYER_TOKEN_KEY: signs buyer tokens (mode `token`). Empty: the body names the buyer (mode `body`, on a laptop)."""
    ledger_url: str
    """FLASHSALE_LEDGER_API_URL: the engine's private port with /admin/refunds and /admin/events. Empty: people settle the refunds."""
    admin_key: str
    """SHOP_ADMIN_KEY: a key for that port, best one with a name of its own. Default: FLASHSALE_ADMIN_TOKEN."""
    events_secrets: tuple[str, ...]
    """SHOP_EVENTS_SECRET: the secret of the engine's webhooks to the shop; during a rotation two, with a blank between."""
    product: str
    """SHOP_PRODUCT: the sale."""
    amount_minor: int
    """SHOP_AMOUNT_MINOR: the price of a unit in the smallest unit of the currency."""
    currency: str
    """SHOP_CURRENCY"""
    public_url: str
    """SHOP_URL: where browsers reach the shop."""
    storefront_url: str
    """FLASHSALE_STOREFRONT_URL: the engine's pages of sales, whose buyers sign in and pay here. Empty: there are none."""
    database: str
    """SHOP_DATABASE: a file of SQLite."""
    reconcile_seconds: float
    """SHOP_RECONCILE_SECONDS: how often the shop looks for what no webhook has brought it."""
    stripe_key: str
    """SHOP_STRIPE_KEY: Stripe takes the payments; it needs SHOP_STRIPE_WEBHOOK_SECRET. Empty: they are simulated."""
    stripe_webhook_secret: str
    """SHOP_STRIPE_WEBHOOK_SECRET: the secret of Stripe's webhooks to the shop."""
    stripe_url: str
    """SHOP_STRIPE_URL: where Stripe's API is; tests put their own here."""


def read_settings(env: Mapping[str, str] = os.environ) -> Settings:
    """Raises KeyError with the name of a variable that is missing, and ValueError if only one of Stripe's two secrets is set."""
    stripe_key, stripe_webhook_secret = (env.get(name, "").strip() for name in (STRIPE_KEY, STRIPE_WEBHOOK_SECRET))
    if stripe_key and not stripe_webhook_secret:
        # Without it the key of the signature is empty, and anybody could sign an authorised payment.
        raise ValueError(
            f"{STRIPE_KEY} is set without {STRIPE_WEBHOOK_SECRET}: set it to the whsec_... secret of Stripe's webhook endpoint"
        )
    if stripe_webhook_secret and not stripe_key:
        raise ValueError(
            f"{STRIPE_WEBHOOK_SECRET} is set without {STRIPE_KEY}: set it to Stripe's secret key, or unset both to simulate payments"
        )
    return Settings(
        engine_url=env["FLASHSALE_URL"].rstrip("/"),
        webhook_secret=env["FLASHSALE_WEBHOOK_SECRET"].split()[0],
        buyer_token_key=env.get("FLASHSALE_BUYER_TOKEN_KEY", "").partition(" ")[0],
        ledger_url=env.get("FLASHSALE_LEDGER_API_URL", "").rstrip("/"),
        admin_key=env.get("SHOP_ADMIN_KEY", env.get("FLASHSALE_ADMIN_TOKEN", "")).partition(" ")[0],
        events_secrets=tuple(env.get("SHOP_EVENTS_SECRET", "").split()),
        product=env.get("SHOP_PRODUCT", "shoe"),
        amount_minor=int(env.get("SHOP_AMOUNT_MINOR", "4900")),
        currency=env.get("SHOP_CURRENCY", "EUR"),
        public_url=env.get("SHOP_URL", "http://127.0.0.1:8080").rstrip("/"),
        storefront_url=env.get("FLASHSALE_STOREFRONT_URL", "").rstrip("/"),
        database=env.get("SHOP_DATABASE", "shop.sqlite"),
        reconcile_seconds=float(env.get("SHOP_RECONCILE_SECONDS", "10")),
        stripe_key=stripe_key,
        stripe_webhook_secret=stripe_webhook_secret,
        stripe_url=env.get("SHOP_STRIPE_URL", "https://api.stripe.com"),
    )
