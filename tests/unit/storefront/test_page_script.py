"""The page's decisions, run by Node where there is one, and the size of its files."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from flashsale_core.prices import DECIMALS
from flashsale_storefront.assets import FOLDER, Assets
from flashsale_storefront.wording import price_of
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


@pytest.mark.skipif(NODE is None, reason="no Node >= 18: `scripts/servers.sh test` installs one")
def test_price_is_the_same_with_and_without_javascript(tmp_path: Path) -> None:
    assert NODE is not None
    shutil.copy(FOLDER / "decide.js", tmp_path / "decide.mjs")
    prices = [{"amountMinor": amount, "currency": currency} for currency in ("EUR", *DECIMALS) for amount in (0, 5, 4900, 123456789)]
    program = f'import {{ priceText }} from "./decide.mjs"; console.log(JSON.stringify({json.dumps(prices)}.map(priceText)))'
    done = subprocess.run([NODE, "--input-type=module", "-e", program], cwd=tmp_path, capture_output=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [price_of(price) for price in prices]


def test_scripts_are_sent_without_comments() -> None:
    assets = Assets()
    for name in ("decide.js", "page.js"):
        answer = assets.answer(assets.version, name, ())
        assert answer is not None
        kept = [line for line in (FOLDER / name).read_text().splitlines() if not line.lstrip().startswith(("//", "/**"))]
        assert answer.body.decode().splitlines() == kept


def test_files_of_the_page_are_small() -> None:
    sizes = Assets().sizes
    assert sum(size for name, size in sizes.items() if name.endswith(".js")) <= 8_000
    assert sum(sizes.values()) <= 20_000
