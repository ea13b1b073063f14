"""The browser tests' own instruments find planted faults, so that a page without findings means something."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from tests.browser.pages import EachView, Watch, axe, open_page, scrolls_sideways

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

HEAD = "<!doctype html><html lang=en><meta name=viewport content='width=device-width'><link rel=icon href='data:,'><title>A page</title>"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src * data:; connect-src *"
SOUND = f"{HEAD}<main><h1>A page</h1><p>No fault.</p></main>"
FAINT = f"{HEAD}<main><h1>A page</h1><p id=faint style='color:#aaa;background:#fff'>Too faint to read.</p></main>"
PLANTED = {
    "console": f"{HEAD}<script>console.error('planted')</script>",
    "exception": f"{HEAD}<script>throw new Error('planted')</script>",
    "request to another host": f"{HEAD}<img alt='' src='http://planted.example/a.png'>",
    "status of 404": f"{HEAD}<script>fetch('/nowhere')</script>",
}


class _Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = {"/sound": SOUND, "/faint": FAINT, "/wide": f"{HEAD}<main><h1 style='width:900px'>Wide</h1></main>"}.get(self.path)
        body = PLANTED.get(self.path[1:].replace("%20", " "), body)
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write((body or "").encode())

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Pages) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_sound_page_has_no_finding_in_any_view(page: Page, site: str, each_view: EachView) -> None:
    await page.goto(f"{site}/sound")
    async for _ in each_view(page, "sound"):
        assert await axe(page) == []
        assert not await scrolls_sideways(page)


async def test_axe_finds_a_planted_fault_under_a_strict_policy(page: Page, site: str) -> None:
    await page.goto(f"{site}/faint")
    (violation,) = await axe(page)
    assert (violation.rule, violation.impact, violation.selectors) == ("color-contrast", "serious", ("#faint",))


async def test_wide_page_scrolls_sideways_on_a_telephone(page: Page, site: str) -> None:
    await page.set_viewport_size({"width": 320, "height": 800})
    await page.goto(f"{site}/wide")
    assert await scrolls_sideways(page)


@pytest.mark.parametrize("fault", PLANTED)
async def test_planted_fault_of_a_page_is_noted(browser: Browser, site: str, fault: str) -> None:
    noted, expected = Watch(), Watch()
    expected.expect(fault)
    for watch in (noted, expected):
        async with open_page(browser, watch) as page:
            await page.goto(f"{site}/{fault}", wait_until="networkidle")
    assert any(fault in line for line in noted.faults)
    assert not any(fault in line for line in expected.faults)
