"""How many refunds the demo's verdict expects."""

from flashsale_cli.demo.refunds import promised


def test_replayed_answer_promises_nothing_more() -> None:
    results = {"paid": 9, "replayed": 2, "refund_due (late)": 5, "refund_due (replayed)": 3, "refund_due (wrong_amount)": 1}
    assert promised(results) == 6
