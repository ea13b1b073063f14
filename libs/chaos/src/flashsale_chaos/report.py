"""What a run did and found, as JSON and as lines for people. Pure."""

from collections.abc import Iterator

import msgspec

from flashsale_chaos.faults import Fault
from flashsale_chaos.schedule import Schedule


class Broken(msgspec.Struct, frozen=True):
    """A promise that was broken."""

    round: int
    promise: str
    detail: str


class Report(msgspec.Struct):
    schedule: Schedule
    """What was to be injected; a replay reads it."""
    seed: int = 0
    faults: int = 0
    """Injected ones."""
    rounds: int = 0
    """Judged ones."""
    kinds: dict[str, int] = {}
    """Injected faults by kind."""
    crash_points: dict[str, int] = {}
    """How often a service died at each point."""
    skipped: dict[str, str] = {}
    """Why kinds were not injected at all."""
    impossible: list[str] = []
    """Faults that were not injected, with the reason."""
    losses: int = 0
    """How often Redis came back without positions that it had."""
    lost_entries: int = 0
    """The entries that the keeper reported as lost; this and the next two only in a run of losses."""
    gone_entries: int = 0
    """The entries that were in an outbox of a Redis that was lost, and that the ledger never received."""
    gone_orders: int = 0
    """The orders that a buyer was told are accepted, and that are gone."""
    ended: list[str] = []
    """Services and servers that ended although no fault ended them."""
    violations: list[Broken] = []
    failing: list[Fault] = []
    """The faults of the round with violations."""
    orders: int = 0
    """Orders that the crowd was told are accepted."""
    requests: int = 0
    impostors_refused: int = 0
    """Requests with a token that proves nothing, each of which was refused."""
    wrong_amounts: int = 0
    """Payments of a wrong amount that were answered as due for a refund."""
    returns: int = 0
    """Paid orders that were taken back."""
    seconds: float = 0.0
    shrunk: Schedule | None = None
    """A smaller schedule that fails as well."""
    shrink_runs: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether no promise was broken."""
        return not self.violations

    @property
    def passed(self) -> bool:
        return self.is_clean and not list(no_proof(self))


def no_proof(report: Report) -> Iterator[str]:
    """Why a run without a violation fails all the same. Faults that this machine or moment does not allow are not among the reasons."""
    yield from report.ended
    if report.faults == 0:
        yield "no fault was injected"
    if report.orders == 0:
        yield "no order was accepted"


def to_json(report: Report) -> bytes:
    return msgspec.json.format(msgspec.json.encode(report))


def schedule_in(text: bytes) -> Schedule:
    """The schedule that a report replays: the shrunk one if there is one. Raises msgspec.MsgspecError if the text is no report."""
    report = msgspec.json.decode(text, type=Report)
    return report.shrunk or report.schedule


def summary(report: Report) -> Iterator[str]:
    """The lines shown at the end of a run."""
    yield f"seed {report.seed}: {report.faults} faults in {report.rounds} rounds, {report.orders:,} orders, {report.seconds:.0f} s"
    yield "kinds: " + ", ".join(f"{kind} {count}" for kind, count in sorted(report.kinds.items()))
    refused, wrong = f"{report.impostors_refused:,} impostors refused", f"{report.wrong_amounts:,} wrong amounts to be refunded"
    yield f"{refused}, {wrong}, {report.returns:,} orders returned"
    if report.losses:
        yield f"Redis lost writes {report.losses} times"
    if report.gone_entries:
        yield from _lost(report)
    if report.crash_points:
        yield "deaths at crash points: " + ", ".join(f"{point} {count}" for point, count in sorted(report.crash_points.items()))
    yield from (f"skipped {kind}: {reason}" for kind, reason in sorted(report.skipped.items()))
    if report.impossible:
        yield f"not injected: {len(report.impossible)}, the last: {report.impossible[-1]}"
    yield from (f"FAILED: {reason}" for reason in no_proof(report))
    for broken in report.violations:
        yield f"VIOLATION in round {broken.round}: {broken.promise}: {broken.detail}"
    if report.failing:
        yield "faults of that round:"
        yield from map(describe, report.failing)
    if report.shrunk is not None:
        yield f"after {report.shrink_runs} runs these faults are left:"
        yield from map(describe, report.shrunk.faults)


def _lost(report: Report) -> Iterator[str]:
    untold = report.gone_entries - report.lost_entries
    yield f"{report.gone_entries} entries are gone: {report.lost_entries} were reported, and nobody was answered about the other {untold}"
    yield f"{report.gone_orders} orders that buyers were told of are gone, each in an entry that was reported"


def describe(fault: Fault) -> str:
    return (
        f"  {fault.number} at {fault.at_seconds:.2f} s: {fault.kind} {fault.target} for {fault.lasts_seconds:.2f} s, amount {fault.amount}"
    )
