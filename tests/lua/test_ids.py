"""Every id that the patterns allow reaches records, counts and messages unchanged."""

import re

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flashsale_core.ids import PAYMENT_ID_PATTERN, USER_ID_PATTERN
from flashsale_core.messages import OrdersCancelled, OrdersExpired, OrdersReserved, PaymentsRecorded, read
from tests.lua.servers import Sale, empty

MANY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
USERS = st.lists(st.from_regex(re.compile(USER_ID_PATTERN, re.ASCII)), min_size=3, max_size=3, unique=True)
AS_PROVIDERS_HAVE_THEM = ["auth0|65a1f3|x", "o'brien+shop@example.com", "eu-central-1:7c9e-{[<>]}/" + "x" * 230]


@MANY
@given(USERS, st.from_regex(re.compile(PAYMENT_ID_PATTERN, re.ASCII)))
@example(AS_PROVIDERS_HAVE_THEM, "pi_3N/=+#" + "x" * 246)
def test_ids_pass_through_the_scripts_unchanged(sale: Sale, users: list[str], payment: str) -> None:
    empty(sale.redis)
    sale.now = 1_000_000_000_000
    sale.define(total=10, hold_seconds=5, max_per_user=2, rate_requests=2, rate_seconds=60)
    paid, cancelled, expired = users
    orders = [(f"o{number}", user, 1) for number, user in enumerate(users)]
    # Together, one by one, and once more than the rate allows.
    assert [answer[0] for answer in (*sale.reserve(*orders), *sale.reserve(("o3", paid, 1)), *sale.reserve(("o4", paid, 1)))] == [
        "accepted"
    ] * 4 + ["rate_limited"]
    assert sale.buyers() == {paid: 2, cancelled: 1, expired: 1}
    assert {order_id: record.user_id for order_id, record in sale.records().items()} == dict(
        zip(("o0", "o1", "o2", "o3"), [*users, paid], strict=True)
    )
    assert sale.settle(("o0", payment), ("nobody", payment))[0][0] == "paid"
    assert sale.settle(("o0", payment), ("nobody", payment)) == [["replayed", "P", ""], ["undecided", "", "replayed"]]
    assert sale.cancel("o1")[0][0] == "cancelled"
    sale.now += 6_000
    assert [answer[0] for answer in sale.expire("o2", "o3")] == ["expired", "expired"]
    assert (sale.buyers(), sale.records()["o0"].payment_id) == ({paid: 1}, payment)
    messages = [message for _, body in sale.outbox() for message in read(body).messages]
    named = [
        (type(message), [(line.order_id, line.user_id) for line in message.orders])
        for message in messages
        if isinstance(message, OrdersReserved | OrdersCancelled | OrdersExpired)
    ]
    assert named == [
        (OrdersReserved, [("o0", paid), ("o1", cancelled), ("o2", expired)]),
        (OrdersReserved, [("o3", paid)]),
        (OrdersCancelled, [("o1", cancelled)]),
        (OrdersExpired, [("o2", expired), ("o3", paid)]),
    ]
    payments = [
        (line.payment_id, line.user_id) for message in messages if isinstance(message, PaymentsRecorded) for line in message.payments
    ]
    assert payments == [(payment, paid), (payment, "")]
