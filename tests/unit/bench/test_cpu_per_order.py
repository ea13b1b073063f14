"""CPU time per order: differences of two readings, by process, and the times of a process with its children."""

import os
import subprocess
import sys

import pytest

from tools.bench.cpu_per_order import CpuPerOrder, CpuTimes, cpu_per_order, medians
from tools.bench.processes import cpu_seconds, tree_cpu_seconds

BURN = "import os, time\nwhile sum(os.times()[:2]) < 0.2: pass"
NESTED = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])\nprint('burnt', flush=True)\nsys.stdin.read()"


def test_time_of_each_process_is_divided_by_the_orders() -> None:
    before = CpuTimes({"gateway": 1.0, "keeper": 2.0, "wrk": 0.0}, idle=10.0, all=20.0)
    after = CpuTimes({"gateway": 1.5, "keeper": 2.25, "ledger-api": 0.25, "wrk": 0.125}, idle=11.0, all=24.0)
    measured = cpu_per_order(before, after, 10_000)
    assert measured == CpuPerOrder({"gateway": 50.0, "wrk": 12.5, "others": 50.0}, idle_share=0.25)
    assert (measured.all_us, str(measured)) == (112.5, "gateway 50, wrk 12, others 50; cores idle 25%")


def test_rounds_are_joined_by_the_median_of_each_process() -> None:
    rounds = [CpuPerOrder({"gateway": us, "redis": 10 - us}, idle_share=us / 10) for us in (1.0, 5.0, 2.0)]
    assert medians(rounds) == CpuPerOrder({"gateway": 2.0, "redis": 8.0}, idle_share=0.2)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_time_of_children_that_have_ended_counts() -> None:
    with subprocess.Popen([sys.executable, "-c", NESTED], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert tree_cpu_seconds(process.pid) >= cpu_seconds(process.pid) + 0.1
        assert tree_cpu_seconds(os.getpid()) >= tree_cpu_seconds(process.pid)
        process.communicate()
