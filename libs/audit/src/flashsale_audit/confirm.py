"""Confirms differences between values that were not read at one moment: the same ones must be there when the ledger has caught up."""

from collections.abc import Awaitable, Callable, Sequence

from flashsale_audit.catch_up import CatchUp
from flashsale_audit.differences import Difference, Kind

Read = Callable[[], Awaitable[Sequence[Difference]]]


async def confirmed(read: Read, catch_up: CatchUp) -> Sequence[Difference]:
    """The differences that `read` returns now and in each round of `catch_up`."""
    suspected = {_key(difference) for difference in await read()}
    if not suspected:
        return ()
    held: Sequence[Difference] = ()
    async for _ in catch_up.rounds():
        held = [difference for difference in await read() if _key(difference) in suspected]
        if not held:
            break
    return held


def _key(difference: Difference) -> tuple[Kind, str, str]:
    # Amounts move while a difference remains. A definition that moved is another difference.
    return difference.kind, difference.subject, difference.detail if difference.kind is Kind.SALE_DIFFERS else ""
