"""Which of the two processes of `make test` runs which file: one starts at the front, the other at the back, and they meet.

A stack costs CPU time to start, and as long as it runs. So files that use the same stack of the session stand together, and most stacks
are started by one process only. In the middle stand the unit tests: they need no stack and are short, so both processes end together.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    import pytest
    from xdist.workermanage import WorkerController

FIRST = ("stack", "lossy_stack", "console_stack")
LAST = "infra_stack"
FIRST_PROCESS = "gw0"


def arrange(items: list[pytest.Item]) -> None:
    """Sort tests by the stack that their file uses; otherwise their order stays."""
    used: dict[str, set[str]] = defaultdict(set)
    for item in items:
        used[str(item.path)].update(getattr(item, "fixturenames", ()))
    places = {file: place(fixtures) for file, fixtures in used.items()}
    items.sort(key=lambda item: places[str(item.path)])


def place(fixtures: set[str]) -> int:
    """The place of a file that uses these fixtures. If it uses two stacks, the one with services decides: it costs more."""
    if used := [number for number, stack in enumerate(FIRST) if stack in fixtures]:
        return max(used)
    return len(FIRST) + (LAST in fixtures)


class FromBothEnds(LoadFileScheduling):  # type: ignore[misc]
    """Needs `--no-loadscope-reorder`, or it begins at both ends of another order."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        if node.gateway.id != FIRST_PROCESS:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)
