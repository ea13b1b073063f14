"""The list of planted bugs fits the sources, and a copy with a bug is what runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.bugs import BUGS, Bug, Edit
from tests.chaos.copies import ROOT, PlantError, environment, occurrences, plant, require_copy
from tests.chaos.planted import outcome_of

SPREAD = Bug(
    "spread", "", (Edit("libs/recovery/src/flashsale_recovery/rebuild/deficit.py", "return max(0, held", "return max(7, held"),), ()
)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_each_text_of_a_planted_bug_occurs_once(bug: Bug) -> None:
    assert occurrences(bug) == [1] * len(bug.edits)


def test_planted_bugs_are_at_least_ten_and_have_their_own_names() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 10


def test_document_lists_every_planted_bug() -> None:
    document = (ROOT / "docs/proof.md").read_text()
    assert [bug.name for bug in BUGS if f"| `{bug.name}` | {bug.words} |" not in document] == []


def test_copy_runs_with_its_bug(tmp_path: Path) -> None:
    plant(SPREAD, tmp_path)
    require_copy(tmp_path)
    code = "from flashsale_recovery.rebuild.deficit import excess; print(excess(1, 0, 0))"
    done = subprocess.run([sys.executable, "-c", code], env=environment(tmp_path), capture_output=True, text=True, check=True)
    assert done.stdout == "7\n"


def test_text_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlantError, match="0 times"):
        plant(Bug("gone", "", (Edit("lua/expire.lua", "no such text", ""),), ()), tmp_path)


@pytest.mark.parametrize(("status", "violations", "is_found"), [(1, [("never", "x")], True), (0, [], False), (3, [], False)])
def test_bug_is_found_only_by_a_violation(status: int, violations: list[tuple[str, str]], is_found: bool) -> None:
    report = {"faults": 20, "seconds": 9.5, "violations": [{"promise": promise, "detail": detail} for promise, detail in violations]}
    assert outcome_of(BUGS[0], status, report).is_found is is_found
