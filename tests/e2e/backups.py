"""The commands of docs/backups.md, run as they stand there."""

import re
import subprocess
from pathlib import Path

from tests.e2e.kube import CHART, ROOT, Namespace

PAGE = ROOT / "docs" / "backups.md"
COMMANDS_TIMEOUT_SECONDS = 600


def commands(sentence: str) -> str:
    """The block of commands after the sentence that begins so, in the section about the bundled servers."""
    section = PAGE.read_text().partition("### With the bundled servers\n")[2]
    (block,) = re.findall(rf"(?m)^{sentence}[^\n]*:\n\n```\n((?:(?!```).*\n)*)```", section)
    return str(block)


def run_commands(shop: Namespace, sentence: str, folder: Path) -> None:
    """Run a block in `folder`, which has the values.yaml. Raises AssertionError with the output of a command that fails."""
    script = commands(sentence).replace("-n shop ", f"-n {shop.name} ").replace(" CHART ", f" {CHART} ")
    words = ["bash", "-euxo", "pipefail", "-c", script]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=COMMANDS_TIMEOUT_SECONDS, check=False)
    assert done.returncode == 0, f"docs/backups.md: {done.stdout}\n{done.stderr}"
