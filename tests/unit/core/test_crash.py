"""Crash points end the process where they are asked to, and stand next to everything that another process sees."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flashsale_core.crash import POINTS, arm

ROOT = Path(__file__).parents[3]
ROOMS = (
    "services/gateway",
    "services/order-worker",
    "services/timeout-worker",
    "services/keeper",
    "libs/consumer",
    "libs/core",
    "libs/redis",
    "libs/recovery",
)
OUTWARD = re.compile(
    r"(exchange|parking)\.publish\(|\.ack\(|\.xdel\(|\.xadd\(|['\"]EVALSHA['\"]|\.transaction\(\)( as \w+)?:|connection\.execute\("
)
"""Calls that publish, acknowledge, delete, commit or run a script."""
EXEMPT = {
    "report_unrouted_policy": "publishes a probe that no queue gets",
    "_one_row": "only reads",
    "_pipelined": "calls attest.lua, which has a point in the attester, and only reads for others",
    "snapshot": "only reads",
    "_requests": "only reads",
    "connect": "sets the connection up",
    "slot_of_command": "sends nothing",
    "script_call": "describes a call for a span",
    "_add_calls": "adds commands to the round trip of _run, which has the points",
}
SOURCES = [path for room in ROOMS for path in sorted((ROOT / room / "src").rglob("*.py"))]


def functions() -> Iterator[tuple[str, str]]:
    """(name, source) of each function that does not contain another one."""
    for path in SOURCES:
        text = path.read_text()
        # Not by ast.get_source_segment, which splits the whole text for each function.
        lines = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.name, "\n".join(lines[node.lineno - 1 : node.end_lineno])


def test_a_crash_point_is_next_to_every_outward_call() -> None:
    bare = [name for name, source in functions() if OUTWARD.search(source) and "crash.point(" not in source]
    assert sorted(bare) == sorted(EXEMPT)


def test_the_list_of_points_is_that_of_the_code() -> None:
    named = {name for path in SOURCES for name in re.findall(r'crash\.point\("([a-z.]+)"', path.read_text())}
    assert named == set(POINTS)


def test_the_process_ends_at_the_wanted_pass() -> None:
    passes: list[str] = []
    point = arm({"FLASHSALE_CRASH": "outbox.confirmed:2"}, lambda: passes.append("killed"))
    for name in ("outbox.confirmed", "outbox.deleted", "outbox.confirmed", "outbox.confirmed"):
        passes.append(name)
        point(name)
    assert passes == ["outbox.confirmed", "outbox.deleted", "outbox.confirmed", "killed", "outbox.confirmed"]


def test_a_point_of_a_script_may_name_the_script() -> None:
    killed: list[bool] = []
    point = arm({"FLASHSALE_CRASH": "script.answered.settle:1"}, lambda: killed.append(True))
    point("script.answered", "reserve")
    assert not killed
    point("script.answered", "settle")
    assert killed


@pytest.mark.parametrize("value", ["outbox.confirmd:1", "outbox.confirmed", "outbox.confirmed:0", "script.answered:x"])
def test_a_point_that_is_never_passed_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="FLASHSALE_CRASH"):
        arm({"FLASHSALE_CRASH": value}, lambda: None)


def test_an_armed_process_dies_by_sigkill() -> None:
    code = "from flashsale_core import crash; crash.point('ledger.committed'); crash.point('ledger.committed'); print('alive')"
    process = subprocess.run([sys.executable, "-c", code], env={"FLASHSALE_CRASH": "ledger.committed:2"}, capture_output=True, check=False)
    assert (process.returncode, process.stdout) == (-9, b"")
