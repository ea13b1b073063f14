"""What the audit after a round shows: the differences, and what it could not judge although everything was open and quiet. Pure."""

from collections.abc import Collection, Iterator

from flashsale_audit.differences import PROMISES, Findings
from flashsale_audit.skipped import Skipped
from flashsale_chaos.verdict.violations import Promise, Violation, broken


def judge_audit(findings: Findings, skipped: Skipped, forgotten: Collection[str]) -> Iterator[Violation]:
    """`forgotten`: sales whose definition was in a lost entry, so that nothing of them can be compared."""
    for kind, samples in findings.samples.items():
        for sample in samples:
            if _sale_of(sample.subject) not in forgotten:
                yield Violation(PROMISES[kind].value, f"{kind.value}: {sample.subject}: {sample.detail}")
    # What never can be judged, as a buyer with too many orders for one look, is no fault of the stack.
    if skipped.for_now:
        yield from broken(Promise.READY, (f"the audit could not judge {subject}: {reason}" for subject, reason in skipped.reasons.items()))


def _sale_of(subject: str) -> str:
    """A subject is a sale, `sale.order`, or `sale buyer`."""
    return subject.partition(" ")[0].partition(".")[0]
