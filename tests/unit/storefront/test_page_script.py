"""The page's decisions, run by Node where there is one, and the size of its files."""

import shutil
import subprocess
from pathlib import Path

import pytest

from flashsale_storefront.assets import FOLDER, Assets
from tests.unit.clients.node import find_node

NODE = find_node()
TESTS = Path(__file__).parent / "decide.test.js"


@pytest.mark.skipif(NODE is None, reason="no Node >= 18: `scripts/servers.sh test` installs one")
def test_decisions_of_the_page(tmp_path: Path) -> None:
    assert NODE is not None
    # Next to each other, and as modules, whatever package.json stands above them.
    shutil.copy(FOLDER / "decide.js", tmp_path / "decide.mjs")
    (tmp_path / "decide.test.mjs").write_text(TESTS.read_text())
    done = subprocess.run([NODE, "--test", str(tmp_path / "decide.test.mjs")], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_files_of_the_page_are_small() -> None:
    sizes = Assets().sizes
    assert sum(size for name, size in sizes.items() if name.endswith(".js")) <= 8_000
    assert sum(sizes.values()) <= 20_000
