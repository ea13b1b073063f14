"""Every template compiles, and a compiled one is not compiled again by the first request for its page."""

from flashsale_console.render import FOLDER, TEMPLATES, compile_templates


def test_templates_are_compiled_ahead_of_the_first_request() -> None:
    assert TEMPLATES.cache is not None
    TEMPLATES.cache.clear()
    compile_templates()
    assert {name for _, name in TEMPLATES.cache.keys()} == {path.name for path in (FOLDER / "templates").glob("*.html")}  # noqa: SIM118 - jinja2's own cache
