"""The commands of docs/integrate.md work, from its first to its last, on the session's stack."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flashsale_local_stack import Stack

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "integrate.md").read_text()
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PROGRAMS = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-W", "error", "-c"]}
COMMAND_SECONDS = 60


def test_page_has_commands_and_programs() -> None:
    assert {kind for kind, _ in BLOCKS} == set(PROGRAMS)


def test_commands_of_the_page_work_one_after_the_other(stack: Stack) -> None:
    for kind, text in BLOCKS:
        command = [*PROGRAMS[kind], text.replace(".venv/bin/", f"{Path(sys.executable).parent}/")]
        done = subprocess.run(
            command, env=os.environ | stack.env(), cwd=ROOT, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        assert '"code"' not in done.stdout, f"{text}\n{done.stdout}"


@pytest.mark.parametrize("name", ["paid", "replayed", "refund_due", "noted"])
def test_page_explains_every_result_of_a_payment(name: str) -> None:
    assert f"`{name}`" in PAGE
