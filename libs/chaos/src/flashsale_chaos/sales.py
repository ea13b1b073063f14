"""The sales of the crowd: one of each durability, both in one shard, so that their entries have one order. Pure."""

from random import Random
from typing import Any

import msgspec

from flashsale_core.keys import SHARDS_DEFAULT, shard_of

WINDOW_SECONDS = 5
STOCK = 60
"""So small that it is sold out most of the time: what is released is then sold again at once."""
STOCK_STEP = 40
"""How much a merchant adds at a time."""
QUANTITY_MAX = 3
MAX_PER_USER = 12
PRICE_MINOR = 4900
CURRENCY = "EUR"


class Sale(msgspec.Struct, frozen=True):
    sale_id: str
    durability: str
    late_payment: str
    window_seconds: int = WINDOW_SECONDS
    max_per_user: int = MAX_PER_USER

    @property
    def is_confirmed(self) -> bool:
        return self.durability == "confirmed"

    def definition(self, stock: int) -> dict[str, Any]:
        """The document of POST /admin/stock."""
        return {
            "productId": self.sale_id,
            "stock": stock,
            "paymentWindowSeconds": self.window_seconds,
            "maxPerUser": self.max_per_user,
            "latePayment": self.late_payment,
            "durability": self.durability,
            "price": {"amountMinor": PRICE_MINOR, "currency": CURRENCY},
        }


def new_pair(rng: Random, number: int, shards: int = SHARDS_DEFAULT) -> list[Sale]:
    """A sale whose late payments are refunded and one whose units may be bought back, both of one shard that differs from pair to pair."""
    shard = rng.randrange(shards)
    kinds = (("fsync", "reacquire"), ("confirmed", "refund")) if number % 2 else (("fsync", "refund"), ("confirmed", "reacquire"))
    return [Sale(_name_in(rng, shard, f"chaos-{number}-{durability}", shards), durability, late) for durability, late in kinds]


def _name_in(rng: Random, shard: int, stem: str, shards: int) -> str:
    while True:
        name = f"{stem}-{rng.getrandbits(24):06x}"
        if shard_of(name, shards) == shard:
            return name
