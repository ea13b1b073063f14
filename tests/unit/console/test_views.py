"""The browser's tests look at every page of the console: no route, template or list is forgotten."""

import re

import pytest
from starlette.routing import Match, Route

from flashsale_console.access import Operation
from flashsale_console.app import OPERATIONS
from flashsale_console.pages import refunds, sales
from flashsale_console.render import FOLDER
from tests.browser.console_views import BY_A_FORM, VIEWS, Subjects, View

FILES = {"asset", "export_orders", "export_refunds"}
"""Routes that send a file, which is no page. Those that do not renew a session are parts of an open page."""
SUBJECTS = Subjects("s", "s", "s", "s", "s", f"s.{'A' * 20}", f"s.{'A' * 20}", "1", "2", "b", "e")


def test_browser_looks_at_every_route_that_is_a_page() -> None:
    seen = {operation.name for view in (*VIEWS, *BY_A_FORM) if (operation := operation_of(view)) is not None}
    pages = {operation.name for operation in OPERATIONS if operation.method == "GET" and operation.renews}
    assert seen == pages - FILES


def test_browser_looks_at_every_template_that_is_a_page() -> None:
    pages = {path.stem for path in (FOLDER / "templates").glob("*.html") if '{% extends "base.html" %}' in path.read_text()}
    assert {view.template for view in (*VIEWS, *BY_A_FORM)} == pages


@pytest.mark.parametrize(("path", "states"), [("/refunds", (*refunds.STATES, refunds.REPORTED)), ("/sales", sales.STATES)])
def test_browser_looks_at_every_list_of_a_state(path: str, states: tuple[str, ...]) -> None:
    seen = {match[1] for view in VIEWS if (match := re.match(rf"{path}\?state=(\w+)", view.path))}
    assert seen == set(states)


def operation_of(view: View) -> Operation | None:
    """The operation behind a view's path; None if there is no such page."""
    path = view.path.format(**SUBJECTS._asdict()).partition("?")[0]
    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    matching = (each for each in OPERATIONS if Route(each.path, lambda _: None, methods=[each.method]).matches(scope)[0] is Match.FULL)
    return next(matching, None)
