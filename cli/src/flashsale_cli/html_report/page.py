"""The report as one HTML page. Pure, but for the style, which is read from this package once."""

from functools import cache
from importlib.resources import files

from flashsale_cli.html_report.document import Check, Document, LogErrors, Run, answer_words, server_errors
from flashsale_cli.html_report.elements import Html, element, table
from flashsale_cli.html_report.run_section import run_section

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Nothing is loaded and no script runs, whatever a server's answer contained."""
UNITS = ("sold", "held", "free")


def render(document: Document) -> str:
    page = element("html", _head(document.title), element("body", element("main", *_parts(document))), lang="en")
    return f"<!doctype html>\n{page}\n"


def _head(title: str) -> Html:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("link", rel="icon", href="data:,"),
        element("title", title),
        element("style", Html(_style())),
    )


def _parts(document: Document) -> list[Html]:
    words = "Every promise kept" if document.passed else "A promise was broken"
    return [
        element("p", document.when, class_="quiet"),
        element("h1", document.title),
        element("p", element("span", words, class_="kept" if document.passed else "broken"), class_="verdict"),
        element("p", document.summary),
        *([_units(document.units)] if document.units else []),
        element("h2", "Promises"),
        table(
            "Promises and what shows that they were kept", ("promise", " verdict", " evidence"), [_check(each) for each in document.checks]
        ),
        *(run_section(run, place) for place, run in enumerate(document.runs)),
        element("h2", "Errors of the servers"),
        *_errors(document),
        element("h2", "Settings"),
        table("Settings of this run", ("setting", " value"), document.settings),
    ]


def _check(check: Check) -> tuple[str | Html, ...]:
    return check.promise, element("span", "kept" if check.passed else "broken", class_="kept" if check.passed else "broken"), check.evidence


def _units(units: tuple[int, int, int]) -> Html:
    return element(
        "dl",
        *(element("div", element("dt", name), element("dd", f"{count:,}")) for name, count in zip(UNITS, units, strict=True)),
        class_="numbers",
    )


def _errors(document: Document) -> list[Html]:
    answers = [row for run in document.runs for row in _error_rows(run)]
    parts = [
        table("Answers with a status of 500 or more, and requests without an answer", ("run", " answer", "requests"), answers)
        if answers
        else element("p", "No answer had a status of 500 or more, and no request stayed without an answer.")
    ]
    if document.log_errors is None:
        return [*parts, element("p", "The logs of the services were not read: only a demo starts them itself.", class_="quiet")]
    if document.log_errors:
        return [
            *parts,
            table("Errors in the logs of the services", ("service", "lines", " first line"), map(_log_row, document.log_errors)),
        ]
    return [*parts, element("p", "The services logged no error.")]


def _error_rows(run: Run) -> list[tuple[str, str, str]]:
    return [(run.title, answer_words(outcome), f"{count:,}") for outcome, count in server_errors(run.tally)]


def _log_row(errors: LogErrors) -> tuple[str | Html, ...]:
    return errors.service, f"{errors.count:,}", element("code", errors.example)


@cache
def _style() -> str:
    lines = files(__package__).joinpath("page.css").read_text(encoding="utf-8").splitlines()
    return "\n".join(line.strip() for line in lines)
