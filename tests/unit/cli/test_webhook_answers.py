"""What a shop answered is shown as it is: it is no markup, and controls no terminal."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from flashsale_cli.commands.webhook import _row
from flashsale_cli.console import console, table
from flashsale_cli.webhooks import Endpoint

NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)


def shown(answer: str) -> str:
    endpoint = Endpoint("shop", "https://shop.example/hooks", ("order.paid",), "command", "enabled", "", None, 1, NOW, NOW, 404, answer)
    file = io.StringIO()
    Console(file=file, width=200, force_terminal=False).print(
        table("", ("endpoint", " url", " state", "due", " a", " b", " answer"), [_row(endpoint)])
    )
    return file.getvalue()


def test_brackets_of_an_answer_are_shown() -> None:
    assert "404 no route [/hooks] [bold]here" in shown("no route [/hooks] [bold]here")


def test_answer_controls_no_terminal() -> None:
    text = shown("a\x1b]0;title\x07b\nc\x9b31m")
    assert ("\x1b" in text, "\x07" in text, "\x9b" in text, "a ]0;title b c 31m" in text) == (False, False, False, True)


def test_id_of_a_payment_is_no_markup() -> None:
    """Ids of payments are the provider's, and may have brackets."""
    file = io.StringIO()
    Console(file=file, width=80, force_terminal=False).print(table("", ("payment",), [("pay[/x]",), ("[bold]pay",)]))
    assert file.getvalue().split() == ["payment", "pay[/x]", "[bold]pay"]


def test_reason_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """`refunds leave` prints the reason after the change, and `order return` the payment's id."""
    console().print("shoe.1 stays paid: ann: see [/ticket 12] and [bold] too")
    assert capsys.readouterr().out == "shoe.1 stays paid: ann: see [/ticket 12] and [bold] too\n"
