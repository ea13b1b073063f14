"""A guard that is removed must be missed: the search finds how, and docs/proof.md shows it."""

import re
from pathlib import Path

import pytest

from tests.model.counterexamples import PAGE, section
from tests.model.guards import GUARDS, Guard


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_without_a_guard_a_promise_breaks_as_documented(guard: Guard) -> None:
    assert section(guard) in PAGE.read_text(), "run `python -m tests.model.counterexamples`"


def test_every_removable_guard_is_in_the_list() -> None:
    sources = [path.read_text() for path in sorted(Path(__file__).parent.glob("*.py"))]
    assert {guard.name for guard in GUARDS} == {name for source in sources for name in re.findall(r'bounds\.has\("(\w+)"\)', source)}
