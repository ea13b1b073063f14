"""A theme changes colours, a width changes the layout, so the tests in a browser look at two of the four views (tests/browser/pages.py)."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHEETS = {
    "console": ROOT / "services/console/src/flashsale_console/assets/console.css",
    "storefront": ROOT / "services/storefront/src/flashsale_storefront/assets/page.css",
    "report": ROOT / "cli/src/flashsale_cli/html_report/page.css",
}
BLOCK = re.compile(r"@media \(([^)]*)\) \{((?:[^{}]|\{[^{}]*\})*)\}")
COLOUR = re.compile(r"#[0-9a-f]{3}|var\(|colou?r|background|opacity|filter|shadow", re.IGNORECASE)
VARIABLES = re.compile(r"\s*:root \{(\s*--[\w-]+: #[0-9a-f]{6};)+\s*\}\s*")


def blocks(sheet: str) -> dict[str, list[str]]:
    """The blocks of each condition."""
    text, contents = SHEETS[sheet].read_text(), dict[str, list[str]]()
    for condition, block in BLOCK.findall(text):
        contents.setdefault(condition, []).append(block)
    assert sum(map(len, contents.values())) == text.count("@media (")
    return contents


def test_no_sheet_is_left_out() -> None:
    assert {*ROOT.glob("services/*/src/**/*.css"), *ROOT.glob("cli/src/**/*.css")} == set(SHEETS.values())


@pytest.mark.parametrize("sheet", SHEETS)
def test_theme_changes_only_the_variables_of_colours(sheet: str) -> None:
    (dark,) = blocks(sheet)["prefers-color-scheme: dark"]
    assert VARIABLES.fullmatch(dark), dark


@pytest.mark.parametrize("sheet", SHEETS)
def test_no_colour_depends_on_the_width(sheet: str) -> None:
    narrow = [block for condition, parts in blocks(sheet).items() if "width" in condition for block in parts]
    assert narrow
    assert [block for block in narrow if COLOUR.search(block)] == []
