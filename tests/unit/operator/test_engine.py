"""Which FlashSales an operator serves, and that kopf never receives the others."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from flashsale_core.errors import Rejected
from flashsale_operator.apiserver import Namespaces
from flashsale_operator.engine import Engine
from flashsale_operator.main import refuse_rival

OURS = Engine("flashsale", is_default=True, controller="shop.one")
SECOND = Engine("second", is_default=False, controller="shop.two")


def flash_sale(engine: str | None = None, claimed: str = "", uid: str = "u1") -> dict[str, Any]:
    spec = {"stock": 1} | ({} if engine is None else {"engine": engine})
    body: dict[str, Any] = {"metadata": {"uid": uid, "name": "shoe", "namespace": "shop", "generation": 2}, "spec": spec}
    return body | ({"status": {"controllerName": claimed}} if claimed else {})


@pytest.mark.parametrize(
    ("body", "served"),
    [
        (flash_sale(), (True, False)),
        (flash_sale("flashsale"), (True, False)),
        (flash_sale("second"), (False, True)),
        (flash_sale("third"), (False, False)),
        (flash_sale(claimed="shop.one"), (True, False)),
        (flash_sale(claimed="shop.two"), (False, False)),
        (flash_sale("second", claimed="shop.two"), (False, True)),
        (flash_sale("second", claimed="shop.one"), (False, False)),
    ],
)
def test_flashsale_has_one_engine_and_one_installation(body: dict[str, Any], served: tuple[bool, bool]) -> None:
    assert (OURS.serves(body), SECOND.serves(body)) == served


def test_second_installation_of_an_engine_is_a_rival_of_the_first() -> None:
    late = Engine("flashsale", is_default=True, controller="shop.late")
    first, second = flash_sale(claimed="shop.one"), flash_sale("second", claimed="shop.two")

    def rival(engine: Engine, *bodies: dict[str, Any]) -> str | None:
        return engine.rival({engine.claim(body) for body in bodies})

    assert (rival(late, first, second), rival(OURS, first, second), rival(SECOND, first, second)) == ("shop.one", None, None)
    # Where both have claimed some, each goes on with its own.
    mixed = [first, flash_sale(claimed="shop.late")]
    assert (rival(late, *mixed), rival(OURS, *mixed), rival(late, flash_sale()), rival(late)) == (None, None, None, None)


async def test_rival_is_found_behind_thousands_of_unclaimed_flashsales() -> None:
    class Listed(Namespaces):
        def __init__(self) -> None: ...

        async def each(self) -> AsyncIterator[dict[str, Any]]:
            for _ in range(3000):
                yield flash_sale()
            yield flash_sale(claimed="shop.other")

    # kopf never receives their deletion here, so "delete them" alone would leave them waiting for ever.
    with pytest.raises(Rejected, match=r"the installation shop\.other serves the engine flashsale .* remove their finalizer by hand"):
        await refuse_rival(OURS, Listed())
