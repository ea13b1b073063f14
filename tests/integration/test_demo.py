"""A small demo, run as a person runs it: with its own home, ports and servers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flashsale_audit.differences import Promise
from flashsale_local_stack import Stack

SMALL = ("--buyers", "300", "--units", "30", "--window", "5")
TIMEOUT_SECONDS = 240

pytestmark = pytest.mark.timeout(TIMEOUT_SECONDS + 30)


def demo(home: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "flashsale_cli", "demo", *SMALL, "--home", str(home), *options]
    return subprocess.run(command, cwd=home.parent, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)


def test_demo_starts_and_stops_its_stack_and_keeps_every_promise(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = demo(home)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert [promise for promise in Promise if promise.value not in done.stdout] == []
    assert "FAIL" not in done.stdout
    assert "every promise kept" in done.stdout
    assert not any(status.running for status in Stack(home).status())


def test_demo_uses_a_running_stack_and_leaves_it_running(stack: Stack) -> None:
    done = demo(stack.home, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert stack.running
    document = json.loads(done.stdout)
    assert document["verdict"] == "PASS"
    counters = document["audit"]["sales"][0]["counters"]
    # On a slow machine, the last hold may still exist when the demo ends.
    assert (counters["total"], counters["available"], counters["sold"] + counters["reserved"]) == (30, 0, 30)
    assert counters["sold"] > 0
