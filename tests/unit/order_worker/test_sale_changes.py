"""Who changed a sale: one row for each change that somebody asked for, however often its message arrives."""

from flashsale_core.messages import Message, SaleDefined, SaleRetired
from flashsale_order_worker.plan import ChangeKey, plan


def defined(at: int, by: str, owner: str = "admin", total: int = 10) -> SaleDefined:
    return SaleDefined(
        v=1, sale="tele", epoch=1, at=at, owner=owner, generation=at, total=total, available=total, reserved=0, sold=0, starts_ms=0,
        ends_ms=0, max_per_user=0, hold_seconds=300, rate_requests=0, rate_seconds=1, late_payment="refund", state="open", by=by,
    )  # fmt: skip


def test_each_change_has_its_author_and_what_the_sale_was_then() -> None:
    closed = SaleRetired(v=1, sale="tele", epoch=1, at=9, state="closed", total=20, available=20, reserved=0, sold=0, by="bob")
    messages: list[Message] = [defined(5, "ann"), defined(7, "bob", total=20), defined(8, "ann", owner=""), closed, defined(5, "ann")]
    changes = plan([("m", message) for message in messages]).changes
    assert {key.change: row.by for key, row in changes.items() if key.at_ms > 5} == {"defined": "bob", "released": "ann", "closed": "bob"}
    first = changes[ChangeKey("tele", 1, 5, "defined")]
    assert (first.by, first.terms["total"], first.terms["state"], len(changes)) == ("ann", 10, "open", 4)


def test_change_without_an_author_has_no_row() -> None:
    """An older release, a rebuild or the removal of a finished sale wrote it."""
    assert plan([("m", defined(5, ""))]).changes == {}
