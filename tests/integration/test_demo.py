"""A small demo, run as a person runs it: with its own home, ports and servers."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from flashsale_audit.differences import Promise
from flashsale_local_stack import Stack, wait_until
from tests.integration.storefronts import status_of

SMALL = ("--buyers", "300", "--units", "30")
TIMEOUT_SECONDS = 600

pytestmark = pytest.mark.timeout(TIMEOUT_SECONDS + 30)


def command(home: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "flashsale_cli", "demo", *SMALL, "--home", str(home), *options]


def until_console(lines: Iterator[str]) -> list[str]:
    """The lines up to the address of the console, which is the last before the sale."""
    shown = []
    for line in lines:
        shown.append(line)
        if "console on http://" in line:
            break
    return shown


def test_pages_of_a_demo_open_while_it_runs_and_it_keeps_every_promise(tmp_path: Path) -> None:
    home = tmp_path / "home"
    # The payment window is long enough to open the pages on a busy machine.
    with subprocess.Popen(command(home, "--window", "15"), cwd=tmp_path, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        before = "".join(until_console(demo.stdout))
        pages = re.findall(r"(?:storefront|console) on (http://\S+?):? ", before)
        assert len(pages) == 2, before
        # The console's page of the sale leads to its login first, which is followed.
        for page in pages:
            assert wait_until(lambda page=page: status_of(page) == 200 or demo.poll() is not None, TIMEOUT_SECONDS)  # type: ignore[misc]
        assert demo.poll() is None, before + demo.stdout.read()
        after, _ = demo.communicate(timeout=TIMEOUT_SECONDS)
    output = before + after
    assert demo.returncode == 0, output
    assert "First wave" not in before
    assert [promise for promise in Promise if promise.value not in output] == []
    assert "FAIL" not in output
    assert "every promise kept" in output
    assert not any(status.running for status in Stack(home).status())
    report = unescape((tmp_path / "flashsale-demo.html").read_text())
    assert [promise for promise in Promise if promise.value not in report] == []
    assert "Every promise kept" in report


def test_demo_uses_a_running_stack_and_leaves_it_running(stack: Stack, tmp_path: Path) -> None:
    done = subprocess.run(
        command(stack.home, "--window", "5", "--json"), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert stack.running
    document = json.loads(done.stdout)
    assert document["verdict"] == "PASS"
    assert (tmp_path / document["report"]).stat().st_size > 0
    counters = document["audit"]["sales"][0]["counters"]
    # On a slow machine, the last hold may still exist when the demo ends.
    assert (counters["total"], counters["available"], counters["sold"] + counters["reserved"]) == (30, 0, 30)
    assert counters["sold"] > 0
