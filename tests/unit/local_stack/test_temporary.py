"""A temporary stack uses the one that runs, and stops only what it started."""

from contextlib import suppress
from pathlib import Path

import pytest

from flashsale_local_stack import temporary_stack


class FakeStack:
    """A stack that only records what is asked of it."""

    def __init__(self, status: list[str], running: bool) -> None:
        self.home, self.calls = Path("/nowhere/home"), list[str]()
        self._status, self.running = status, running

    def status(self) -> list[str]:
        return self._status

    def env(self) -> dict[str, str]:
        return {"A": "1"}

    def up(self, *, gateway_port: int, optional: list[str] | None) -> None:
        self.calls.append(f"up {gateway_port} {optional}")

    def down(self, *, keep_data: bool) -> None:
        self.calls.append(f"down keep_data={keep_data}")


@pytest.mark.parametrize(
    ("status", "running", "calls"),
    [
        (["redis"], True, []),
        (["redis"], False, ["up 0 None", "down keep_data=True"]),
        ([], False, ["up 0 None", "down keep_data=False"]),
    ],
    ids=["running", "stopped", "new"],
)
def test_temporary_stack_leaves_the_home_as_it_was(
    monkeypatch: pytest.MonkeyPatch, status: list[str], running: bool, calls: list[str]
) -> None:
    stack = FakeStack(status, running)
    monkeypatch.setattr("flashsale_local_stack.temporary.Stack", lambda home, say: stack)
    with suppress(InterruptedError), temporary_stack(Path("home"), 0, lambda line: None) as variables:
        assert variables == {"A": "1"}
        raise InterruptedError
    assert stack.calls == calls
