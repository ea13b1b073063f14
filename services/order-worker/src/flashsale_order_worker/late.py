"""What the ledger may still take of an entry that arrives after recovery has closed its incarnation. Pure.

A Redis without such an entry has sold on (docs/decisions/0029). A gateway that was paused or cut off may publish it at any time: merged, it
would be a second order for a unit, or a second payment.
"""

from flashsale_core.errors import FlashsaleError
from flashsale_core.messages import Message, PaymentLine, PaymentsRecorded, Position

REASON = "late_history"
"""Why the refund of a late payment is due."""


class LateEntriesError(FlashsaleError):
    """Entries of a batch are too late; nothing of the batch was written."""

    def __init__(self, positions: frozenset[Position]) -> None:
        super().__init__(f"{len(positions)} entries are too late")
        self.positions = positions


def without_effect(message: Message) -> Message | None:
    """What of a late message the ledger may still take: payments, which are refunded. None if nothing."""
    if not isinstance(message, PaymentsRecorded):
        return None
    return PaymentsRecorded(
        v=message.v,
        sale=message.sale,
        epoch=message.epoch,
        at=message.at,
        seq=message.seq,
        payments=[_refunded(line) for line in message.payments],
    )


def _refunded(line: PaymentLine) -> PaymentLine:
    if line.result != "paid":
        return line
    fields = {name: getattr(line, name) for name in PaymentLine.__struct_fields__}
    return PaymentLine(**{**fields, "result": "refund_due", "reason": REASON})
