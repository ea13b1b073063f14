"""`python -m tests.integration.conversations`: random conversations with a gateway, on servers of its own."""

from typing import Annotated

import typer
from rich.text import Text

from flashsale_cli.console import EXIT_FAILED, console, number, table, verdict
from flashsale_local_stack import private_stack
from tests.integration.conversations.conversation import Conversation
from tests.integration.conversations.run import Finding, Plan, Report, Stage, run, stages

BYTES_SHOWN = 2_000
screen = console()


def main(
    conversations: Annotated[int, typer.Option(help="How many conversations.", min=1)] = 100_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same conversations.")] = 13,
    first: Annotated[int, typer.Option(help="Number of the first conversation.", min=0)] = 0,
    only: Annotated[int | None, typer.Option(help="Play only the conversation with this number.", min=0)] = None,
    at_once: Annotated[int, typer.Option(help="Most connections at the same time.", min=1, max=1_000)] = 64,
    findings_max: Annotated[int, typer.Option(help="Start no new conversation after this many findings.", min=1)] = 20,
) -> None:
    """Play random conversations, honest and hostile ones at the same time; check every answer, and the gateway at the end."""
    plan = Plan(seed, conversations, first, at_once, findings_max) if only is None else Plan(seed, 1, only)
    with private_stack(say=_say) as stack, stages(stack.env(), stack.home) as (ours, plain):
        report = run(stack.env(), plan, ours, plain, _say)
        _show(report, plan, ours, whole=only is not None)
    if report.findings:
        raise typer.Exit(EXIT_FAILED)


def _say(words: str) -> None:
    screen.print(Text(words, "dim"))


def _show(report: Report, plan: Plan, stage: Stage, whole: bool) -> None:
    screen.print(
        table(f"Conversations, seed {plan.seed}", ("kind", "played"), [(kind, number(n)) for kind, n in sorted(report.played.items())])
    )
    played, answers = number(report.played.total()), number(report.answers)
    screen.print(
        f"\n{played} conversations, {answers} answers in {report.seconds:.0f} s; {number(report.compared)} compared with plain uvicorn"
    )
    screen.print(
        f"{number(sum(map(len, report.accepted.values())))} orders of honest clients accepted; {report.refused} conversations got a 503"
    )
    screen.print(f"resident memory {report.before_bytes / 1e6:.0f} MB before, {report.after_bytes / 1e6:.0f} MB after")
    for finding in report.findings:
        _show_finding(finding, plan, stage, None if whole else BYTES_SHOWN)
    screen.print(Text.assemble(f"{len(report.findings)} findings: ", verdict(not report.findings)))


def _show_finding(finding: Finding, plan: Plan, stage: Stage, bytes_shown: int | None) -> None:
    screen.print()
    if finding.number is None:
        screen.print(Text(f"at the end: {finding.what}", "red"))
        return
    talk = stage.conversation(plan.seed, finding.number)
    screen.print(Text(f"{finding.number} ({talk.kind}): {finding.what}", "red"))
    screen.print(Text(f"  ends by: {talk.ending}, reads: {talk.reads}; at the same time: {' '.join(map(str, finding.concurrent))}"))
    screen.print(Text(f"  to repeat: --seed {plan.seed} --only {finding.number}"))
    screen.print(Text(_bytes(talk)[:bytes_shown]))


def _bytes(talk: Conversation) -> str:
    return "\n".join(f"  +{segment.pause_seconds:g} s {segment.data!r}" for segment in talk.segments)


if __name__ == "__main__":
    typer.run(main)
