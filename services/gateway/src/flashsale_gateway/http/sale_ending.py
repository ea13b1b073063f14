"""The end of a sale through /admin: close it, remove it once no hold is live, or give it up to its next owner."""

from dataclasses import dataclass
from typing import Any, Protocol

from flashsale_gateway.http.sale_documents import ADMIN

NOBODY = ""
"""Acts on sales that a FlashSale resource has released."""
MODES = {"close": ("close",), "remove": ("close", "remove"), "release": ("release",)}
"""The actions of lua/retire.lua in each mode, in order."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The result of ending a sale: the status of lua/retire.lua, and the units still reserved."""

    status: str
    reserved: int


class Retire(Protocol):
    async def retire(self, sale_id: str, action: str, owner: str, by: str) -> tuple[str, int]: ...


async def end(store: Retire, sale_id: str, mode: str, by: str) -> Ended:
    """Close, remove or release a sale that /admin or nobody owns, as `by` asks. May be repeated. `remove` only closes one with live holds.

    A released sale goes on, and whoever defines it next owns it: a FlashSale of any namespace.
    Raises StoreUnavailable and OutcomeUnknown.
    """
    ended = await _end_as(ADMIN, store, sale_id, mode, by)
    return await _end_as(NOBODY, store, sale_id, mode, by) if ended.status in ("not_owner", "unknown_sale") else ended


async def _end_as(owner: str, store: Retire, sale_id: str, mode: str, by: str) -> Ended:
    first, *others = MODES[mode]
    ended = Ended(*await store.retire(sale_id, first, owner, by))
    for action in others if ended.status == "closed" else ():
        ended = Ended(*await store.retire(sale_id, action, owner, by))
    return ended


def to_json(sale_id: str, ended: Ended) -> dict[str, Any]:
    state = ended.status if ended.status in ("removed", "released") else "closed"
    return {"productId": sale_id, "state": state, "reserved": ended.reserved}
