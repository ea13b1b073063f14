"""`python -m tools.dashboards.page_pictures`: pictures of storefront, console and report after a real demo, into docs/pictures.

It needs the browser of the tests (scripts/servers.sh test) and scripts/pictures.sh. A picture that is too large for a README is refused.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flashsale_local_stack import Stack, private_stack
from tests.browser.pages import Watch, find_chromium, open_browser, open_page
from tests.integration.client import Client
from tests.integration.console import Visitor
from tools.dashboards.canvas import save_screenshot
from tools.repository import PICTURES

if TYPE_CHECKING:
    from playwright.async_api import Browser

BYTES_MAX = 80_000
DEMO_SECONDS = 180
DEMO = ("demo", "--buyers", "4000", "--units", "400", "--json")
UNITS = 200
REPORT, CONSOLE, ON_SALE, HELD = "report.png", "console.png", "storefront-on-sale.png", "storefront-held.png"


def main(folder: Annotated[Path, typer.Option(help="Folder for the pictures.")] = PICTURES) -> None:
    """Run a small demo on a temporary stack, and take the pictures."""
    program = find_chromium()
    if program is None:
        typer.echo("not drawn: the pages, which need Chromium and Playwright: scripts/servers.sh test", err=True)
        raise typer.Exit(1)
    with (
        private_stack(optional=["console", "storefront"], say=typer.echo) as stack,
        tempfile.TemporaryDirectory(prefix="flashsale-pictures-") as work,
    ):
        report = Path(work) / "report.html"
        sale = _sell(stack, report)
        asyncio.run(_draw(stack, sale, report, program, folder))
    for name in (REPORT, CONSOLE, ON_SALE, HELD):
        size = (folder / name).stat().st_size
        typer.echo(f"drawn: {name}, {size:,} bytes")
        if size > BYTES_MAX:
            raise typer.Exit(1)


def _sell(stack: Stack, report: Path) -> str:
    """The id of the demo's sale."""
    command = [sys.executable, "-m", "flashsale_cli", *DEMO, "--home", str(stack.home), "--report", str(report)]
    done = subprocess.run(command, cwd=report.parent, capture_output=True, text=True, check=True, timeout=DEMO_SECONDS)
    return str(json.loads(done.stdout)["audit"]["sales"][0]["sale"])


async def _draw(stack: Stack, demo_sale: str, report: Path, program: str, folder: Path) -> None:
    # Imported here, because only this and the tests need it.
    from playwright.async_api import async_playwright

    async with async_playwright() as driver, open_browser(driver, program) as browser:
        await _picture_report(browser, report, folder)
        await _picture_console(browser, stack, demo_sale, folder)
        await _picture_storefront(browser, stack, folder)


async def _picture_report(browser: "Browser", report: Path, folder: Path) -> None:
    async with open_page(browser, Watch(), viewport={"width": 1000, "height": 620}) as page:
        await page.goto(report.as_uri())
        await page.locator("div.plots").first.evaluate("plots => scrollTo(0, plots.getBoundingClientRect().bottom + 24 - innerHeight)")
        save_screenshot(await page.screenshot(), folder / REPORT)


async def _picture_console(browser: "Browser", stack: Stack, sale: str, folder: Path) -> None:
    visitor = Visitor(stack)
    async with open_page(browser, Watch(), viewport={"width": 1000, "height": 620}) as page:
        await page.goto(f"{visitor.origin}/login?next=/sales/{sale}")
        await page.locator("[name=name]").fill("merchant")
        await page.locator("[name=password]").fill(visitor.password)
        await page.keyboard.press("Enter")
        await page.locator("svg.plot").first.wait_for()
        save_screenshot(await page.screenshot(), folder / CONSOLE)


async def _picture_storefront(browser: "Browser", stack: Stack, folder: Path) -> None:
    sale = Client(stack.env()).new_sale(UNITS, price={"amountMinor": 4900, "currency": "EUR"}, paymentWindowSeconds=300)
    async with open_page(browser, Watch(), viewport={"width": 620, "height": 500}) as page:
        await page.goto(f"{stack.env()['FLASHSALE_STOREFRONT_URL']}/s/{sale}")
        await page.locator("#page[data-phase=on_sale]").wait_for()
        save_screenshot(await page.screenshot(), folder / ON_SALE)
        await page.locator("#primary").click()
        await page.locator("#page[data-phase=held]").wait_for()
        # The order may be answered before the stream shows that its unit is taken.
        await page.get_by_text(f"{UNITS - 1} of {UNITS} left").wait_for()
        save_screenshot(await page.screenshot(), folder / HELD)


if __name__ == "__main__":
    typer.run(main)
