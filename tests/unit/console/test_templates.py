"""Every template compiles, and a compiled one is not compiled again by the first request for its page."""

from datetime import UTC, datetime
from typing import Any

from flashsale_console.render import FOLDER, TEMPLATES, amount, compile_templates, moment, site
from flashsale_console.users import Role, User


def test_templates_are_compiled_ahead_of_the_first_request() -> None:
    assert TEMPLATES.cache is not None
    TEMPLATES.cache.clear()
    compile_templates()
    assert {name for _, name in TEMPLATES.cache.keys()} == {path.name for path in (FOLDER / "templates").glob("*.html")}  # noqa: SIM118 - jinja2's own cache


def test_times_of_the_ledger_and_of_its_api_are_shown_alike() -> None:
    shown = {moment(datetime(2026, 11, 30, 6, 15, 47, tzinfo=UTC)), moment("2026-11-30T06:15:47.211Z"), moment("2026-11-30T07:15:47+01:00")}
    assert shown == {"2026-11-30 06:15:47"}


def test_amount_that_nobody_knows_is_not_shown_as_nothing() -> None:
    assert [amount(0, ""), amount(0, "EUR"), amount(400, "EUR"), amount(400, "")] == ["an unknown amount", "0.00 EUR", "4.00 EUR", "4.00"]


def test_address_of_a_webhook_shows_no_token_to_viewers() -> None:
    assert [site(f"https://shop.example:8443{rest}") for rest in ("", "/", "/hooks/s3cr3t", "?key=s3cr3t")] == [
        "https://shop.example:8443", "https://shop.example:8443", "https://shop.example:8443/\u2026", "https://shop.example:8443/\u2026",
    ]  # fmt: skip
    endpoint: dict[str, Any] = {
        "endpoint": "shop",
        "state": "enabled",
        "reason": "",
        "failing_since": None,
        "due": 0,
        "types": [],
        "url": "https://a.example/s3cr3t",
    }
    shown: dict[str, Any] = {"endpoints": [endpoint], "attempts": [], "endpoint": "", "next": None, "is_first": True}
    viewer = User("ann", Role.VIEWER, "")
    page = TEMPLATES.get_template("webhooks.html").render(user=viewer, path="/webhooks", template="webhooks", **shown)
    assert ("https://a.example/" in page, "s3cr3t" in page) == (True, False)
