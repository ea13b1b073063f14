"""A round injects what it can, and its report names the rest."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from flashsale_chaos.faults import Fault
from flashsale_chaos.inject import INJECTORS
from flashsale_chaos.report import Report
from flashsale_chaos.rounds import inject_all
from flashsale_chaos.schedule import Schedule
from flashsale_core.errors import FlashsaleError


@dataclass
class FakeBench:
    skipped: dict[str, str] = field(default_factory=dict)
    injected: list[int] = field(default_factory=list)
    moved: dict[int, str] = field(default_factory=dict)
    losses_only: bool = False


def fault(number: int, kind: str) -> Fault:
    return Fault(number, 0.0, kind, "gateway", 0.0, 0)


async def test_round_reports_injected_impossible_and_skipped_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    async def inject(bench: Any, what: Fault) -> None:
        if what.number == 2:
            raise FlashsaleError("it is dead")
        bench.injected.append(what.number)

    monkeypatch.setitem(INJECTORS, "kill", inject)
    bench: Any = FakeBench(skipped={"clock.jump": "no compiler"})
    report = Report(Schedule(1, []))
    happened = await inject_all(bench, [fault(1, "kill"), fault(2, "kill"), fault(3, "clock.jump")], report)
    assert bench.injected == [1]
    assert [injected.number for injected in happened] == [1, 2]
    assert (report.faults, report.kinds, report.skipped) == (1, {"kill": 1}, {"clock.jump": "no compiler"})
    assert ["it is dead" in words for words in report.impossible] == [True]


async def test_round_names_the_target_that_a_fault_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def inject(bench: Any, what: Fault) -> None:
        bench.moved[what.number] = "gateway-2/outbox.deleted"

    monkeypatch.setitem(INJECTORS, "crash", inject)
    bench: Any = FakeBench()
    (happened,) = await inject_all(bench, [fault(1, "crash")], Report(Schedule(1, [])))
    assert happened.target == "gateway-2/outbox.deleted"


async def test_fault_of_the_injection_itself_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async def inject(_bench: Any, _fault: Fault) -> None:
        raise ValueError("a mistake in an injector")

    monkeypatch.setitem(INJECTORS, "kill", inject)
    bench: Any = FakeBench()
    with pytest.raises(ExceptionGroup):
        await inject_all(bench, [fault(1, "kill")], Report(Schedule(1, [])))
