"""Runs a schedule: a bench, a crowd, rounds of faults, and the verdict after each."""

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from flashsale_chaos import link_faults, servers  # noqa: F401 - they add their injectors to the registry
from flashsale_chaos.bench import Bench
from flashsale_chaos.build import running_bench
from flashsale_chaos.context import Context
from flashsale_chaos.crowd import Crowd
from flashsale_chaos.faults import Fault
from flashsale_chaos.history import Ask, Call, History
from flashsale_chaos.inject import heal
from flashsale_chaos.judge import Judge
from flashsale_chaos.report import Broken, Report
from flashsale_chaos.rounds import inject_all
from flashsale_chaos.schedule import Schedule, rounds_of
from flashsale_chaos.shrink import Faults, shrink
from flashsale_chaos.verdict.identity import is_refused_imposture

SHRINK_RUNS_MAX = 20
HISTORY = "history.jsonl"
Say = Callable[[str], None]


class Run:
    """One bench with its crowd and judge."""

    def __init__(self, bench: Bench, report: Report) -> None:
        self._bench, self._report = bench, report
        self.history = History()
        self.crowd = Crowd(bench.gateways, bench.direct_env, self.history, report.seed)
        bench.sold_at = lambda: self.history.sold_at
        self._judge = Judge(bench, self.history)

    async def prepare(self) -> None:
        await self._judge.prepare()

    async def round(self, number: int, faults: Sequence[Fault]) -> list[Broken]:
        await self.crowd.resume()
        began, calls = time.monotonic(), len(self.history.calls)
        happened = await inject_all(self._bench, faults, self._report)
        await heal(self._bench)
        healed = time.monotonic()
        await self.crowd.pause()
        violations = await self._judge.judge(self.crowd.sales, Context(number, began, healed, happened))
        self._note(number, self.history.calls[calls:])
        return [Broken(number, violation.promise, violation.detail) for violation in violations]

    def _note(self, number: int, calls: Sequence[Call]) -> None:
        report, bench = self._report, self._bench
        report.rounds, report.requests = number, report.requests + len(calls)
        report.orders += sum(call.ask is Ask.ORDER and call.code == "accepted" for call in calls)
        report.impostors_refused += sum(map(is_refused_imposture, calls))
        report.wrong_amounts += sum(call.reason == "wrong_amount" for call in calls)
        report.returns += sum(call.ask is Ask.RETURN and call.code == "returned" for call in calls)
        report.crash_points, report.ended, report.losses = dict(bench.crash_points), list(bench.ended), len(bench.losses)
        lost = self._judge.losses
        report.lost_entries, report.gone_entries, report.gone_orders = lost.reported, lost.gone, lost.orders


async def run(schedule: Schedule, home: Path, say: Say, *, keep: bool = False, saves_logs: bool = True) -> Report:
    """Inject all faults, or stop after the first round with a violation. Raises StackError if the stack does not start.

    `saves_logs`: whether logs and history of a violation outlive a `home` that is not kept.
    """
    report, began = Report(schedule, seed=schedule.seed), time.monotonic()
    async with running_bench(home, keep=keep, say=say) as bench:
        bench.losses_only = schedule.losses_only
        running = Run(bench, report)
        try:
            await running.prepare()
            for number, faults in enumerate(schedule.rounds, start=1):
                report.violations = await running.round(number, faults)
                say(_progress(report, time.monotonic() - began))
                if report.violations:
                    report.failing = list(faults)
                    running.history.write(home / HISTORY)
                    if saves_logs and not keep:
                        say(f"logs and history are kept in {_saved(home)}")
                    break
        finally:
            await running.crowd.stop()
    report.seconds = round(time.monotonic() - began, 1)
    return report


async def run_and_shrink(schedule: Schedule, home: Path, say: Say, *, keep: bool = False) -> Report:
    """A run, and if it finds a violation further runs, each on a stack of its own, that look for fewer faults which find one as well."""
    report = await run(schedule, home / "0", say, keep=keep)
    if report.is_clean:
        return report

    async def fails(faults: Faults) -> bool:
        report.shrink_runs += 1
        tried = Schedule(schedule.seed, rounds_of(faults))
        return not (await run(tried, home / str(report.shrink_runs), say, keep=keep, saves_logs=False)).is_clean

    # What happened before the failing round may matter, but seldom does: its own faults are tried first.
    faults = [fault for faults in schedule.rounds[: report.rounds] for fault in faults]
    own = report.failing if report.rounds == 1 or await fails(report.failing) else faults
    report.shrunk = Schedule(schedule.seed, rounds_of(await shrink(own, fails, SHRINK_RUNS_MAX)))
    return report


def _saved(home: Path) -> Path:
    """A violation that depends on time may never come again: what shows how it happened is copied out of what is removed."""
    folder = Path(tempfile.mkdtemp(prefix="flashsale-chaos-logs-"))
    shutil.copytree(home / "log", folder / "log")
    shutil.copy(home / HISTORY, folder)
    return folder


def _progress(report: Report, seconds: float) -> str:
    verdict = f"{len(report.violations)} violations" if report.violations else "no violation"
    return f"round {report.rounds} at {seconds:.0f} s: {report.faults} faults, {report.orders:,} orders, {verdict}"
