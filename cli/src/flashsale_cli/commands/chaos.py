"""`flashsale chaos`: inject faults into a stack of its own, and judge every promise."""

import asyncio
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from flashsale_chaos import report as chaos_report
from flashsale_chaos.faults import KINDS
from flashsale_chaos.report import Report
from flashsale_chaos.run import run, run_and_shrink
from flashsale_chaos.schedule import Schedule, make
from flashsale_cli.commands.report_option import refuse_unwritable
from flashsale_cli.console import EXIT_FAILED

EXIT_INTERRUPTED = 130
"""As shells report SIGINT: nothing was found out."""


def chaos(
    seed: Annotated[int, typer.Option(help="The same seed gives the same faults at the same times.", min=0)] = 1,
    faults: Annotated[int, typer.Option(help="How many faults, in rounds of 20.", min=1, max=100_000)] = 100,
    kinds: Annotated[str, typer.Option(help="Only these kinds of faults, separated by commas. Default: all.")] = "",
    report: Annotated[Path | None, typer.Option(help="Write the report to this file, as JSON.", callback=refuse_unwritable)] = None,
    replay: Annotated[
        Path | None, typer.Option(help="Inject the faults of this report instead of a seed's.", exists=True, dir_okay=False)
    ] = None,
    shrink: Annotated[
        bool, typer.Option("--shrink", help="After a violation, run again with fewer faults, to find those that matter.")
    ] = False,
    home: Annotated[Path | None, typer.Option(help="Folder of the stack; new or empty. Default: a temporary one.", file_okay=False)] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep data and logs after a run in --home.")] = False,
) -> None:
    """Start a stack of its own, let a crowd buy from it, inject faults, and judge after each round what buyers and providers were promised.

    Touches only this machine and what it started itself.

    Exit status 1 if a promise is broken, a service or server ends by itself, or nothing is injected or sold;
    3 if the stack does not start, 130 if it was interrupted.
    """
    schedule = _replayed(replay) if replay else make(seed, faults, _kinds(kinds))
    with _folder(home, keep=keep) as folder:
        result = asyncio.run(_until_signal(schedule, folder, shrink=shrink, keep=keep))
    if report is not None:
        report.write_bytes(chaos_report.to_json(result))
    for line in chaos_report.summary(result):
        typer.echo(line)
    if not result.passed:
        raise typer.Exit(EXIT_FAILED)


async def _until_signal(schedule: Schedule, home: Path, *, shrink: bool, keep: bool) -> Report:
    """SIGTERM ends the run as Ctrl-C does: what was started is ended first."""
    task = asyncio.ensure_future(
        (run_and_shrink if shrink else run)(schedule, home, lambda line: typer.echo(f"· {line}", err=True), keep=keep)
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _kinds(text: str) -> tuple[str, ...]:
    """In the order of KINDS, so that the order on the command line does not matter."""
    wanted = set(filter(None, (kind.strip() for kind in text.split(","))))
    if unknown := wanted - set(KINDS):
        raise typer.BadParameter(f"unknown kinds: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}", param_hint="--kinds")
    return tuple(kind for kind in KINDS if kind in wanted or not wanted)


def _replayed(path: Path) -> Schedule:
    try:
        return chaos_report.schedule_in(path.read_bytes())
    except msgspec.MsgspecError as error:
        raise typer.BadParameter(f"{path} is no report: {error}", param_hint="--replay") from error


@contextmanager
def _folder(home: Path | None, *, keep: bool) -> Iterator[Path]:
    if keep and home is None:
        raise typer.BadParameter("--keep needs --home", param_hint="--keep")
    if home is not None:
        if home.exists() and any(home.iterdir()):
            raise typer.BadParameter(f"{home} is not empty", param_hint="--home")
        yield home
        return
    with tempfile.TemporaryDirectory(prefix="flashsale-chaos-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "home"
