"""What the tests see of a page in a real browser: its faults, its accessibility, and how it looks in each view.

Playwright drives the system's Chromium. `scripts/servers.sh test` installs both.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

# Not at run time: where Playwright is missing, the tests are collected and skipped.
if TYPE_CHECKING:
    from playwright.async_api import Browser, ConsoleMessage, Locator, Page, Playwright, Request

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--no-sandbox",  # the tests may run as root, for whom Chromium has no sandbox
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A request to another host fails at once: it is a fault, and no test waits for the network.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
WAIT_SECONDS = 30.0
"""A slow machine has long to show a page."""
LOCAL_SCHEMES = frozenset({"about", "blob", "data", "file"})
SERIOUS = frozenset({"serious", "critical"})


@cache
def find_chromium() -> str | None:
    """The first Chromium that runs: Ubuntu's `chromium-browser` may be a stub of a snap that is not there."""
    return next((path for path in map(shutil.which, PROGRAMS) if path and _runs(path)), None)


def _runs(path: str) -> bool:
    return subprocess.run([path, "--version", "--no-sandbox"], capture_output=True, timeout=30, check=False).returncode == 0


@asynccontextmanager
async def open_browser(playwright: Playwright, executable: str) -> AsyncIterator[Browser]:
    """A browser with a new, empty profile."""
    browser = await playwright.chromium.launch(executable_path=executable, args=list(OPTIONS), timeout=1000 * WAIT_SECONDS)
    try:
        yield browser
    finally:
        await browser.close()


@dataclass
class Watch:
    """The faults of pages: errors on the console, exceptions, and requests to other hosts."""

    faults: list[str] = field(default_factory=list)
    expected: list[re.Pattern[str]] = field(default_factory=list)

    def expect(self, pattern: str) -> None:
        """No fault from now on: Chromium writes every answer above 399 to the console, as `status of 409`."""
        self.expected.append(re.compile(pattern))

    def note(self, fault: str) -> None:
        if not any(pattern.search(fault) for pattern in self.expected):
            self.faults.append(fault)

    def follow(self, page: Page) -> None:
        page.on("console", self._read_console)
        page.on("pageerror", lambda error: self.note(f"exception: {error}"))
        page.on("request", self._read_request)

    def _read_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.note(f"console: {message.text} ({message.location.get('url', '')})")

    def _read_request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in LOCAL_SCHEMES and url.hostname != "127.0.0.1":
            self.note(f"request to another host: {request.url}")


@asynccontextmanager
async def open_page(browser: Browser, watch: Watch, **options: Any) -> AsyncIterator[Page]:
    """A page in a context of its own: no cookies, no storage. `options` are those of Playwright's `new_context`."""
    context = await browser.new_context(**options)
    context.set_default_timeout(1000 * WAIT_SECONDS)
    # Also the windows that a page opens.
    context.on("page", watch.follow)
    try:
        yield await context.new_page()
    finally:
        await context.close()


@dataclass(frozen=True)
class Violation:
    """A rule of axe-core that a page breaks, with the elements that break it as CSS selectors."""

    rule: str
    impact: str
    help: str
    selectors: tuple[str, ...]


async def axe(page: Page) -> list[Violation]:
    """The serious and critical violations that axe-core finds on the page as it is now."""
    # Evaluated, not added as an element, so that a strict Content-Security-Policy does not refuse it. Once for each document.
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_axe_source())
    result = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        Violation(item["id"], item["impact"], item["help"], tuple(str(node["target"][-1]) for node in item["nodes"]))
        for item in result["violations"]
        if item["impact"] in SERIOUS
    ]


@cache
def _axe_source() -> str:
    spec = find_spec("axe_playwright_python")
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / "axe.min.js").read_text()


async def scrolls_sideways(page: Page) -> bool:
    return bool(await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


TABS_MAX = 40
_SHOWS_FOCUS = """element => element.matches(":focus-visible") && getComputedStyle(element).outlineStyle !== "none" """


async def tab_to(page: Page, element: Locator) -> None:
    """Press Tab until `element` has the focus, and shows it."""
    for _ in range(TABS_MAX):
        await page.keyboard.press("Tab")
        if await element.evaluate("element => element === document.activeElement"):
            assert await element.evaluate(_SHOWS_FOCUS), f"{element} does not show that it has the focus"
            return
    raise AssertionError(f"the keyboard does not reach {element}")


NEXT_PICTURE = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
"""Ends when the page has been laid out and painted as it is now, and what moved is noted."""
_OBSERVE_SHIFTS = """() => {
  window.shifts = [];
  const named = ({ node }) => node?.id || node?.className || node?.nodeName || "gone";
  const note = (entry) => window.shifts.push(`${entry.value.toFixed(4)} at ${Math.round(entry.startTime)} ms: ${entry.sources.map(named)}`);
  new PerformanceObserver((list) => list.getEntries().forEach(note)).observe({ type: "layout-shift" });
}"""


async def layout_shifts(page: Page) -> Callable[[], Awaitable[list[str]]]:
    """Asks for what has moved from now on, with its score and elements (W3C Layout Instability)."""
    await page.evaluate(_OBSERVE_SHIFTS)

    async def moved() -> list[str]:
        await page.evaluate(NEXT_PICTURE)
        return list(await page.evaluate("window.shifts"))

    return moved


@dataclass(frozen=True)
class View:
    theme: str
    width: int

    def __str__(self) -> str:
        return f"{self.theme}-{self.width}"


VIEWS = (View("light", 1280), View("dark", 320))
"""Two opposites are enough, because no stylesheet has colours that depend on the width, or a layout that depends on the theme."""
EachView = Callable[["Page", str], AsyncIterator[View]]


async def each_view(page: Page, name: str, folder: Path | None) -> AsyncIterator[View]:
    """Show the page, without loading it again, light and wide, then dark and narrow, with a picture of each in `folder` if there is one."""
    for view in VIEWS:
        await page.emulate_media(color_scheme="dark" if view.theme == "dark" else "light", reduced_motion="reduce")
        await page.set_viewport_size({"width": view.width, "height": 800})
        await page.evaluate(NEXT_PICTURE)
        if folder is not None:
            await page.screenshot(path=folder / f"{name}-{view}.png", full_page=True)
        yield view
