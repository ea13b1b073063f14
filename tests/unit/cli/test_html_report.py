"""The HTML report: text from outside stays text, plots keep to their area, and the file stays small."""

import re

import pytest

from flashsale_cli.html_report.document import Document, LogErrors, Run, load_checks, server_errors
from flashsale_cli.html_report.elements import element, table
from flashsale_cli.html_report.page import render
from flashsale_cli.html_report.plots import HEIGHT, WIDTH, latency_svg, nice, rates_svg
from flashsale_cli.html_report.run_section import widths
from flashsale_cli.load.outcomes import Group, Outcome, classify, failed
from flashsale_cli.load.plan import Click, Kind
from flashsale_cli.load.tally import Tally

HOSTILE = "<script>alert('1')</script>\"&"
SIZE_MAX = 200_000


def tally_of(seconds: int = 1) -> Tally:
    """A run of 20 answers a second, of all groups."""
    tally = Tally(20 * seconds, elapsed_seconds=seconds + 0.05)
    refused = ((409, "out_of_stock"), (429, "rate_limited"), (503, "overloaded"), (500, "internal"))
    replies = [classify(200, "", False), classify(200, "", True), *(classify(status, code, False) for status, code in refused)]
    for number in range(20 * seconds):
        click = Click(Kind.ORDER, f"u{number}", f"r{number}", b"{}")
        tally.answered(click, replies[number % 6], {"orderId": f"tele.{number}"}, 0.001 * (1 + number % 50), number / 20)
    return tally


def document(*tallies: Tally, **changed: object) -> Document:
    values: dict[str, object] = {
        "title": "A load",
        "summary": "Some buyers.",
        "when": "now",
        "checks": load_checks(tallies[0]),
        "runs": [Run(f"Wave {place}", tally) for place, tally in enumerate(tallies)],
        "settings": [("seed", "7")],
    }
    return Document(**(values | changed))  # type: ignore[arg-type]


def test_text_from_outside_stays_text() -> None:
    tally = tally_of()
    tally.broken.append(HOSTILE)
    logs = [LogErrors("gateway", 1, HOSTILE)]
    page = render(document(tally, title=HOSTILE, summary=HOSTILE, settings=[(HOSTILE, HOSTILE)], log_errors=logs))
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;&quot;&amp;") == 7
    assert str(element("a", class_=HOSTILE)) == '<a class="&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;&quot;&amp;"></a>'
    assert "<script" not in str(table(HOSTILE, (HOSTILE,), [(HOSTILE,)]))


def test_longest_report_of_two_waves_keeps_its_size() -> None:
    tallies = tally_of(1200), tally_of(1200)
    for tally in tallies:
        tally.outcomes.update({Outcome(Group.ERROR, f"http_{status}", status): 1 for status in range(500, 600)})
    page = render(document(*tallies, log_errors=[LogErrors(name, 1, "x" * 300) for name in "abcdefg"]))
    assert 20_000 < len(page.encode()) < SIZE_MAX


def test_nothing_leaves_the_area_of_a_plot() -> None:
    tally = tally_of(30)
    bins = tally.timeline.bins()
    for svg in (str(rates_svg(bins, widths(bins, tally))), str(latency_svg(bins, widths(bins, tally)))):
        rects = [tuple(map(float, sizes)) for sizes in re.findall(r'x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', svg)]
        points = [tuple(map(float, pair.split(","))) for line in re.findall(r'points="([^"]+)"', svg) for pair in line.split()]
        assert rects or points
        assert all(x + width <= WIDTH and y + height <= HEIGHT for x, y, width, height in rects)
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)


def test_run_without_an_answer_has_a_report() -> None:
    tally = Tally(1, elapsed_seconds=1.0)
    tally.unanswered(failed("timeout"), 0.5)
    page = render(document(tally))
    assert ("nothing was answered" in page, "A promise was broken" in page) == (True, True)
    assert "A promise was broken" in render(document(Tally(1), checks=load_checks(tally)))


def test_errors_of_servers_are_500s_and_missing_answers_alone() -> None:
    tally = tally_of()
    tally.unanswered(failed("timeout"))
    assert {each.code for each, _ in server_errors(tally)} == {"overloaded", "http_500", "timeout"}


@pytest.mark.parametrize("passed", [True, False])
def test_verdict_follows_the_checks(passed: bool) -> None:
    tally = Tally(1, unproven=0 if passed else 1)
    assert ("Every promise kept" in render(document(tally)), "A promise was broken" in render(document(tally))) == (passed, not passed)


@pytest.mark.parametrize(("value", "top"), [(0, 1), (1, 1), (1.1, 2), (0.03, 0.04), (99, 100), (1234, 2000)])
def test_axis_ends_at_a_round_number(value: float, top: float) -> None:
    assert nice(value) == pytest.approx(top)
