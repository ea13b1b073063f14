import json
from dataclasses import replace
from pathlib import Path

import pytest

from tools.bench.figures import ACCEPTED, BARE, SOLD_OUT, Bar, Line, Persisted, Round, Section, section_to_json, to_json
from tools.bench.outcome import SHARE_MAX, Measured, by_rate, from_json, measured, newest, read_outcome
from tools.bench.wrk import Shot

SHOT = Shot(requests=1000, seconds=1.0, refused=0, broken=0, p50_ms=1.0, p99_ms=2.0, max_ms=3.0)
SHOTS = {BARE: SHOT, ACCEPTED: replace(SHOT, requests=700, p99_ms=80.0), SOLD_OUT: replace(SHOT, requests=1200, refused=1200)}
ROUNDS = [Round(count, SHOTS, Persisted(700, 700, 700, 0.5)) for count in (64, 512)]
RATES = [{"per_second": rate, "p50": 1.0, "p99": 3.0} for rate in (200, 100)]
SECTIONS = [
    Section("Open loop", [Line("p99", 3.0, "ms", None, "", also) for also in RATES]),
    Section("Idle", [Line("memory", 300.0, "MB", Bar(250, at_least=False)), Line("ready after", 1.0, "s")]),
]
MACHINE = {"cpus": "2", "cpu": "Fast", "system": "Linux x86_64", "python": "3.13.0"}
DOCUMENT = {
    "at": "2026-11-24T00:11:57+00:00",
    "machine": MACHINE,
    "problems": [],
    **to_json(ROUNDS),
    "sections": [section_to_json(section) for section in SECTIONS],
    "audit": {},
}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    (tmp_path / "bench-full-20261124T001157Z.json").write_text(json.dumps(DOCUMENT))
    (tmp_path / "bench-full-20261123T001157Z.json").write_text("{}")
    (tmp_path / "bench-20261125T001157Z.json").write_text("{}")
    path = newest(tmp_path)
    assert path is not None
    outcome = read_outcome(path)
    assert (outcome.sections, outcome.connections, outcome.kinds) == (SECTIONS, [64, 512], [BARE, ACCEPTED, SOLD_OUT])
    assert outcome.where == "2 cores (Fast), Linux x86_64, Python 3.13.0, load generator included · 2026-11-24"
    figure = outcome.figure(ACCEPTED, 512)
    assert figure is not None
    assert (figure.ratio, figure.bar, figure.p99_bar) == (0.7, Bar(1.0), Bar(100, at_least=False))


def test_everything_with_a_bar_is_held_against_it() -> None:
    assert [(one.name, one.value, one.reached) for one in measured(from_json(DOCUMENT))] == [
        ("accepted, 64 connections, beside bare", 0.7, False),
        ("accepted, 512 connections, beside bare", 0.7, False),
        ("accepted, 512 connections, p99", 80.0, True),
        ("sold out, 64 connections, beside bare", 1.2, True),
        ("sold out, 512 connections, beside bare", 1.2, True),
        ("memory", 300.0, False),
    ]


@pytest.mark.parametrize(
    ("value", "bar", "share"),
    [(0.4, Bar(0.8), 0.5), (250.0, Bar(500, at_least=False), 2.0), (0.0, Bar(1, at_least=False), SHARE_MAX), (0.0, Bar(1), 0.0)],
)
def test_a_share_of_one_reaches_the_bar_whichever_way_it_goes(value: float, bar: Bar, share: float) -> None:
    assert Measured("x", value, "", bar).share == pytest.approx(share)


def test_the_open_loop_by_rate() -> None:
    assert [also["per_second"] for also in by_rate(from_json(DOCUMENT))] == [100, 200]


def test_what_is_missing_is_empty(tmp_path: Path) -> None:
    nothing = from_json({})
    assert (nothing.connections, nothing.kinds, measured(nothing), by_rate(nothing)) == ([], [], [], [])
    assert nothing.figure(BARE, 64) is None
    assert newest(tmp_path) is None
    # As it was before lines had further numbers.
    old = {"sections": [{"title": "Open loop", "lines": [{"name": "p99", "value": 1.0}]}]}
    assert by_rate(from_json(old)) == []
