"""The key of order ids is replaced while gateways of two neighbouring steps serve: a repeated request finds its order at each of them."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from flashsale_local_stack import Stack
from tests.integration.client import Client
from tests.integration.gateways import gateway_on

NEW = "0123456789abcdef" * 2


@pytest.fixture(scope="module")
def steps(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Client]]:
    """The gateway of the stack, which has only the old key, and one for each step of docs/rotation.md that has two."""
    env, folder = stack.env(), tmp_path_factory.mktemp("keys")
    old = env["FLASHSALE_ORDER_ID_KEY"]
    with (
        gateway_on(env | {"FLASHSALE_ORDER_ID_KEY": f"{old} {NEW}"}, folder / "first.log") as first,
        gateway_on(env | {"FLASHSALE_ORDER_ID_KEY": f"{NEW} {old}"}, folder / "second.log") as second,
    ):
        yield [Client(env | {"FLASHSALE_URL": url}) for url in (env["FLASHSALE_URL"], first.url, second.url)]


@pytest.mark.parametrize("durability", ["fsync", "confirmed"])
def test_request_finds_its_order_at_gateways_of_the_next_step_and_of_the_one_before(steps: list[Client], durability: str) -> None:
    sale = steps[0].new_sale(10, durability=durability)
    pairs = [*pairwise(steps), *pairwise(reversed(steps))]
    for number, (earlier, later) in enumerate(pairs):
        accepted, again = earlier.order(sale, f"user-{number}"), later.order(sale, f"user-{number}")
        assert (accepted.status, again.status, again.raw) == (200, 200, accepted.raw)
        assert ("idempotent-replayed" in accepted.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert steps[0].stock(sale) == (10, 10 - len(pairs), len(pairs), 0)


def test_both_steps_make_ids_by_their_first_key(steps: list[Client]) -> None:
    """The old one until every gateway finds orders by the new one."""
    sales = [step.new_sale(1) for step in steps]
    ids = [step.order(sale, "ann").body["orderId"] for step, sale in zip(steps, sales, strict=True)]
    again = [steps[0].order(sale, "ann") for sale in sales]
    assert [answer.status for answer in again] == [200, 200, 409]
    assert [answer.body.get("orderId") for answer in again[:2]] == ids[:2]
