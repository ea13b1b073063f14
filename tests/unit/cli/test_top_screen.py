"""A frame as text of a given size, and as JSON."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from flashsale_cli.top.frame import Frame, frame, to_json
from flashsale_cli.top.screen import render
from flashsale_cli.top.tiles import amount, few, per_second, percent, span
from flashsale_cli.top.watch import lines, pages, view
from flashsale_core.errors import Rejected
from tests.unit.cli.top_readings import FIRST, SECOND, reading, sale

URL = "http://127.0.0.1:8000"
FRAME = frame([FIRST], SECOND)


def console(width: int) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=False, color_system=None)


def text(shown: Frame, width: int, height: int | None = None) -> list[str]:
    """The lines below the title, which has a time of day."""
    screen = console(width)
    screen.print(render(shown, URL, width, height))
    assert isinstance(screen.file, io.StringIO)
    return [line.rstrip() for line in screen.file.getvalue().splitlines()][1:]


NARROW = """\
timeout-worker does not answer: connection refused
the order-worker cannot reach Postgres

sale stock available reserved sold state  orders/s sold out out in
tele 1,000       500      480   20 open        500     60 %  2.5 s
lamp    50        50        0    0 paused        0        -      -
tele out_of_stock 300/s, accepted 200/s

cpu     gateway           50 %  order-worker         -
gateway orders           500/s  answer p50      5.6 ms  answer p99       19 ms
        waiting              3  batch               10  out_of_stock     300/s
        accepted         200/s
outbox  published            -  confirm p99          -  lag                  -
        entries              -  failures           0/s  channels up          1
ledger  messages          20/s  commit p99           -  lag             250 ms
        retries              -  parked total         2  refunds due          -
expiry  messages             -  expired, queue       -  expired, sweep       -
        late p99             -  overdue              -"""

WIDE = """\
timeout-worker does not answer: connection refused
the order-worker cannot reach Postgres

sale  stock  available  reserved  sold  state   orders/s  sold out  out in  by outcome
tele  1,000        500       480    20  open         500      60 %   2.5 s  out_of_stock 300/s, accepted 200/s
lamp     50         50         0     0  paused         0         -       -

cpu     gateway           50 %  order-worker         -
gateway orders           500/s  answer p50      5.6 ms  answer p99       19 ms  waiting              3
        batch               10  out_of_stock     300/s  accepted         200/s"""


def test_frame_is_shortened_to_80_columns() -> None:
    assert text(FRAME, 80) == NARROW.splitlines()


def test_frame_uses_120_columns() -> None:
    assert text(FRAME, 120)[: len(WIDE.splitlines())] == WIDE.splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_frame_fits_the_terminal_and_counts_what_does_not_fit(width: int) -> None:
    many = replace(FRAME, sales=[*FRAME.sales, *(replace(FRAME.sales[1], product_id=f"s{number}") for number in range(18))], sales_hidden=3)
    shown = text(many, width, 24)
    rows = sum(" open " in line or " paused " in line for line in shown)
    assert len(shown) + 1 <= 24
    assert f"and {23 - rows} more, less busy" in shown


def test_long_names_and_many_outcomes_break_no_line() -> None:
    outcomes = {f"outcome_number_{number}": 1234.0 for number in range(9)}
    odd = replace(FRAME.sales[0], product_id="a" * 64, demand_per_second=outcomes, stock=999_999, sold=987_654_321, state="paused")
    for width in (80, 120):
        shown = text(replace(FRAME, sales=[odd]), width)
        assert max(map(len, shown)) <= width
        assert any(" 999,999 " in line and " 987.7M " in line and " paused " in line for line in shown)


def test_unreadable_sales_are_shown_with_the_reason() -> None:
    away = frame([FIRST], reading(12.0, {}, sales_error=Rejected("the gateway answered 503: not_ready")))
    assert "the sales cannot be read: the gateway answered 503: not_ready" in text(away, 80)
    assert "no sale" in text(frame([FIRST], reading(12.0, {})), 80)


def test_sold_out_sale_is_shown_as_gone() -> None:
    gone = frame([FIRST], reading(12.0, {}, sale(available=0)))
    assert any(line.startswith("tele") and line.endswith("gone") for line in text(gone, 80))


def test_json_contains_the_whole_frame() -> None:
    document = json.loads(json.dumps(to_json(FRAME)))
    assert (document["at"], document["seconds"]) == ("2023-11-14T22:13:32.000+00:00", 2)
    assert document["sales"][0] == {
        "product_id": "tele",
        "state": "open",
        "stock": 1000,
        "available": 500,
        "reserved": 480,
        "sold": 20,
        "demand_per_second": {"accepted": 200, "out_of_stock": 300},
        "sold_out_share": 0.6,
        "sold_out_in_seconds": 2.5,
        "moved_units": 800,
    }
    assert document["pipeline"]["admission"]["orders_per_second"] == {"accepted": 200, "out_of_stock": 300}
    assert [service["reason"] for service in document["services"]] == ["", "", "connection refused"]


def test_only_a_terminal_shows_the_frame_without_rates(capsys: pytest.CaptureFixture[str]) -> None:
    first, paper = frame([], FIRST), console(120)
    for quiet in (lines(), pages(paper, URL)):
        with quiet as show:
            show(first)
    assert isinstance(paper.file, io.StringIO)
    assert (paper.file.getvalue(), capsys.readouterr().out) == ("", "")
    assert "rates follow" in _on_a_terminal(first)


def test_last_frame_remains_after_the_live_screen() -> None:
    gone, left = _on_a_terminal(FRAME).rsplit("\x1b[?1049l", 1)
    assert ("out_of_stock 300/s" in gone, "out_of_stock 300/s" in left) == (True, True)


def _on_a_terminal(shown: Frame) -> str:
    terminal = Console(file=io.StringIO(), width=80, height=24, force_terminal=True, force_interactive=True, color_system=None)
    with view(terminal, URL, as_json=False) as show:
        show(shown)
    assert isinstance(terminal.file, io.StringIO)
    return terminal.file.getvalue()


def test_numbers_are_short() -> None:
    assert [amount(value) for value in (None, 0, 999_999, 1_234_567)] == ["-", "0", "999,999", "1.2M"]
    assert [few(value) for value in (0, 0.25, 9.94, 9.96, 1234.5)] == ["0", "0.2", "9.9", "10", "1,234"]
    assert (per_second(None), per_second(3), percent(None), percent(0.456)) == ("-", "3.0/s", "-", "46 %")
    times = (None, 0, 0.0042, 0.0187, 0.9996, 9.94, 42.4, 119, 120, 7200, 172_800)
    assert [span(value) for value in times] == [
        "-", "0 ms", "4.2 ms", "19 ms", "1.0 s", "9.9 s", "42 s", "119 s", "2 min", "2 h", "2 d",
    ]  # fmt: skip
