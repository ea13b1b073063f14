"""What a report says, before it is HTML. Pure: whoever calls gives the time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flashsale_cli.load.outcomes import Group, Outcome
from flashsale_cli.load.tally import Tally

SERVER_ERROR = 500
ERRORS_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Check:
    """A promise, whether the run kept it, and what shows that."""

    promise: str
    passed: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class Run:
    """One crowd of buyers, and what they were answered."""

    title: str
    tally: Tally


@dataclass(frozen=True, slots=True)
class LogErrors:
    """The lines of one service's log that report an error."""

    service: str
    count: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    title: str
    summary: str
    """One sentence."""
    when: str
    checks: Sequence[Check]
    runs: Sequence[Run]
    settings: Sequence[tuple[str, str]]
    log_errors: Sequence[LogErrors] | None = None
    """None if nobody read the logs of the services."""
    units: tuple[int, int, int] | None = None
    """Sold, held and free at the end; None if nobody counted."""

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)


def load_checks(tally: Tally) -> list[Check]:
    """What a load alone can judge: the answers. `flashsale audit` judges the orders."""
    unanswered = tally.count(Group.ERROR)
    return [
        Check("every request got a valid answer", not unanswered, f"{tally.done() - unanswered:,} of {tally.done():,} requests"),
        Check("no answer contradicts another", not tally.broken, "; ".join(tally.broken) or f"{len(tally.orders):,} orders"),
        Check("genuine buyers were recognised", not tally.unproven, f"{tally.unproven:,} refused for their proof of identity"),
    ]


def server_errors(tally: Tally) -> list[tuple[Outcome, int]]:
    """Answers with a status of 500 or more, and requests without an answer; the most frequent first."""
    errors = [(each, count) for each, count in tally.outcomes.most_common() if each.status >= SERVER_ERROR or not each.status]
    return errors[:ERRORS_SHOWN_MAX]


def answer_words(outcome: Outcome) -> str:
    """Its status and code, as far as it has them."""
    return f"{outcome.status or ''} {outcome.code}".strip()


def in_words(now: float) -> str:
    """A time in seconds since the Unix epoch, as `29 November 2026, 10:00 UTC`."""
    return datetime.fromtimestamp(now, UTC).strftime("%d %B %Y, %H:%M UTC").lstrip("0")
