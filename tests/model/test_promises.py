"""With all guards, no state within the bounds breaks a promise."""

import pytest

from tests.model.search import Outcome, search
from tests.model.state import Bounds

PROMOTE, LOSE, CRASH, SILENCE = frozenset({"promote"}), frozenset({"lose"}), frozenset({"crash"}), frozenset({"silence"})


@pytest.mark.parametrize("confirmed", [False, True], ids=["fsync", "confirmed"])
@pytest.mark.parametrize(
    "bounds",
    [
        {"pays": False, "expires": False, "faults": 2, "upsets": 1},
        {"expires": False, "faults": 2, "copies": 2},
        {"expires": False, "upsets": 1, "kinds": PROMOTE},
        {"pays": False, "kinds": PROMOTE},
        {"pays": False, "expires": False, "cancels": True, "kinds": PROMOTE},
        {"orders": 1, "kinds": LOSE, "upsets": 1},
        {"orders": 1, "cancels": True, "kinds": PROMOTE},
        {"orders": 1, "reacquire": True, "kinds": PROMOTE, "faults": 2},
        {"pays": False, "expires": False, "gateways": 2, "upsets": 1, "upset_kinds": SILENCE},
        {"orders": 1, "expires": False, "returns": True, "keeps": True, "kinds": PROMOTE | LOSE},
        {"expires": False, "returns": True, "keeps": True, "kinds": LOSE},
        {"expires": False, "keeps": True, "kinds": PROMOTE},
        {"pays": False, "faults": 0, "upsets": 1, "upset_kinds": CRASH},
    ],
    ids=lambda bounds: "-".join(
        f"{name}={'+'.join(sorted(value)) if isinstance(value, frozenset) else value}" for name, value in bounds.items()
    ),
)
def test_no_promise_breaks_within_the_bounds(bounds: dict[str, object], confirmed: bool) -> None:
    outcome = search(Bounds(confirmed=confirmed, **bounds))  # type: ignore[arg-type]
    assert outcome == Outcome(outcome.states), outcome
