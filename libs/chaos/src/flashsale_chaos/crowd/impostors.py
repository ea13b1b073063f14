"""The impostors: they order in the name of buyers, and cancel orders of buyers, with tokens that prove nothing."""

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from flashsale_chaos.crowd.buyers import NAME_BITS, USERS
from flashsale_chaos.crowd.patience import Patience
from flashsale_chaos.crowd.proofs import Proofs, user_name
from flashsale_chaos.crowd.shop import Shop
from flashsale_chaos.history import Call
from flashsale_chaos.sales import Sale

PAUSE_SECONDS = (0.1, 0.4)


class Impostors:
    def __init__(self, shop: Shop, patience: Patience, proofs: Proofs, latest: Callable[[], Call | None], rng: Random) -> None:
        """`latest` returns the last order that a buyer was told is accepted."""
        self._shop, self._patience, self._proofs, self._latest, self._rng = shop, patience, proofs, latest, rng

    async def pose(self, sales: Sequence[Sale], may_begin: Callable[[], bool]) -> None:
        """Try while `may_begin`, one request after the other."""
        while may_begin():
            victim = self._latest()
            if victim is not None and self._rng.random() < 0.5:
                await self._cancel(victim)
            else:
                await self._order(self._rng.choice(sales).sale_id)
            await self._patience.sleep(self._rng.uniform(*PAUSE_SECONDS))

    async def _order(self, sale: str) -> None:
        user, request_id = user_name(self._rng.randrange(USERS)), f"{self._rng.getrandbits(NAME_BITS):x}"
        proof = self._proofs.imposture(user, self._rng)
        await self._patience.until_final(partial(self._shop.forge_order, sale, user, request_id, proof))

    async def _cancel(self, victim: Call) -> None:
        proof = self._proofs.imposture(victim.user, self._rng)
        await self._patience.until_final(partial(self._shop.forge_cancel, victim.sale, victim.order_id, proof))
