"""A small demo, run as a person runs it: with its own home, ports and servers."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from flashsale_audit.differences import Promise
from flashsale_local_stack import Stack
from tests.integration.storefronts import status_of

SMALL = ("--buyers", "300", "--units", "30")
TIMEOUT_SECONDS = 600
WATCHED = """
from flashsale_cli.demo import pace
pace.WATCHED = pace.Pace(opens_after_seconds=2, arrival_seconds=2)
from flashsale_cli.main import app
app(prog_name="flashsale")
"""
"""The command with a pace for a test, which needs no time to watch."""

pytestmark = pytest.mark.timeout(TIMEOUT_SECONDS + 30)


def command(home: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "flashsale_cli", "demo", *SMALL, "--home", str(home), *options]


def until(lines: Iterator[str], words: str) -> list[str]:
    """The lines up to the first one with these words."""
    shown = []
    for line in lines:
        shown.append(line)
        if words in line:
            break
    return shown


def take_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_watched_demo_keeps_every_promise_and_its_pages_stay_up_until_ctrl_c(tmp_path: Path) -> None:
    home = tmp_path / "home"
    words = [sys.executable, "-c", WATCHED, *command(home, "--watch", "--window", "5", "--stay-seconds", str(TIMEOUT_SECONDS))[3:]]
    # A session of its own, for Ctrl-C reaches all programs of a terminal's foreground.
    # A shell without job control starts what runs in the background with SIGINT ignored, and the demo would inherit that from these tests.
    with subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=take_interrupts
    ) as demo:
        assert demo.stdout is not None
        before = "".join(until(demo.stdout, "console on http://"))
        pages = re.findall(r"(?:storefront|console) on (http://\S+?):? ", before)
        assert len(pages) == 2, before
        sale = "".join(until(demo.stdout, "The pages stay up for"))
        # The console's page of the sale leads to its login first, which is followed.
        assert [status_of(page) for page in pages] == [200, 200], before + sale
        os.killpg(demo.pid, signal.SIGINT)
        after, _ = demo.communicate(timeout=TIMEOUT_SECONDS)
    output = before + sale + after
    assert demo.returncode == 0, output
    assert ("First wave" in before, "It opens in 2 s" in sale, "Traceback" in output) == (False, True, False), output
    assert [promise for promise in Promise if promise.value not in sale] == []
    assert "FAIL" not in output
    assert "every promise kept" in sale
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
