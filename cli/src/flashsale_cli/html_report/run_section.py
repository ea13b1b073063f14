"""The part of a report about one crowd: its outcomes, its rates and its latencies, each as a plot and as a table. Pure."""

from collections.abc import Sequence
from itertools import pairwise

from flashsale_cli.html_report.document import Run, answer_words
from flashsale_cli.html_report.elements import Html, element, table
from flashsale_cli.html_report.plots import class_of, latency_svg, rates_svg, share_svg
from flashsale_cli.load.latency import PERCENTILES
from flashsale_cli.load.outcomes import Group, Outcome
from flashsale_cli.load.tally import Tally
from flashsale_cli.load.timeline import SHOWN_PERCENTILES, Bin

ROWS_MAX = 12
"""Rows of a table over time: a person reads them, and the JSON has all bins."""


def run_section(run: Run, place: int) -> Html:
    tally = run.tally
    bins = tally.timeline.bins()
    lengths = widths(bins, tally)
    heading = f"run-{place}"
    return element(
        "section",
        element("h2", run.title, id=heading),
        element("p", f"{tally.done():,} requests in {tally.elapsed_seconds:.2f} s: {tally.per_second():,.0f} per second."),
        _figure("Outcomes", share_svg({group: tally.count(group) for group in Group}), _legend(tally)),
        table(
            "Outcomes, by the answer",
            ("outcome", " answer", "requests", "share"),
            [_outcome_row(*each, tally) for each in tally.sorted_outcomes()],
        ),
        element(
            "div",
            _figure("Answers per second, by outcome", rates_svg(bins, lengths)),
            _figure("Latency in milliseconds: p50, p95 and p99", latency_svg(bins, lengths), _percentile_legend()),
            class_="plots",
        ),
        element("details", element("summary", "Numbers over time"), _over_time(run)),
        table(
            "Latency in milliseconds",
            ("requests", "count", "mean", *(f"p{each:g}" for each in PERCENTILES), "max"),
            [(name, f"{each.count:,}", *each.words()) for name, each in tally.latencies().items()],
        ),
        aria_labelledby=heading,
    )


def widths(bins: Sequence[Bin], tally: Tally) -> list[float]:
    """The length of each bin in seconds. The last bin ends with the run."""
    begins = [each.begin_seconds for each in bins]
    full = [later - earlier for earlier, later in pairwise(begins)]
    return [*full, max(0.001, tally.elapsed_seconds - begins[-1])] if begins else []


def _figure(caption: str, *contents: Html) -> Html:
    return element("figure", element("figcaption", caption), *contents)


def _legend(tally: Tally) -> Html:
    items = [_key(class_of(group), f"{group.value} {tally.count(group):,}") for group in Group if tally.count(group)]
    return element("ul", *items, class_="legend")


def _percentile_legend() -> Html:
    return element("ul", *(_key(f"p{each:g}", f"p{each:g}") for each in SHOWN_PERCENTILES), class_="legend lines")


def _key(name: str, words: str) -> Html:
    return element("li", element("i", class_=name), words)


def _over_time(run: Run) -> Html:
    bins = run.tally.timeline.bins(ROWS_MAX)
    groups = [group for group in Group if run.tally.count(group)]
    columns = ("from", *(f"{group.value}/s" for group in groups), *(f"p{each:g} ms" for each in SHOWN_PERCENTILES))
    rows = [_time_row(each, width, groups) for each, width in zip(bins, widths(bins, run.tally), strict=True)]
    return table(f"{run.title}: answers per second and latency over time", columns, rows)


def _time_row(each: Bin, width: float, groups: Sequence[Group]) -> tuple[str, ...]:
    rates = (f"{each.counts[group] / width:,.0f}" for group in groups)
    return (f"{each.begin_seconds:.1f} s", *rates, *("no answer" if value is None else f"{value:,.1f}" for value in each.percentiles_ms))


def _outcome_row(outcome: Outcome, count: int, tally: Tally) -> tuple[str, ...]:
    return outcome.group.value, answer_words(outcome), f"{count:,}", f"{100 * count / tally.done():.1f} %"
