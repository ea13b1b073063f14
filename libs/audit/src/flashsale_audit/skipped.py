"""What an audit could not judge. It is never counted as clean."""

from dataclasses import dataclass, field


class ShardNotOpenError(Exception):
    """A shard is being recovered, or waits for it: its numbers are those of nobody's sale."""

    def __init__(self, shard: int, reason: str) -> None:
        super().__init__(f"shard {shard} is not open ({reason})")


@dataclass(slots=True)
class Skipped:
    reasons: dict[str, str] = field(default_factory=dict)
    """By what was not judged: a sale, a buyer, or the comparison with the ledger."""

    for_now: bool = False
    """Whether a later audit may judge some of it."""

    def add(self, subject: str, reason: object, *, for_now: bool = True) -> None:
        self.reasons.setdefault(subject, str(reason))
        self.for_now |= for_now

    def __bool__(self) -> bool:
        return bool(self.reasons)
