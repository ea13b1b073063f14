"""How a change ends: it is counted, and answered with the page that shows it, or with the engine's refusal."""

from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from flashsale_console import metrics
from flashsale_console.answers import page
from flashsale_console.engine import Answer


class Subject(NamedTuple):
    """What was to be changed, in the words of a refusal."""

    what: str
    name: str
    path: str
    not_done: str
    asked: str = ""
    """What the person asked for, if there was a choice."""


def answer_change(request: Request, action: str, answer: Answer, subject: Subject, done_url: str) -> Response:
    metrics.CHANGES.labels(action, "done" if answer.is_done else answer.code).inc()
    if answer.is_done:
        return RedirectResponse(done_url, 303)
    # A status of its own for each cause would be the browser's affair; what matters is the engine's sentence.
    return page(request, "not_done.html", {"subject": subject, "answer": answer}, answer.status or 504)
