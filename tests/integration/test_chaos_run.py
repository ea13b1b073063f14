"""Faults of every kind, which overlap, break no promise: `flashsale chaos` on a stack of its own.

The faults of this seed kill or restart each service, and let gateway, both workers and keeper die at their crash points.
Longer runs are in docs/proof.md.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flashsale_chaos.faults import KINDS

SEED, FAULTS = 46, 40
# With `node.lost` the seed would have another schedule; that kind is part of the long runs and of the planted bugs (docs/proof.md).
KINDS_HERE = ",".join(kind for kind in KINDS if kind != "node.lost")
TIMEOUT_SECONDS = 900
"""The run takes 80 s on a machine that does nothing else, and five times as long on a slow one."""
END_TIMEOUT_SECONDS = 60


@pytest.mark.timeout(TIMEOUT_SECONDS + END_TIMEOUT_SECONDS + 10)
def test_overlapping_faults_of_every_kind_break_no_promise(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "flashsale_cli", "chaos", "--seed", str(SEED), "--faults", str(FAULTS), "--kinds", KINDS_HERE]
    command += ["--report", str(report)]
    status, output = _run(command)
    assert status == 0, output
    result = json.loads(report.read_text())
    assert result["rounds"] == FAULTS // 20
    # A run in which nothing was sold, or nothing was injected, would prove nothing.
    assert result["orders"] > 50, output
    assert result["impostors_refused"] > 0, output
    assert result["faults"] + len(result["impossible"]) + _skipped(result) == FAULTS
    assert sum(result["crash_points"].values()) > 0, output
    assert result["ended"] == [], output


def _run(command: list[str]) -> tuple[int, str]:
    """Exit status and output. A run that takes too long is interrupted, so that it ends the stack that it started."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        try:
            output, _ = running.communicate(timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            running.terminate()
            output, _ = running.communicate(timeout=END_TIMEOUT_SECONDS)
        return running.returncode, output


def _skipped(result: dict[str, dict[str, str]]) -> int:
    """How many faults this machine cannot inject."""
    return sum(fault["kind"] in result["skipped"] for faults in result["schedule"]["rounds"] for fault in faults)  # type: ignore[index]
