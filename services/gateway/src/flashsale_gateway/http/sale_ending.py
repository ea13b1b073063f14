"""The end of a sale through /admin: close it, and remove it once no hold is live."""

from dataclasses import dataclass
from typing import Any, Protocol

from flashsale_gateway.http.sale_documents import ADMIN

NOBODY = ""
"""The owner of sales that a FlashSale resource has released."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The result of ending a sale: the status of lua/retire.lua, and the units still reserved."""

    status: str
    reserved: int


class Retire(Protocol):
    async def retire(self, sale_id: str, action: str, owner: str) -> tuple[str, int]: ...


async def end(store: Retire, sale_id: str, *, remove: bool) -> Ended:
    """Close a sale that /admin or nobody owns; with `remove`, also remove it if no hold is live. May be repeated.

    Raises StoreUnavailable and OutcomeUnknown.
    """
    ended = await _end_as(ADMIN, store, sale_id, remove=remove)
    return await _end_as(NOBODY, store, sale_id, remove=remove) if ended.status in ("not_owner", "unknown_sale") else ended


async def _end_as(owner: str, store: Retire, sale_id: str, *, remove: bool) -> Ended:
    ended = Ended(*await store.retire(sale_id, "close", owner))
    return Ended(*await store.retire(sale_id, "remove", owner)) if remove and ended.status == "closed" else ended


def to_json(sale_id: str, ended: Ended) -> dict[str, Any]:
    return {"productId": sale_id, "state": "removed" if ended.status == "removed" else "closed", "reserved": ended.reserved}
