"""The page's decisions, run by Node where there is one, and the size of its files."""

import json
import shutil
import string
import subprocess
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from flashsale_core.prices import DECIMALS
from flashsale_core.timestamps import rfc3339_of_ms
from flashsale_storefront.assets import FOLDER, Assets
from flashsale_storefront.documents import State
from flashsale_storefront.links import Links
from flashsale_storefront.ordering import Ordering
from flashsale_storefront.pages import Pages
from flashsale_storefront.problems import Problem
from flashsale_storefront.wording import SOLD_BY_SHOP, price_of, seller_of, sentence_of, title_of
from tests.unit.clients.node import find_node

NODE = find_node()
TESTS = Path(__file__).parent / "decide.test.js"
AMOUNT_MAX = 9_999_999_999_999
"""The largest amount of a price: 13 digits."""


NEEDS_NODE = pytest.mark.skipif(NODE is None, reason="no Node >= 18: `scripts/servers.sh test` installs one")
LETTERS = string.ascii_uppercase


def decided(folder: Path, call: str, values: Sequence[Any]) -> list[Any]:
    """What `call`, an expression with `value`, returns for each of them."""
    assert NODE is not None
    # As a module, whatever package.json stands above it.
    shutil.copy(FOLDER / "decide.js", folder / "decide.mjs")
    (folder / "values.json").write_text(json.dumps(values))
    program = (
        'import { readFileSync } from "node:fs"; import * as decide from "./decide.mjs";'
        f'console.log(JSON.stringify(JSON.parse(readFileSync("values.json")).map((value) => {call})))'
    )
    done = subprocess.run([NODE, "--input-type=module", "-e", program], cwd=folder, capture_output=True, timeout=60, check=True)
    return list(json.loads(done.stdout))


@NEEDS_NODE
def test_decisions_of_the_page(tmp_path: Path) -> None:
    assert NODE is not None
    # Next to each other, and as modules, whatever package.json stands above them.
    shutil.copy(FOLDER / "decide.js", tmp_path / "decide.mjs")
    (tmp_path / "decide.test.mjs").write_text(TESTS.read_text())
    done = subprocess.run([NODE, "--test", str(tmp_path / "decide.test.mjs")], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


@NEEDS_NODE
def test_price_is_the_same_with_and_without_javascript(tmp_path: Path) -> None:
    # Every code that could be one: either table may have one that the other lacks.
    codes = ["".join(letters) for letters in product(LETTERS, repeat=3)]
    prices = [{"amountMinor": 4900, "currency": code} for code in codes]
    prices += [{"amountMinor": amount, "currency": code} for code in ("EUR", *DECIMALS) for amount in (0, 5, 123456789, AMOUNT_MAX)]
    assert decided(tmp_path, "decide.priceText(value)", prices) == [price_of(price) for price in prices]


@NEEDS_NODE
def test_words_are_the_same_with_and_without_javascript(tmp_path: Path) -> None:
    """Titles, sentences and who sells, for a buyer who has not signed in; only a countdown and counts of held units differ."""
    cases = [
        (state, ordering, Links(sign_in=sign_in), sale_of(state, window))
        for state in State for ordering in Ordering for sign_in in ("", "https://shop.example/?for={sale}") for window in WINDOWS
    ]  # fmt: skip
    models = [
        {"saleId": "shoe", "sale": sale, "orders": ordering, "links": {"signIn": links.sign_in}, "isSignedIn": False, "quantity": 1}
        for _, ordering, links, sale in cases
    ]
    views = decided(tmp_path, f"decide.viewOf(value, {NOW_MS})", models)
    for (state, ordering, links, sale), view in zip(cases, views, strict=True):
        seller, sentence = seller_of(state, ordering, links), sentence_of(state, sale)
        assert (view["title"], view["detail"].startswith(SOLD_BY_SHOP)) == (title_of(state), seller != ""), (state, ordering, links)
        assert state is State.NOT_STARTED or view["detail"] == seller + sentence, (state, ordering, links)


@NEEDS_NODE
@pytest.mark.parametrize(
    ("code", "model"), [("unknown_sale", {"isGone": True}), ("overloaded", {}), ("recovering", {"sale": {"state": "recovering"}})]
)
def test_words_without_a_sale_are_the_same_with_and_without_javascript(tmp_path: Path, code: str, model: dict[str, Any]) -> None:
    (view,) = decided(tmp_path, f"decide.viewOf(value, {NOW_MS})", [{"saleId": "shoe", "sale": None, "links": {}, "quantity": 1, **model}])
    pages = Pages("Shoes", Links(), Ordering.ANYBODY, Assets(), is_demo=False)
    page = pages.without_sale("shoe", Problem(code)).body.decode()
    assert [f">{view['title']}</span>" in page, f'<p id="detail">{view["detail"]}</p>' in page] == [True, True]


NOW_MS = 1_796_000_000_000
WINDOWS = (1, 59, 60, 61, 90, 120, 300, 3600)
"""Payment windows, in seconds."""


def sale_of(state: State, window_seconds: int) -> dict[str, Any]:
    """The live document of a sale in that state."""
    document = {"productId": "shoe", "state": state, "available": 5, "reserved": 0, "stock": 10, "endsAt": None, "price": None}
    starts = rfc3339_of_ms(NOW_MS + 60_000) if state is State.NOT_STARTED else None
    return document | {"startsAt": starts, "maxPerUser": 2, "paymentWindowSeconds": window_seconds}


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
