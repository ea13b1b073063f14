"""A real browser. Each file of tests has its own, because Playwright belongs to one event loop, and each test its own pages.

Without Chromium or Playwright these tests are skipped; `scripts/servers.sh test` installs both, or says why it could not.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import pages
from tests.browser.pages import EachView, View, Watch

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

MISSING = "no Chromium that runs, or no Playwright: run scripts/servers.sh test"


@pytest.fixture(scope="session", autouse=True)
def chromium() -> str:
    """Before any stack is started: without a browser none is needed."""
    pytest.importorskip("playwright.async_api", reason=MISSING)
    return pages.find_chromium() or pytest.skip(MISSING)


@pytest.fixture(scope="module")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    from playwright.async_api import async_playwright

    async with async_playwright() as driver, pages.open_browser(driver, chromium) as browser:
        yield browser


@pytest.fixture
def watch() -> Watch:
    """The faults of `page`, and of other pages that a test opens with it; `watch.expect` takes those that belong to the test."""
    return Watch()


@pytest.fixture
async def page(browser: Browser, watch: Watch) -> AsyncIterator[Page]:
    """Fails the test for an error on the console, an exception, or a request to another host than 127.0.0.1."""
    async with pages.open_page(browser, watch) as page:
        yield page
    assert watch.faults == []


@pytest.fixture
def each_view() -> EachView:
    """Shows a page in each view. Pictures take as long as axe, so there are some only if FLASHSALE_TEST_PICTURES names their folder."""
    folder = Path(wanted) if (wanted := os.environ.get("FLASHSALE_TEST_PICTURES")) else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)

    def with_pictures(page: Page, name: str) -> AsyncIterator[View]:
        return pages.each_view(page, name, folder)

    return with_pictures
