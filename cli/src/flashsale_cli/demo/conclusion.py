"""How the demo ends: the verdict as text, as JSON and as an HTML report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from flashsale_audit.audit_all import Report
from flashsale_cli.audit import report as audit_report
from flashsale_cli.console import write_json
from flashsale_cli.demo.scenario import Outcome
from flashsale_cli.demo.screen import Screen
from flashsale_cli.demo.verdict import render
from flashsale_cli.html_report.document import Check
from flashsale_cli.load import report as load_report


@dataclass(frozen=True, slots=True)
class Conclusion:
    outcome: Outcome
    audit: Report
    lines: Sequence[Check]
    html: Path
    """Where the HTML report is."""

    @property
    def passed(self) -> bool:
        return all(line.passed for line in self.lines)


def write(conclusion: Conclusion, elapsed_seconds: float) -> None:
    """Print the JSON document."""
    write_json(
        {
            "verdict": "PASS" if conclusion.passed else "FAIL",
            "promises": [{"promise": line.promise, "passed": line.passed, "evidence": line.evidence} for line in conclusion.lines],
            "waves": [load_report.to_json_over_time(tally) for tally in conclusion.outcome.tallies],
            "audit": audit_report.to_json(conclusion.audit),
            "report": str(conclusion.html),
            "seconds": round(elapsed_seconds, 1),
        }
    )


def show(conclusion: Conclusion, screen: Screen, elapsed_seconds: float) -> None:
    if not conclusion.audit.clean():
        screen.show(audit_report.differences_text(conclusion.audit))
        screen.show(audit_report.limits_text(conclusion.audit))
    screen.section("Verdict")
    screen.show(render(conclusion.lines))
    screen.say("")
    words = "every promise kept" if conclusion.passed else "a promise was broken"
    screen.show(Text(f"{words}, in {elapsed_seconds:.0f} s", "bold green" if conclusion.passed else "bold red"))
    screen.show(Text(f"report: {conclusion.html}", "dim"))
