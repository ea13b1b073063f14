"""The stack of a program that is killed keeps its data if it had some before."""

from pathlib import Path

from flashsale_local_stack.leftovers import marked_below
from flashsale_local_stack.processes import end_all, wait_until
from tests.unit.watched import watched_program

TIMEOUT_SECONDS = 60.0


def test_killed_program_leaves_the_data_that_existed_before(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with watched_program("flashsale_local_stack.watchdog", tmp_path, keep=True) as program:
        assert len(marked_below(tmp_path)) == 1
        program.kill()
    try:
        assert wait_until(lambda: marked_below(tmp_path) == [], TIMEOUT_SECONDS)
        assert (tmp_path / "data").exists()
    finally:
        end_all(marked_below(tmp_path), TIMEOUT_SECONDS)
