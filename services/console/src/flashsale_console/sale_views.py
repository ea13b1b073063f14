"""A sale as its pages show it: the ledger's row with Redis' numbers, or the final ones if Redis has it no more. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flashsale_console.attention import number
from flashsale_core.owners import is_released, namespace_of
from flashsale_core.prices import money, read_price
from flashsale_core.sale_times import is_sale_time

STATE_WORDS = {
    "selling": "On sale", "upcoming": "Not started", "over": "Over", "paused": "Paused", "closed": "Ended", "removed": "Removed",
    "sold_out": "Sold out", "locked": "Locked", "recovering": "Recovering", "away": "Redis is away",
}  # fmt: skip
FINAL = ("closed", "removed")
"""States that stay, whatever Redis has."""


@dataclass(frozen=True, slots=True)
class SaleView:
    sale_id: str
    epoch: int
    phase: str
    """A key of STATE_WORDS."""
    stock: int
    available: int | None
    """None if nobody knows it: Redis has the sale no more, and the ledger no final numbers."""
    reserved: int | None
    sold: int | None
    returned: int
    starts_at: datetime | None
    ends_at: datetime | None
    owner: str
    generation: int | None
    """None if Redis does not have the sale."""
    price: str
    is_live: bool
    """Whether the numbers are Redis' of this moment."""

    @property
    def words(self) -> str:
        return STATE_WORDS[self.phase]

    @property
    def flashsale(self) -> str:
        """`namespace/name` of the FlashSale that owns the sale; empty if none does."""
        return "/".join(self.owner.split("/")[:2]) if namespace_of(self.owner) and not is_released(self.owner) else ""

    @property
    def can_change(self) -> bool:
        return self.is_live and not self.flashsale and self.phase not in (*FINAL, "recovering")

    @property
    def per_mille(self) -> tuple[int, int]:
        """(sold, reserved) of the stock, for a bar; 0 while unknown."""
        whole = max(self.stock, 1)
        return min(1000, 1000 * (self.sold or 0) // whole), min(1000, 1000 * (self.reserved or 0) // whole)


def view(row: Mapping[str, Any], fields: Mapping[str, str], now: datetime, doubt: str = "") -> SaleView:
    """`fields` are Redis' of the sale; empty, or those of a later sale of the name, if it has this one no more.

    `doubt` is `recovering` or `away` while Redis is: nobody knows then whether the sale sells.
    """
    is_live = bool(fields) and number(fields, "epoch") == row["epoch"]
    state = fields.get("state", row["state"]) if is_live else row["state"]
    starts_at = _moment(fields, "starts_ms") if is_live else row["starts_at"]
    ends_at = _moment(fields, "ends_ms") if is_live else row["ends_at"]
    phase = _phase(state, number(fields, "available") if is_live else None, starts_at, ends_at, now)
    return SaleView(
        sale_id=row["sale_id"],
        epoch=row["epoch"],
        phase=doubt if doubt and phase not in FINAL else phase,
        stock=number(fields, "total") if is_live else row["total"],
        available=number(fields, "available") if is_live else row["final_available"],
        reserved=number(fields, "reserved") if is_live else row["final_reserved"],
        sold=number(fields, "sold") if is_live else row["final_sold"],
        returned=number(fields, "returned") if is_live else 0,
        starts_at=starts_at,
        ends_at=ends_at,
        owner=fields.get("owner", row["owner"]) if is_live else row["owner"],
        generation=number(fields, "generation") if is_live else None,
        price=money_of(fields.get("price", "") if is_live else row["price"]),
        is_live=is_live,
    )


def _moment(fields: Mapping[str, str], name: str) -> datetime | None:
    """0 means no time."""
    ms = number(fields, name)
    return datetime.fromtimestamp(ms / 1000, UTC) if is_sale_time(ms) else None


def _phase(state: str, available: int | None, starts_at: datetime | None, ends_at: datetime | None, now: datetime) -> str:
    if state != "open":
        return state
    if available is not None and available < 0:
        return "locked"
    if ends_at is not None and ends_at <= now:
        return "over"
    if starts_at is not None and starts_at > now:
        return "upcoming"
    return "sold_out" if available == 0 else "selling"


def money_of(text: str) -> str:
    """The price that the ledger has as text; as it is if it cannot be read, and empty if there is no price."""
    try:
        price = read_price(text)
    except ValueError:
        return text
    return money(*price) if price else ""
