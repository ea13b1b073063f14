import json
from dataclasses import replace
from pathlib import Path

import pytest

from tools.bench.measurements import ACCEPTED, BARE, SOLD_OUT, Measurement, Persisted, Round, Section, Target
from tools.bench.result_file import (
    SHARE_MAX,
    Verdict,
    by_constant_rate,
    from_json,
    newest,
    read_result,
    rounds_to_json,
    section_to_json,
    verdicts,
)
from tools.bench.wrk import WrkResult

RESULT = WrkResult(requests=1000, seconds=1.0, refused=0, broken=0, p50_ms=1.0, p99_ms=2.0, max_ms=3.0)
RESULTS = {BARE: RESULT, ACCEPTED: replace(RESULT, requests=700, p99_ms=80.0), SOLD_OUT: replace(RESULT, requests=1200, refused=1200)}
ROUNDS = [Round(count, RESULTS, Persisted(700, 700, 700, 0.5)) for count in (64, 512)]
RATES = [{"per_second": rate, "p50": 1.0, "p99": 3.0} for rate in (200, 100)]
SECTIONS = [
    Section("Open loop", [Measurement("p99", 3.0, "ms", None, "", extra) for extra in RATES]),
    Section("Idle", [Measurement("memory", 300.0, "MB", Target(250, at_least=False)), Measurement("ready after", 1.0, "s")]),
]
MACHINE = {"cpus": "2", "cpu": "Fast", "system": "Linux x86_64", "python": "3.13.0"}
DOCUMENT = {
    "at": "2026-11-24T00:11:57+00:00",
    "machine": MACHINE,
    "problems": [],
    **rounds_to_json(ROUNDS),
    "sections": [section_to_json(section) for section in SECTIONS],
    "audit": {},
}


def test_written_result_is_read(tmp_path: Path) -> None:
    (tmp_path / "bench-full-20261124T001157Z.json").write_text(json.dumps(DOCUMENT))
    (tmp_path / "bench-full-20261123T001157Z.json").write_text("{}")
    (tmp_path / "bench-20261125T001157Z.json").write_text("{}")
    path = newest(tmp_path)
    assert path is not None
    result = read_result(path)
    assert (result.sections, result.connections, result.kinds) == (SECTIONS, [64, 512], [BARE, ACCEPTED, SOLD_OUT])
    assert result.machine_line == "2 cores (Fast), Linux x86_64, Python 3.13.0, load generator included · 2026-11-24"
    rate = result.rate(ACCEPTED, 512)
    assert rate is not None
    assert (rate.ratio, rate.target, rate.p99_target) == (0.7, Target(1.0), Target(100, at_least=False))


def test_file_keeps_the_names_that_old_results_have() -> None:
    assert set(DOCUMENT["figures"][0]) == {"name", "connections", "per_second", "ratio", "bar", "p50_ms", "p99_ms", "p99_bar"}
    assert set(DOCUMENT["rounds"][0]) == {"connections", "shots", "persisted"}
    assert set(section_to_json(SECTIONS[0])["lines"][0]) == {"name", "value", "unit", "bar", "words", "also", "reached"}


def test_everything_with_a_target_has_a_verdict() -> None:
    assert [(verdict.name, verdict.value, verdict.reached) for verdict in verdicts(from_json(DOCUMENT))] == [
        ("accepted, 64 connections, compared with bare Starlette", 0.7, False),
        ("accepted, 512 connections, compared with bare Starlette", 0.7, False),
        ("accepted, 512 connections, p99", 80.0, True),
        ("sold out, 64 connections, compared with bare Starlette", 1.2, True),
        ("sold out, 512 connections, compared with bare Starlette", 1.2, True),
        ("memory", 300.0, False),
    ]


@pytest.mark.parametrize(
    ("value", "target", "share"),
    [
        (0.4, Target(0.8), 0.5),
        (250.0, Target(500, at_least=False), 2.0),
        (0.0, Target(1, at_least=False), SHARE_MAX),
        (0.0, Target(1), 0.0),
    ],
)
def test_share_of_one_reaches_a_minimum_and_a_maximum(value: float, target: Target, share: float) -> None:
    assert Verdict("x", value, "", target).share == pytest.approx(share)


def test_constant_rates_are_sorted() -> None:
    assert [numbers["per_second"] for numbers in by_constant_rate(from_json(DOCUMENT))] == [100, 200]


def test_missing_parts_are_empty(tmp_path: Path) -> None:
    nothing = from_json({})
    assert (nothing.connections, nothing.kinds, verdicts(nothing), by_constant_rate(nothing)) == ([], [], [], [])
    assert nothing.rate(BARE, 64) is None
    assert newest(tmp_path) is None


def test_results_from_before_further_numbers_are_read() -> None:
    old = {"sections": [{"title": "Open loop", "lines": [{"name": "p99", "value": 1.0}]}]}
    assert by_constant_rate(from_json(old)) == []
